"""What each page of the site shows, as plain data for its template: presentation only, all numbers are the board's."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recon_bench import board as boards
from recon_bench.board import RANKING_KIND, RANKING_METRIC, Board
from recon_bench.charts import curve_figures, ledger_table, speed_accuracy, tuning_figure
from recon_bench.columns import Column
from recon_bench.results import Result, started
from recon_bench.site_text import duration, fixed, setting

# Columns that wait in the chooser until they are asked for.
EXTRA = frozenset({"nrmse", "rsnr", "nmse", "psnr_volume", "nmse_volume", "ssim_volume", "noise"}) | frozenset(
    {"setup_seconds", "seconds_per_image", "batch_seconds", "fbp_seconds"}
)
PICTURES = (".webp", ".png")
RULES = {
    "images": "Test images scored (none: all)",
    "tuning_evaluations": "Settings each method may try",
    "tuning_images": "Validation images each try is scored on",
    "seeds": "Seeds of methods that draw random numbers",
    "warmup": "Reconstructions before the clock starts",
    "repeats": "Timed reconstructions, of which the median counts",
    "batch_pixels": "Pixels reconstructed at once, at most",
    "cell_minutes": "Minutes after which a cell is stopped",
    "bootstrap": "Bootstrap draws of an interval",
    "confidence": "Confidence of an interval",
}


@dataclass
class Site:
    """All that pages are made of. ``used`` maps files of the results folder to their addresses."""

    root: Path
    cards: Mapping[str, Mapping[str, Any]]
    boards: list[Board]
    problems: list[str]
    curves: Mapping[tuple[str, str], pd.DataFrame]
    published: pd.DataFrame
    made: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    used: dict[Path, str] = field(default_factory=dict)

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
        return self.cards.get(board.hash, {})

    def title(self, board: Board) -> str:
        return str(self.card(board).get("title", board.task))

    def stem(self, board: Board) -> str:
        """File name of a board: the task, and the rules unless they are the task's first."""
        if any(board is first for first in self.main()):
            return board.task
        return f"{board.task}.{re.sub(r'[^a-z0-9-]', '-', board.rules['name'].lower())}"

    def file(self, path: Path) -> str:
        """Address of a file of the results folder, which is put there when the pages are done."""
        if path not in self.used:
            task, *rest = path.relative_to(self.root).parts
            self.used[path] = f"results/{task}/{'.'.join(rest)}"
        return self.used[path]

    def picture(self, folder: Path, image: Mapping[str, Any], alt: str) -> list[dict[str, str]]:
        """The picture as a list of one, or of none where the file is not what a picture of a result must be."""
        path = folder / image["file"]
        if path.parent != folder or path.suffix not in PICTURES or not path.is_file():
            return []
        return [{"href": self.file(path), "caption": image["caption"], "alt": f"{alt}: {image['caption']}"}]


def index(site: Site) -> dict[str, Any]:
    """Front page: a card for each task with its leaders."""
    cards = []
    for board in site.main():
        entry = {"name": board.task, "title": site.title(board), "leader": leader(board)}
        entry["description"] = site.card(board).get("description", "")
        entry["board_href"] = f"board/{site.stem(board)}.html"
        entry["pictures"] = card_pictures(site, board)[:2]
        ranked = int(board.frame["rank"].notna().sum())
        entry["count"] = f"{len(board.frame)} methods, {ranked} ranked, {board.frame['images'].max()} images"
        entry["quick"] = board.rules["name"] != "full"
        cards.append(entry)
    return {"cards": cards, "problems": site.problems, "section": ""}


def leader(board: Board) -> dict[str, Any]:
    """Who is first, how many more share the place, and the best value; without names where nobody is ranked."""
    first = board.frame[board.frame["rank"] == 1]
    if first.empty:
        return {"methods": [], "more": 0, "value": ""}
    digits = {column.name: column.digits for column in board.columns}[RANKING_METRIC]
    best = first.iloc[0]
    methods = list(zip(first["method"], first["title"]))
    value = f"{RANKING_METRIC.upper()} {fixed(best[RANKING_METRIC], digits)} dB"
    return {"methods": methods[:3], "more": max(0, len(methods) - 3), "value": value}


def card_pictures(site: Site, board: Board) -> list[dict[str, str]]:
    images = site.card(board).get("images", {})
    folder = site.root / board.task
    return [shown for name in images for shown in site.picture(folder, images[name], f"{site.title(board)}, {name}")]


def tabs(site: Site, board: Board, here: str) -> list[tuple[str, str, bool]]:
    """Links between the pages of one task: (address, text, whether it is this page)."""
    stem = site.stem(board)
    own = [(f"../board/{stem}.html", "Leaderboard", here == "board")]
    own += [(f"../gallery/{stem}.html", "Reconstructions", here == "gallery")]
    own += [(f"../task/{board.task}.html", "Task", here == "task")]
    others = [b for b in site.boards if b.task == board.task and b is not board]
    return own + [(f"../board/{site.stem(b)}.html", f"{b.rules['name'].capitalize()} rules", False) for b in others]


def task_header(site: Site, board: Board, here: str) -> dict[str, Any]:
    card = site.card(board)
    task = {"name": board.task, "title": site.title(board), "description": card.get("description", "")}
    return {"task": task, "tabs": tabs(site, board, here), "section": "tasks"}


def task(site: Site, board: Board) -> dict[str, Any]:
    """A task's card, its pictures and its leaders."""
    card = site.card(board)
    facts = (
        {key: card[key] for key in ("name", "version", "hash", "family", "sizes", "noise", "data_range", "ssim")}
        if card
        else {}
    )
    windows = {"grey window of images": card["display"], "grey window of errors": card["error_display"]} if card else {}
    return task_header(site, board, "task") | {
        "pictures": card_pictures(site, board),
        "leader": leader(board),
        "board_href": f"../board/{site.stem(board)}.html",
        "facts": [*facts.items(), *windows.items(), *card.get("card", {}).items()],
    }


def leaderboard(site: Site, board: Board) -> dict[str, Any]:
    """The table of a board with its charts."""
    charts = [figure for figure in [speed_accuracy(board)] if figure]
    confidence = 100 * board.rules.get("confidence", 0.95)
    return task_header(site, board, "board") | {
        "columns": [board_column(column) for column in board.columns],
        "rows": list(site.rows(board).values()),
        "families": sorted(set(board.frame["family"])),
        "quick": board.rules["name"] != "full",
        "rules": board.rules,
        "remarks": board.notes,
        "caption": f"Means over {board.frame['images'].max()} test images with {confidence:.0f} % bootstrap intervals; "
        "times are medians of repeats. Ranked by PSNR; “=” marks methods that share a rank because their paired "
        "difference is not significant.",
        "versions": f"Task version {board.version} ({board.hash}), {board.rules['name']} rules version "
        f"{board.rules['version']} ({board.rules['hash']}). Results of other versions are not mixed in.",
        "stem": site.stem(board),
        "charts": charts + list(curve_figures(board, site.curves[board.task, board.rules["name"]])),
    }


def board_column(column: Column) -> dict[str, Any]:
    label = f"{column.title} ({column.unit})" if column.unit else column.title
    shown = {"key": column.name, "title": column.title, "unit": column.unit, "better": column.better}
    return shown | {"digits": column.digits, "label": label, "default": column.name not in EXTRA}


def board_rows(site: Site, board: Board) -> dict[str, dict[str, Any]]:
    """Rows of a board by method, best first; shared ranks are marked."""
    ties = board.frame["rank"].value_counts()
    rows = {row["method"]: board_row(site, board, row) for row in board.frame.to_dict("records")}
    for row in rows.values():
        row["rank"] = f"={row['rank_value']}" if ties.get(row["rank_value"], 0) > 1 else str(row["rank_value"] or "–")
    return rows


def board_row(site: Site, board: Board, row: Mapping[str, Any]) -> dict[str, Any]:
    """One method on one board: cells by column, remarks, and a command for each kind measured."""
    name = row["method"]
    shown = {key: row[key] for key in ("method", "title", "family", "status", "reason")}
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
        return {"raw": repr(value), "text": fixed(value, column.digits), "low": ends[0], "high": ends[1]}
    made = board.cells.get((row["method"], column.kind))
    status = "" if made is None or made.status == "ok" else made.status.replace("-", " ")
    return {"raw": "", "text": status or "–", "low": None}


def run(site: Site, result: Result) -> dict[str, Any]:
    """Where a result comes from and the command that repeats it."""
    assert result.path is not None
    made = result.provenance
    machine = made["machine"]
    parts = [
        machine["cpu"],
        f"{machine['cores']} cores",
        f"{machine['memory_gib']:g} GiB",
        machine["gpu"],
        machine["system"],
    ]
    return {
        "kind": result.kind,
        "title": result.measurement["title"],
        "command": command(result),
        "recorded": made["command"],
        "status": result.status,
        "reason": result.reason,
        "href": "../" + site.file(result.path),
        "file": f"results/{result.path.relative_to(site.root).as_posix()}",
        "started": made["started"].replace("T", " ").replace("Z", " UTC"),
        "seconds": made["seconds"],
        "machine": ", ".join(part for part in parts if part),
        "device": made["device"],
        "threads": made["threads"],
        "commit": commit(made),
        "hashes": {name: getattr(result, name)["hash"] for name in ("task", "rules", "measurement", "method")},
    }


def command(result: Result) -> str:
    """The command that repeats one cell."""
    file = result.method["file"]
    method = result.method["name"] if file.startswith("baselines/") else file
    words = ["recon-bench", "run", "--tasks", result.task["name"], "--methods", method, "--measurements", result.kind]
    if result.rules["name"] != "full":
        words += ["--rules", result.rules["name"]]
    return shlex.join(words)


def commit(made: Mapping[str, Any]) -> str:
    if made["commit"] is None:
        return "unknown"
    return made["commit"][:12] + ("" if made["clean"] else " with uncommitted changes")


def gallery(site: Site, board: Board) -> dict[str, Any]:
    """Pictures of each method on a task, best method first."""
    card = site.card(board)
    entries = []
    for row in board.frame.to_dict("records"):
        made = board.cells.get((row["method"], RANKING_KIND))
        entry = {key: row[key] for key in ("method", "title", "status", "reason")}
        entries.append(entry | {"pictures": strips(site, made, row["title"]) if made else []})
    windows = [" to ".join(map(setting, card[name])) for name in ("display", "error_display")] if card else []
    return task_header(site, board, "gallery") | {"entries": entries, "windows": windows}


def strips(site: Site, result: Result, title: str) -> list[dict[str, str]]:
    assert result.path is not None
    found = []
    for name, image in result.images.items():
        alt = f"{title}, {name} image: truth, reconstruction and error side by side"
        found += site.picture(result.path.parent, image, alt)
    return found


def methods(site: Site) -> dict[str, dict[str, Any]]:
    """Newest header of each method by name, in order of family and title."""
    newest: dict[str, Result] = {}
    for result in (cell for board in site.boards for cell in board.cells.values()):
        name = result.method["name"]
        if name not in newest or started(result) > started(newest[name]):
            newest[name] = result
    headers = sorted((result.method for result in newest.values()), key=lambda m: (m["family"], m["title"]))
    return {header["name"]: dict(header) for header in headers}


def method(site: Site, header: Mapping[str, Any]) -> dict[str, Any]:
    """A method on every board that has it."""
    name = header["name"]
    columns: dict[str, Column] = {}
    rows, parts = [], []
    for board in site.boards:
        if name not in site.rows(board):
            continue
        columns |= {column.name: column for column in board.columns if column.name not in EXTRA}
        row = site.rows(board)[name]
        place = {"href": f"../board/{site.stem(board)}.html#{name}", "task_title": site.title(board)}
        rows.append(row | place | {"rules": board.rules["name"], "methods": len(board.frame)})
        parts.append(method_part(site, board, name, row["runs"]))
    for row in rows:
        row["cells"] = {key: row["cells"].get(key, {"raw": "", "text": "–", "low": None}) for key in columns}
    shown = [board_column(column) for column in columns.values()]
    return {"method": header, "columns": shown, "rows": rows, "parts": parts, "section": "methods"}


def method_part(site: Site, board: Board, name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Settings, tuning ledger and provenance of a method on one board."""
    own = {run["kind"]: board.cells[name, run["kind"]] for run in runs}
    newest = max(own.values(), key=started, default=None)
    header = own.get(RANKING_KIND, newest)
    title = site.title(board) + ("" if board.rules["name"] == "full" else f" ({board.rules['name']} rules)")
    identifier = site.stem(board).replace(".", "-")
    part: dict[str, Any] = {"id": identifier, "title": title, "runs": runs, "ledger": None, "settings": {}, "tuned": []}
    if header is not None:
        part |= {"settings": header.method["settings"], "tuned": header.method["tuned"]}
    if "tuning" in own and own["tuning"].records:
        part["ledger"] = tuning(own["tuning"], f"tuning-{identifier}")
    return part


def tuning(result: Result, identifier: str) -> dict[str, Any]:
    """What the tuner tried, with a chart where it had one number to choose."""
    frame = boards.ledger([result], result.task["name"], result.method["name"], result.rules["name"])
    evaluations = frame.to_dict("records")
    metric = result.measurement["metrics"][0]["name"]
    settings = [c for c in frame.columns if c not in ("evaluation", "error", "chosen", metric)]
    budget = result.rules.get("tuning_evaluations", "?")
    images = result.rules.get("tuning_images", "?")
    summary = f"{len(evaluations)} of {budget} allowed evaluations, each on {images} validation images."
    heads, rows = ledger_table(evaluations)
    figure = None
    if len(settings) == 1 and metric in frame and len(evaluations) > 1:
        figure = tuning_figure(identifier, evaluations, settings[0], metric)
    return {"summary": summary, "heads": heads, "rows": rows, "figure": figure}


def protocol(site: Site) -> dict[str, Any]:
    """Rules, measurements and machines of the results shown."""
    cells = [cell for board in site.boards for cell in board.cells.values()]
    rules = {board.rules["hash"]: board.rules for board in site.boards}
    kinds = {cell.measurement["hash"]: cell.measurement | {"kind": cell.kind} for cell in cells}
    return {
        "rules": list(rules.values()),
        "rule_names": [(name, text) for name, text in RULES.items() if any(name in r for r in rules.values())],
        "measurements": sorted(kinds.values(), key=lambda m: (m["kind"], m["version"])),
        "machines": machines(cells),
        "problems": site.problems,
        "section": "protocol",
    }


def machines(cells: Iterable[Result]) -> list[dict[str, Any]]:
    """One row for each machine, device and thread count."""
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for made in (cell.provenance for cell in cells):
        groups.setdefault((made["machine"]["id"], made["device"], made["threads"]), []).append(made)
    rows = []
    for (identifier, device, threads), found in sorted(groups.items()):
        machine = found[0]["machine"]
        days = sorted({made["started"][:10] for made in found})
        versions = sorted({f"{n} {v}" for made in found for n, v in made["packages"].items()})
        row = {"id": identifier, "device": device, "threads": threads, "results": len(found)}
        row["machine"] = ", ".join(
            filter(None, [machine["cpu"], f"{machine['cores']} cores", machine["gpu"], machine["system"]])
        )
        row["dates"] = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        commits = Counter(commit(made) for made in found).most_common()
        row["commits"] = ", ".join(f"{name} ({count})" for name, count in commits[:4]) + (
            ", …" if len(commits) > 4 else ""
        )
        row["packages"] = ", ".join([f"Python {v}" for v in sorted({m["python"] for m in found})] + versions)
        rows.append(row)
    return rows


VERDICTS = {"yes": ("agrees", "good"), "no": ("disagrees", "bad")}


def trust(site: Site) -> dict[str, Any]:
    """Published figures beside ours, and a sentence that counts them."""
    titles = {board.task: site.title(board) for board in site.boards}
    names = {name: header["title"] for name, header in methods(site).items()}
    rows = []
    for figure in site.published.to_dict("records"):
        verdict, tone = VERDICTS.get(figure["agrees"], (figure["agrees"], ""))
        digits = 2 if abs(figure["published"]) >= 2 else 3
        known = not math.isnan(figure["ours"])
        row = {key: figure[key] for key in ("remark", "source")} | {"verdict": verdict, "tone": tone}
        row |= {"metric": figure["metric"].upper(), "published": fixed(figure["published"], digits)}
        row["task"] = titles.get(figure["task"], figure["task"])
        row["task_href"] = f"board/{figure['task']}.html" if figure["task"] in titles else ""
        row["method"] = names.get(figure["method"], figure["method"])
        row["ours"] = fixed(figure["ours"], digits) if known else "–"
        row["interval"] = (
            "" if math.isnan(figure["low"]) else f"[{fixed(figure['low'], digits)}, {fixed(figure['high'], digits)}]"
        )
        gap = figure["ours"] - figure["published"]
        row["difference"] = f"{'+' if gap > 0 else ''}{fixed(gap, digits)}" if known else "–"
        rows.append(row)
    said = Counter(site.published["agrees"])
    compared = said["yes"] + said["no"]
    verdict = f"Of {len(rows)} published figures, {compared} are measured and can be compared strictly; of these "
    verdict += f"{said['yes']} {'agrees' if said['yes'] == 1 else 'agree'} and {said['no']} {'does' if said['no'] == 1 else 'do'} not."
    return {"rows": rows, "verdict": verdict, "section": "trust"}
