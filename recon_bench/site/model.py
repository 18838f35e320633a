"""What the pages of the site share: boards with their cards, rows ready to print, and files that pages link to."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pandas as pd

from recon_bench.results import Result, started
from recon_bench.site import pictures
from recon_bench.site.addresses import picture_file, result_file
from recon_bench.site.text import fixed
from recon_bench.storage import REPOSITORY
from recon_bench.tables import export
from recon_bench.tables.board import Board
from recon_bench.tables.columns import Column

SOURCE = REPOSITORY / "site"  # templates and static files


@dataclass
class Site:
    """All that pages are made of.

    ``aside`` has the results that stand on no board, such as pictures, by task and rules. ``used`` maps files of the
    results folder to their places, ``making`` has how pictures are made by their places.
    """

    root: Path
    cards: Mapping[str, Mapping[str, Any]]
    boards: list[Board]
    problems: list[str]
    curves: Mapping[tuple[str, str], pd.DataFrame]
    published: pd.DataFrame
    aside: Mapping[tuple[str, str], list[Result]] = field(default_factory=dict)
    made: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    used: dict[Path, str] = field(default_factory=dict)
    making: dict[str, Callable[[], bytes]] = field(default_factory=dict)

    def main(self) -> list[Board]:
        """The board of each task under its first rules ("full" where there are such results)."""
        return list({board.task: board for board in reversed(self.boards)}.values())[::-1]

    def rows(self, board: Board) -> dict[str, dict[str, Any]]:
        """Rows of a board by method, made once for all the pages that show them."""
        key = self.stem(board)
        if key not in self.made:
            self.made[key] = board_rows(self, board)
        return self.made[key]

    def card(self, board: Board) -> Mapping[str, Any]:
        """The card of the board's version of the task; empty where there is none."""
        return self.cards.get(board.hash, {})

    def title(self, board: Board) -> str:
        """Title of the task; its name where there is no card."""
        return str(self.card(board).get("title", board.task))

    def stem(self, board: Board) -> str:
        """File name of a board: the task, and the rules unless they are the task's first."""
        if any(board is first for first in self.main()):
            return board.task
        return f"{board.task}.{re.sub(r'[^a-z0-9-]', '-', board.rules['name'].lower())}"

    def methods(self) -> dict[str, dict[str, Any]]:
        """Newest header of each method by name, in order of family and title."""
        newest: dict[str, Result] = {}
        for result in (cell for board in self.boards for cell in board.cells.values()):
            name = result.method["name"]
            if name not in newest or started(result) > started(newest[name]):
                newest[name] = result
        headers = sorted((result.method for result in newest.values()), key=lambda m: (m["family"], m["title"]))
        return {header["name"]: dict(header) for header in headers}

    def file(self, path: Path) -> str:
        """Place of a file of the results folder, which is put there when the pages are done."""
        return self.used.setdefault(path, result_file(path.relative_to(self.root)))

    def picture(self, folder: Path, image: Mapping[str, Any], alt: str) -> list[dict[str, str]]:
        """The picture as a list of one, or of none where the file is not what a picture must be."""
        found = pictures.panel(folder, image)
        if found is None:
            return []
        return [{"place": self.file(found.path), "caption": image["caption"], "alt": f"{alt}: {image['caption']}"}]

    def make(self, name: str, how: Callable[[], bytes]) -> str:
        """Place of a picture that is made when the pages are done, unless the site that is replaced has it already."""
        place = picture_file(name)
        self.making[place] = how
        return place


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame as dictionaries."""
    return cast(list[dict[str, Any]], frame.to_dict("records"))


def board_column(column: Column, hidden: bool) -> dict[str, Any]:
    """Head of a column; a ``hidden`` one waits in the chooser until it is asked for."""
    label = f"{column.title} ({column.unit})" if column.unit else column.title
    shown = {"key": column.name, "title": column.title, "unit": column.unit, "better": column.better}
    return shown | {"digits": column.digits, "label": label, "default": not hidden}


def board_rows(site: Site, board: Board) -> dict[str, dict[str, Any]]:
    """Rows of a board by method, best first; shared ranks are marked."""
    ties = board.frame["rank"].value_counts()
    rows = {row["method"]: board_row(site, board, row) for row in records(board.frame)}
    for row in rows.values():
        row["rank"] = f"={row['rank_value']}" if ties.get(row["rank_value"], 0) > 1 else str(row["rank_value"] or "–")
    return rows


def board_row(site: Site, board: Board, row: Mapping[str, Any]) -> dict[str, Any]:
    """One method on one board: cells by column, remarks, and a command for each kind measured."""
    name = row["method"]
    shown = {key: row[key] for key in ("method", "title", "family", "track", "mark", "status", "reason")}
    cells = {column.name: cell(board, row, column) for column in board.columns}
    kinds = dict.fromkeys(kind for _, kind in board.cells)
    return shown | {
        "rank_value": "" if pd.isna(row["rank"]) else int(row["rank"]),
        "first": row["rank"] is not pd.NA and row["rank"] == 1,
        "remark": row["notes"],
        "text": " ".join([name, *(row[key] for key in ("title", "family", "status", "reason", "notes"))]),
        "cells": cells,
        "empty": not any(shown["raw"] for shown in cells.values()),
        "runs": [run(site, board.cells[name, kind]) for kind in kinds if (name, kind) in board.cells],
    }


def cell(board: Board, row: Mapping[str, Any], column: Column) -> dict[str, Any]:
    """A value with its interval, or why there is none."""
    value, low, high = (float(row[f"{column.name}{end}"]) for end in ("", "_low", "_high"))
    if not math.isnan(value):
        ends = (None, None) if math.isnan(low) else (low, high)
        return {"raw": repr(value), "text": fixed(value, column.digits, column.unit), "low": ends[0], "high": ends[1]}
    made = board.cells.get((row["method"], column.kind))
    status = "" if made is None or made.status == "ok" else made.status.replace("-", " ")
    return {"raw": "", "text": status or "–", "low": None}


def run(site: Site, result: Result) -> dict[str, Any]:
    """Where a result comes from and the command that repeats it, for a reader."""
    assert result.path is not None
    found = export.run(result)
    machine = found["machine"]
    parts = [machine["cpu"], f"{machine['cores']} cores", f"{machine['memory_gib']:g} GiB"]
    parts += [machine["gpu"], machine["system"]]
    return found | {
        "kind": result.kind,
        "command": found["reproduce"],
        "recorded": found["command"],
        "place": site.file(result.path),
        "file": f"results/{result.path.relative_to(site.root).as_posix()}",
        "started": found["started"].replace("T", " ").replace("Z", " UTC"),
        "machine": ", ".join(part for part in parts if part),
        "commit": commit(result.provenance),
    }


def commit(made: Mapping[str, Any]) -> str:
    """The commit of a run for a reader."""
    if made["commit"] is None:
        return "unknown"
    return made["commit"][:12] + ("" if made["clean"] else " with uncommitted changes")
