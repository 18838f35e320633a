"""What the pages of a task share: their head, who leads, and the pictures of the task's card."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recon_bench.results import RANKING_KIND
from recon_bench.site.model import Site
from recon_bench.site.text import fixed
from recon_bench.tables.board import RANKING_METRIC, Board


def task_header(site: Site, board: Board) -> dict[str, Any]:
    """What all pages of a task start with."""
    description = site.card(board).get("description", "")
    return {"task": {"name": board.task, "title": site.title(board), "description": description}}


def places(page: str, boards: Iterable[Board], site: Site) -> list[tuple[str, str]]:
    """Where the sections of tasks are on a page that has one for each, with their titles."""
    return [(f"{page}-{board.task}", site.title(board)) for board in boards]


def leader(board: Board) -> dict[str, Any]:
    """Who is first, how many more share the place, and the best value; without names where nobody is ranked."""
    first = board.frame[board.frame["rank"] == 1]
    if first.empty:
        return {"methods": [], "more": 0, "value": ""}
    column = next(column for column in board.columns if column.name == RANKING_METRIC)
    best = first.iloc[0]
    methods = list(zip(first["method"], first["title"]))
    value = f"{column.title} {fixed(best[RANKING_METRIC], column.digits)} {column.unit}"
    return {"methods": methods[:3], "more": max(0, len(methods) - 3), "value": value}


def unmeasured(board: Board, kind: str, *, trained: bool = False) -> dict[str, Any]:
    """Titles of the ranked methods, or of those ``trained`` alone, that have no result of a kind, and how many of them
    there are with and without one."""
    frame = board.frame[board.frame["rank"].notna()]
    ranked = {
        name: title
        for name, title in zip(frame["method"], frame["title"])
        if not trained or board.cells[name, RANKING_KIND].method.get("weights")
    }
    titles = [title for name, title in ranked.items() if (name, kind) not in board.cells]
    return {"titles": titles, "ranked": len(ranked), "of": "trained methods" if trained else "ranked methods"}


def card_pictures(site: Site, board: Board) -> list[dict[str, str]]:
    """Truth and measurement of a sample, from the task's card."""
    known = site.card(board).get("images", {})
    images = {name: known[name] for name in ("truth", "data") if name in known}
    folder = site.root / board.task
    return [shown for name in images for shown in site.picture(folder, images[name], f"{site.title(board)}, {name}")]
