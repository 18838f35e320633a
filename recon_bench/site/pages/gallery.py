"""The gallery of each task: the same test images as every method reconstructs them, with errors and a detail."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from recon_bench.results import Result, started
from recon_bench.site import pictures
from recon_bench.site.model import Site, records
from recon_bench.site.page import Page
from recon_bench.site.pictures import Box, Panel
from recon_bench.site.task_parts import task_header
from recon_bench.site.text import fixed, significant
from recon_bench.tables.board import Board


def content(site: Site, here: str, board: Board) -> dict[str, Any]:
    """Each pictured image: the truth, then what the methods made of it, best method of the board first."""
    card, made = site.card(board), results(site, board)
    names = [name for name in card.get("images", {}) if any(name in result.images for result in made.values())]
    rows = [row for row in records(board.frame) if row["method"] in made]
    images = [image for name in names if (image := shown(site, board, name, rows, made)) is not None]
    absent = [row | absence(made.get(row["method"])) for row in records(board.frame)]
    return task_header(site, board) | {
        "images": images,
        "absent": [row for row in absent if not (row["method"] in made and made[row["method"]].images)],
        "windows": {key: [significant(end) for end in card[key]] for key in ("display", "error_display") if card},
        "level": fixed((card["display"][1] - card["display"][0]) / 255, 4) if card else "",
        "part": pictures.ZOOM,
    }


def results(site: Site, board: Board) -> dict[str, Result]:
    """The newest results with pictures by method, of the very task and rules of the board."""
    found = site.pictured.get((board.task, board.rules["name"]), [])
    same = [r for r in found if (r.task["hash"], r.rules["hash"]) == (board.hash, board.rules["hash"])]
    ordered = sorted(same, key=lambda r: (r.measurement["version"], started(r)))
    return {result.method["name"]: result for result in ordered}


def absence(result: Result | None) -> dict[str, str]:
    """Why a method has no pictures."""
    if result is None:
        return {"status": "not measured", "reason": "no pictures were made"}
    return {"status": result.status, "reason": result.reason or ""}


def shown(
    site: Site, board: Board, name: str, rows: list[dict[str, Any]], made: Mapping[str, Result]
) -> dict[str, Any] | None:
    """One test image; None where its truth is not beside the card."""
    image = site.card(board).get("images", {}).get(name)
    truth = pictures.panel(site.root / board.task, image) if image else None
    if truth is None:
        return None
    box = pictures.detail(truth)
    entries = [entry for row in rows if (entry := reconstruction(site, board, name, truth, box, row, made)) is not None]
    return {"name": name, "truth": site.file(truth.path), "box": share(box, truth), "entries": entries} | zoom(
        site, truth, box
    )


def reconstruction(
    site: Site, board: Board, name: str, truth: Panel, box: Box, row: dict[str, Any], made: Mapping[str, Result]
) -> dict[str, Any] | None:
    """What one method made of the image; None where there is no sound picture of the truth's size."""
    result = made[row["method"]]
    if name not in result.images or result.path is None:
        return None
    x = pictures.panel(result.path.parent, result.images[name])
    if x is None or x.size != truth.size:
        return None
    windows = [tuple(site.card(board)[key]) for key in ("display", "error_display")]
    file = pictures.name("error", ".webp", truth.seal, x.seal, *windows)
    entry = {"method": row["method"], "title": row["title"], "psnr": psnr(result, name), "picture": site.file(x.path)}
    return entry | {"error": site.make(file, partial(pictures.error_map, truth, x, *windows))} | zoom(site, x, box)


def zoom(site: Site, panel: Panel, box: Box) -> dict[str, str]:
    """The detail inside ``box``."""
    return {"zoom": site.make(pictures.name("zoom", ".png", panel.seal, box), partial(pictures.crop, panel, box))}


def share(box: Box, truth: Panel) -> dict[str, str]:
    """Where the detail is, in percent of the picture."""
    left, top, right, bottom = box
    width, height = truth.size
    parts = {"left": left / width, "top": top / height, "width": (right - left) / width}
    return {side: f"{100 * part:.2f}" for side, part in (parts | {"height": (bottom - top) / height}).items()}


def psnr(result: Result, name: str) -> str:
    """The PSNR of this image, as the result has it."""
    values = [record["values"].get("psnr") for record in result.records if record["sample"] == name]
    return f"{fixed(values[0], 2)} dB" if values and values[0] is not None else ""


PAGE = Page(
    "gallery",
    "gallery.html",
    content,
    each=lambda site: {site.stem(board): board for board in site.boards},
    section="index",
    tab="Reconstructions",
    order=6,
)
