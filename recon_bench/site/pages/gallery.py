"""The gallery of each task: pictures of what the methods made of its test images."""

from __future__ import annotations

from typing import Any

from recon_bench.results import Result
from recon_bench.site.model import Site, records
from recon_bench.site.page import Page
from recon_bench.site.task_parts import task_header
from recon_bench.site.text import setting
from recon_bench.tables.board import RANKING_KIND, Board


def content(site: Site, here: str, board: Board) -> dict[str, Any]:
    """Pictures of each method on a task, best method first."""
    card = site.card(board)
    entries = []
    for row in records(board.frame):
        made = board.cells.get((row["method"], RANKING_KIND))
        entry = {key: row[key] for key in ("method", "title", "status", "reason")}
        entries.append(entry | {"pictures": strips(site, made, row["title"]) if made else []})
    windows = [" to ".join(map(setting, card[name])) for name in ("display", "error_display")] if card else []
    return task_header(site, board) | {"entries": entries, "windows": windows}


def strips(site: Site, result: Result, title: str) -> list[dict[str, str]]:
    """Pictures of a result: truth, reconstruction and error in one."""
    assert result.path is not None
    found = []
    for name, image in result.images.items():
        alt = f"{title}, {name} image: truth, reconstruction and error side by side"
        found += site.picture(result.path.parent, image, alt)
    return found


PAGE = Page(
    "gallery",
    "gallery.html",
    content,
    each=lambda site: {site.stem(board): board for board in site.boards},
    section="index",
    tab="Reconstructions",
    order=6,
)
