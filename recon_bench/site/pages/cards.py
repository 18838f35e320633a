"""The card of every method: whose it is, what it has learned from, and on which tracks its rows stand.

A submitted method has what its card declares; one that the project has measured itself has what is known of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recon_bench.results import RANKING_KIND, Json, Result
from recon_bench.results.declared import BUDGET, TRACKS, track
from recon_bench.results.marks import REFERENCE
from recon_bench.site.addresses import link
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.training_parts import foreign, started_from, took, trained_on
from recon_bench.tables.board import Board

Cells = Sequence[tuple[Board, Result]]
UNKNOWN = "not declared"
NONE = "none"


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A card for each method, in order of family and title."""
    return {"tracks": TRACKS, "cards": [card(site, here, header) for header in site.methods().values()]}


def card(site: Site, here: str, header: Mapping[str, Any]) -> dict[str, Any]:
    """What is declared or known of a method."""
    name = header["name"]
    cells = list(measured(site, name))
    submitted: Json = next((cell.card for _, cell in cells if cell.card), {})
    marks = list(dict.fromkeys(cell.mark for _, cell in cells))
    known = declared(submitted) if submitted else own(cells) if marks == [REFERENCE] else {}
    shown = {key: known.get(key) or UNKNOWN for key in ("Extra data", "Pretrained weights", "Licence")}
    rows = list(choices(site, cells))
    tracks = ", ".join(dict.fromkeys(row["track"] for row in rows))
    words = [name, header["title"], header["family"], tracks, *marks, *shown.values()]
    return {key: header[key] for key in ("name", "title", "family")} | {
        "text": " ".join(words),
        "tracks": tracks,
        "marks": ", ".join(marks),
        "shown": shown,
        "facts": known,
        "choices": rows,
        "trainings": list(trainings(site, here, cells)),
    }


def measured(site: Site, name: str) -> Iterator[tuple[Board, Result]]:
    """What ranks a method on the board of each task, or another result of it where nothing does."""
    for board in site.main():
        kinds = {kind: cell for (method, kind), cell in board.cells.items() if method == name}
        if kinds:
            yield board, kinds.get(RANKING_KIND) or next(iter(kinds.values()))


def declared(submitted: Json) -> dict[str, str]:
    """What the card of a submission says, without what it leaves empty."""
    data = (f"{part['source']} ({part['licence']}), for {part['used_for']}" for part in submitted["extra_data"])
    weights = (f"{part['source']} ({part['licence']}), of {part['trained_on']}" for part in submitted["pretrained"])
    said = {
        "Authors": ", ".join(submitted["authors"]),
        "Licence": submitted["licence"],
        "Extra data": "; ".join(data) or NONE,
        "Pretrained weights": "; ".join(weights) or NONE,
        "Tuning": submitted["tuning"],
        "Hardware": submitted["hardware"],
        "Code": submitted.get("code", ""),
        "Paper": submitted.get("paper", ""),
        "Declared": "no test data, no choice by a test score, all data are said here",
    }
    return {key: text for key, text in said.items() if text}


def own(cells: Cells) -> dict[str, str]:
    """What is known of a method of this project, from the cards of its trainings."""
    trained = [cell.method["training"] for _, cell in cells if "training" in cell.method]
    extra = {trained_on(each): None for each in trained if each["data"] == "phantoms"}
    pretrained = sorted({name for each in trained for name in foreign(each)})
    return {
        "Authors": "this project",
        "Licence": "MIT",
        "Extra data": "; ".join(extra) or NONE,
        "Pretrained weights": f"those of other tasks here: {', '.join(pretrained)}" if pretrained else NONE,
    }


def choices(site: Site, cells: Cells) -> Iterator[dict[str, str]]:
    """How settings were chosen, with the tasks where they were chosen so."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for board, cell in cells:
        if cell.kind == RANKING_KIND and (on := track(cell)):
            tasks.setdefault((on, how(cell, on)), []).append(site.title(board))
    for (on, text), titles in tasks.items():
        yield {"track": on, "how": text, "tasks": "; ".join(titles)}


def how(cell: Result, on: str) -> str:
    """Which settings the shared tuner chose, and with what budget, or what the track means."""
    if on != BUDGET:
        return TRACKS[on]
    budget, images = (cell.rules.get(f"tuning_{name}", "?") for name in ("evaluations", "images"))
    return f"{', '.join(cell.method['tuned'])} by at most {budget} evaluations on {images} validation images"


def trainings(site: Site, here: str, cells: Cells) -> Iterator[dict[str, str]]:
    """The training behind the weights on each task."""
    for board, cell in cells:
        if found := cell.method.get("training"):
            yield {
                "task": site.title(board),
                "href": link(here, "board", site.stem(board), cell.method["name"]),
                "samples": f"{found['samples']:,}",
                "data": trained_on(found),
                "took": took(found),
                "start": started_from(found),
            }


PAGE = Page("cards", "cards.html", content, section="methods", order=9)
