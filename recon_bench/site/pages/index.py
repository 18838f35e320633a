"""The front page: a card for each task with its leaders, and how to take part."""

from __future__ import annotations

from typing import Any

from recon_bench import templates
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import card_pictures, leader
from recon_bench.tables.board import Board


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """Cards of the tasks, what could not be used, and the example of a method."""
    example = templates.text("iterative")
    return {"cards": [card(site, board) for board in site.main()], "problems": site.problems, "example": example}


def card(site: Site, board: Board) -> dict[str, Any]:
    """A task with its leaders."""
    ranked = int(board.frame["rank"].notna().sum())
    return {
        "name": board.task,
        "title": site.title(board),
        "leader": leader(board),
        "description": site.card(board).get("description", ""),
        "board": site.stem(board),
        "pictures": card_pictures(site, board),
        "count": f"{len(board.frame)} methods, {ranked} ranked, {board.frame['images'].max()} images",
        "quick": board.rules["name"] != "full",
    }


PAGE = Page("index", "index.html", content, menu="Tasks", menu_part="tasks", order=1)
