"""The gallery of each task: the same test images as every method reconstructs them, with errors and a detail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

KIND = "pictures"
WINDOWS = ("display", "error_display")


@dataclass(frozen=True)
class Subject:
    """A test image whose reconstructions are shown: its name, its truth and the detail that is looked at closely."""

    site: Site
    board: Board
    name: str
    truth: Panel
    box: Box


def content(site: Site, here: str, board: Board) -> dict[str, Any]:
    """Each pictured image: the truth, then what the methods made of it, best method of the board first."""
    card, made = site.card(board), results(site, board)
    rows = records(board.frame)
    pairs = [(row, made[row["method"]]) for row in rows if row["method"] in made]
    without = [row for row in rows if row["method"] not in made or not made[row["method"]].images]
    return task_header(site, board) | {
        "images": [image(subject, pairs) for subject in subjects(site, board, made)],
        "absent": [row | absence(made.get(row["method"])) for row in without],
        "windows": {key: [significant(end) for end in card[key]] for key in WINDOWS if card},
        "level": fixed((card["display"][1] - card["display"][0]) / 255, 4) if card else "",
        "part": pictures.ZOOM,
    }


def results(site: Site, board: Board) -> dict[str, Result]:
    """The newest results with pictures by method, of the very task and rules of the board."""
    found = site.aside.get((board.task, board.rules["name"]), [])
    made = [r for r in found if r.kind == KIND]
    same = [r for r in made if (r.task["hash"], r.rules["hash"]) == (board.hash, board.rules["hash"])]
    ordered = sorted(same, key=lambda r: (r.measurement["version"], started(r)))
    return {result.method["name"]: result for result in ordered}


def absence(result: Result | None) -> dict[str, str]:
    """Why a method has no pictures."""
    if result is None:
        return {"status": "not measured", "reason": "no pictures were made"}
    return {"status": result.status, "reason": result.reason or ""}


def subjects(site: Site, board: Board, made: Mapping[str, Result]) -> Iterator[Subject]:
    """The images of which there are pictures and, beside the card, the truth."""
    for name, stored in site.card(board).get("images", {}).items():
        truth = pictures.panel(site.root / board.task, stored)
        if truth is not None and any(name in result.images for result in made.values()):
            yield Subject(site, board, name, truth, pictures.detail(truth))


def image(subject: Subject, pairs: Sequence[tuple[dict[str, Any], Result]]) -> dict[str, Any]:
    """One test image with what all methods made of it, rows of the board with their results."""
    entries = [entry for row, result in pairs if (entry := reconstruction(subject, row, result)) is not None]
    shown = {"name": subject.name, "truth": subject.site.file(subject.truth.path), "entries": entries}
    return shown | {"box": share(subject.box, subject.truth), "zoom": zoom(subject, subject.truth)}


def reconstruction(subject: Subject, row: Mapping[str, Any], result: Result) -> dict[str, Any] | None:
    """What one method made of the image; None where there is no sound picture of the truth's size."""
    name, site = subject.name, subject.site
    if name not in result.images or result.path is None:
        return None
    x = pictures.panel(result.path.parent, result.images[name])
    if x is None or x.size != subject.truth.size:
        return None
    entry = {"method": row["method"], "title": row["title"], "psnr": psnr(result, name), "picture": site.file(x.path)}
    return entry | {"error": error(subject, x), "zoom": zoom(subject, x)}


def error(subject: Subject, x: Panel) -> str:
    """Place of the error map, in the windows of the task."""
    windows = [tuple(subject.site.card(subject.board)[key]) for key in WINDOWS]
    name = pictures.name("error", ".webp", subject.truth.seal, x.seal, *windows)
    return subject.site.make(name, partial(pictures.error_map, subject.truth, x, *windows))


def zoom(subject: Subject, panel: Panel) -> str:
    """Place of the detail."""
    name = pictures.name("zoom", ".png", panel.seal, subject.box)
    return subject.site.make(name, partial(pictures.crop, panel, subject.box))


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
