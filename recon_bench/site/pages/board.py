"""The leaderboard of each task under its rules: all numbers are the board's."""

from __future__ import annotations

from typing import Any

from recon_bench.results.declared import TRACKS
from recon_bench.results.marks import REFERENCE
from recon_bench.site.addresses import link
from recon_bench.site.charts import curve_figures, speed_accuracy
from recon_bench.site.downloads import DOWNLOADS
from recon_bench.site.model import Site, board_column
from recon_bench.site.page import Page
from recon_bench.site.task_parts import task_header
from recon_bench.tables.board import Board

ELSEWHERE = {  # pages with a section for each task: what they are about, and the kinds that they show
    "robustness": ("attacks and corrupted data", {"robustness", "corruptions"}),
    "shift": ("other operators, less and more data", {"shift", "adaptation", "sampling"}),
    "transfer": ("other people’s scans", {"transfer"}),
    "features": ("small features", {"small-features"}),
    "memory": ("memory against depth", {"memory"}),
}
OTHERS = "; what is under attack, of other people or the like has means over what the pages of that say"
VOUCHED = (
    " Self-reported rows were measured by who submitted them, reproduced ones held when somebody else ran them again; "
    "all others were measured by this project."
)


def content(site: Site, here: str, board: Board) -> dict[str, Any]:
    """The table of a board with its charts."""
    charts = [figure for figure in [speed_accuracy(board, here)] if figure]
    return task_header(site, board) | {
        "columns": [board_column(column, column.name in board.hidden) for column in board.columns],
        "rows": list(site.rows(board).values()),
        "families": sorted(set(board.frame["family"])),
        "tracks": {name: meaning for name, meaning in TRACKS.items() if name in set(board.frame["track"])},
        "elsewhere": elsewhere(board, here),
        "quick": board.rules["name"] != "full",
        "rules": board.rules,
        "remarks": board.notes,
        "caption": f"{over(board)}; times are medians of repeats{OTHERS * bool(elsewhere(board, here))}. "
        "Ranked by PSNR; “=” marks methods that share a rank because their paired difference is not significant."
        + VOUCHED
        * bool({*board.frame["mark"]} - {"", REFERENCE}),
        "versions": f"Task version {board.version} ({board.hash}), {board.rules['name']} rules version "
        f"{board.rules['version']} ({board.rules['hash']}). Results of other versions are not mixed in.",
        "files": file_names(site.stem(board)),
        "charts": charts + list(curve_figures(board, site.curves[board.task, board.rules["name"]])),
    }


def elsewhere(board: Board, here: str) -> list[tuple[str, str]]:
    """Pages that say more of this task's methods, where there is something, with addresses."""
    kinds = {kind for _, kind in board.cells}
    return [
        (link(here, page, part=f"{page}-{board.task}"), title)
        for page, (title, wanted) in ELSEWHERE.items()
        if kinds & wanted
    ]


def over(board: Board) -> str:
    """What values are means over; of one image nothing is significant."""
    images, confidence = board.frame["images"].max(), 100 * board.rules.get("confidence", 0.95)
    if images == 1:
        return "Values of one test image, which leaves all differences open"
    return f"Means over {images} test images with {confidence:.0f} % bootstrap intervals"


def file_names(stem: str) -> dict[str, str]:
    """Names of the downloads beside a board, by their ending."""
    return {suffix: f"{stem}{suffix}" for suffix in DOWNLOADS}


def files(site: Site, stem: str, board: Board) -> dict[str, str]:
    """The downloads by file name."""
    title = site.title(board)
    return {name: DOWNLOADS[suffix](board, title) for suffix, name in file_names(stem).items()}


PAGE = Page(
    "board",
    "board.html",
    content,
    each=lambda site: {site.stem(board): board for board in site.boards},
    files=files,
    section="index",
    tab="Leaderboard",
    order=5,
)
