"""The page of each task: its card, its pictures and its leaders."""

from __future__ import annotations

from typing import Any

from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import card_pictures, leader, task_header
from recon_bench.tables.board import Board

FACTS = ("name", "version", "hash", "family", "sizes", "noise", "data_range", "ssim")


def content(site: Site, here: str, board: Board) -> dict[str, Any]:
    """A task's card, its pictures and its leaders."""
    card = site.card(board)
    facts = {key: card[key] for key in FACTS} if card else {}
    windows = {"grey window of images": card["display"], "grey window of errors": card["error_display"]} if card else {}
    return task_header(site, board) | {
        "pictures": card_pictures(site, board),
        "leader": leader(board),
        "board": site.stem(board),
        "facts": [*facts.items(), *windows.items(), *card.get("card", {}).items()],
    }


PAGE = Page(
    "task",
    "task.html",
    content,
    each=lambda site: {board.task: board for board in site.main()},
    section="index",
    tab="Task",
    order=7,
)
