"""Memory against depth and against the size of the image: curves of every method, and what grows how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recon_bench.results import Result
from recon_bench.site.addresses import link
from recon_bench.site.growth_parts import DEPTH, SIZE, View, figures, shown
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.tables import growth
from recon_bench.tables.board import Board
from recon_bench.tables.growth import Row


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A part for each task that has such results, and on which devices they were measured."""
    known = site.methods()
    parts = [made for board in site.main() if (made := part(site, here, board, known))["axes"]]
    devices = {row["device"] for found in parts for axis in found["axes"] for row in axis["rows"]}
    return {"parts": parts, "gpu": "cuda" in devices, "budgets": growth.BUDGETS, "settled": growth.SETTLED}


def part(site: Site, here: str, board: Board, known: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a task: each axis that was measured."""
    axes = [
        along(here, board.task, view, rows, known) for view in (DEPTH, SIZE) if (rows := rows_of(site, board, view))
    ]
    return {
        "task": board.task,
        "title": site.title(board),
        "href": link(here, "board", site.stem(board)),
        "axes": axes,
    }


def rows_of(site: Site, board: Board, view: View) -> list[Row]:
    """The rows of a board's task, of its very version."""
    found: Sequence[Result] = site.aside.get((board.task, board.rules["name"]), [])
    same = [result for result in found if result.task["hash"] == board.hash]
    return growth.rows(same, board.task, board.rules["name"], view.axis)


def along(here: str, task: str, view: View, rows: Sequence[Row], known: dict[str, Any]) -> dict[str, Any]:
    """The table and the charts of an axis."""
    links = [link(here, "method", row.method) if row.method in known else "" for row in rows]
    return {
        "key": view.axis.key,
        "view": view,
        "rows": [shown(row, view, href) for row, href in zip(rows, links)],
        "charts": figures(task, view, rows),
    }


PAGE = Page("memory", "memory.html", content, section="memory", menu="Memory", order=2)
