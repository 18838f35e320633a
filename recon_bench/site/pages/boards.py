"""What the front page and the pages of each task show, as plain data for templates: all numbers are the board's."""

from __future__ import annotations

from typing import Any

from recon_bench.results import Result
from recon_bench.site.charts import curve_figures, speed_accuracy
from recon_bench.site.model import Site, board_column, records
from recon_bench.site.text import fixed, setting
from recon_bench.tables.board import RANKING_KIND, RANKING_METRIC, Board


def index(site: Site) -> dict[str, Any]:
    """Front page: a card for each task with its leaders."""
    cards = []
    for board in site.main():
        entry: dict[str, Any] = {"name": board.task, "title": site.title(board), "leader": leader(board)}
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
    column = next(column for column in board.columns if column.name == RANKING_METRIC)
    best = first.iloc[0]
    methods = list(zip(first["method"], first["title"]))
    value = f"{column.title} {fixed(best[RANKING_METRIC], column.digits)} {column.unit}"
    return {"methods": methods[:3], "more": max(0, len(methods) - 3), "value": value}


def card_pictures(site: Site, board: Board) -> list[dict[str, str]]:
    """Truth and measurement of a sample, from the task's card."""
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
    """What all pages of a task start with."""
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


def gallery(site: Site, board: Board) -> dict[str, Any]:
    """Pictures of each method on a task, best method first."""
    card = site.card(board)
    entries = []
    for row in records(board.frame):
        made = board.cells.get((row["method"], RANKING_KIND))
        entry = {key: row[key] for key in ("method", "title", "status", "reason")}
        entries.append(entry | {"pictures": strips(site, made, row["title"]) if made else []})
    windows = [" to ".join(map(setting, card[name])) for name in ("display", "error_display")] if card else []
    return task_header(site, board, "gallery") | {"entries": entries, "windows": windows}


def strips(site: Site, result: Result, title: str) -> list[dict[str, str]]:
    """Pictures of a result: truth, reconstruction and error in one."""
    assert result.path is not None
    found = []
    for name, image in result.images.items():
        alt = f"{title}, {name} image: truth, reconstruction and error side by side"
        found += site.picture(result.path.parent, image, alt)
    return found
