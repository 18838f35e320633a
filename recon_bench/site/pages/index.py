"""The front page: a card for each task with its leaders, what these keep elsewhere, and how to take part."""

from __future__ import annotations

import math
from typing import Any

from recon_bench import templates
from recon_bench.results import Result
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import card_pictures, leader
from recon_bench.site.text import fixed
from recon_bench.tables import robustness, transfer
from recon_bench.tables.board import Board
from recon_bench.tables.numbers import plural


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """Cards of the tasks, what could not be used, and the example of a method."""
    example = templates.text("iterative")
    return {"cards": [card(site, board) for board in site.main()], "problems": site.problems, "example": example}


def card(site: Site, board: Board) -> dict[str, Any]:
    """A task with its leaders."""
    ranked, first = int(board.frame["rank"].notna().sum()), leader(board)
    images = int(board.frame["images"].max())
    return {
        "name": board.task,
        "title": site.title(board),
        "leader": first,
        "kept": once([{"title": title, "parts": kept(board, name)} for name, title in first["methods"]]),
        "description": site.card(board).get("description", ""),
        "board": site.stem(board),
        "pictures": card_pictures(site, board),
        "count": f"{plural(len(board.frame), 'method')}, {ranked} ranked, {plural(images, 'image')}",
        "quick": board.rules["name"] != "full",
    }


def once(leaders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One for all where nothing tells the leaders apart."""
    return leaders[:1] if all(leader["parts"] == leaders[0]["parts"] for leader in leaders) else leaders


def kept(board: Board, method: str) -> list[dict[str, str]]:
    """What is left of a leader's lead on other people's scans and under attack, with the page that says more."""
    return [
        {"page": "transfer", "title": "Other people’s scans", "text": carried_over(board, method)},
        {"page": "robustness", "title": "Under attack", "text": attacked(board, method)},
    ]


def carried_over(board: Board, method: str) -> str:
    """Its PSNR there, and how far it is from total variation there and on the task's own images."""
    measured = [row for row in transfer.rows(board) if row.people.count]
    row = next((row for row in measured if row.result.method["name"] == method), None)
    if row is None:
        return missing(board.cells.get((method, transfer.KIND)))
    count = row.people.count
    psnr = f"{fixed(row.people.psnr.value, 2)} dB on {count} {'person' if count == 1 else 'people'}"
    if method == transfer.rival(board) or math.isnan(row.people.gain.value):
        return psnr
    there = f"{psnr}, {beside(row.people.gain.value)} total variation (TV)"
    return there if math.isnan(row.home_gain) else f"{there}; on the task’s own images {beside(row.home_gain)} it"


def attacked(board: Board, method: str) -> str:
    """Its PSNR before and after the worst perturbation of the reported size, and that of total variation."""
    rows = robustness.rows(cell for (_, kind), cell in board.cells.items() if kind == robustness.KIND)
    known = {row.name: row for row in rows if row.images.get(row.reported)}
    row = known.get(method)
    if row is None:
        return missing(board.cells.get((method, robustness.KIND)))
    count = len(row.images[row.reported])
    remarks = "".join(f"; {flag}" for flag in (plural(count, "image"), *row.flags))
    variation = [each for name, each in known.items() if name.startswith(transfer.TV)]
    tv = max(variation, key=lambda each: each.mean("psnr", 0.0).value, default=row)
    compared = "" if tv is row else f" (TV: {fallen(tv)})"
    return f"{fallen(row)}{compared} with the data changed by {100 * row.reported:g} %{remarks}"


def fallen(row: robustness.Row) -> str:
    """The PSNR before and after."""
    before, after = (fixed(row.mean("psnr", level).value, 2) for level in (0.0, row.reported))
    return f"from {before} to {after} dB"


def beside(decibels: float) -> str:
    """How far above or below."""
    return f"{abs(decibels):.2f} dB {'above' if decibels >= 0 else 'below'}"


def missing(cell: Result | None) -> str:
    """Why there is no figure."""
    if cell is None or cell.status == "ok":
        return "not measured yet"
    if cell.status == "partial":
        return "failed in part; the page says why"
    return f"{cell.status.replace('-', ' ')}: {cell.reason}"


PAGE = Page("index", "index.html", content, menu="Tasks", menu_part="tasks", order=1)
