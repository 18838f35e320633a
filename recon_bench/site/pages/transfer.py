"""Other people's scans: what of each method's lead over total variation is left on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from recon_bench.data import foreign
from recon_bench.site.addresses import link
from recon_bench.site.cells import EMPTY, cell, digits, named, number, signed
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import places, task_header, unmeasured
from recon_bench.tables import transfer
from recon_bench.tables.board import Board
from recon_bench.tables.transfer import Part, Row

PICTURE = "foreign"  # the name that the measurement gives its picture, and that of the truth on the card
LEADERS = 3  # networks that are shown, those that lead on the task's own images
SCANS = (*foreign.CT, *foreign.MRI)
TITLES = {scan.name: scan.title for scan in SCANS} | {name: title for name, title, _ in foreign.PHANTOMS}
ORDER = {name: place for place, name in enumerate(TITLES)}


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A section for each task that has such results, in the order of the front page."""
    boards = [board for board in site.main() if measured(board)]
    parts = [section(site, here, board) for board in boards]
    return {
        "sections": parts,
        "places": [*places("transfer", boards, site), ("scans", "whose scans")],
        "scans": SCANS,
        "least": f"{transfer.CLEAR:g}",
    }


def measured(board: Board) -> bool:
    """Whether there is any such result."""
    return any(kind == transfer.KIND for _, kind in board.cells)


def section(site: Site, here: str, board: Board) -> dict[str, Any]:
    """The table of one task, with pictures of one scan, and what was not measured."""
    found, against = transfer.rows(board), transfer.rival(board)
    groups = sorted({name for row in found for name in row.groups}, key=lambda name: (ORDER.get(name, 99), name))
    titles = dict(zip(board.frame["method"], board.frame["title"]))
    return task_header(site, board) | {
        "href": link(here, "board", site.stem(board)),
        "rival": titles.get(against, ""),
        "groups": [{"name": name, "title": TITLES.get(name, name)} for name in groups],
        "images": max((row.total.count for row in found), default=0),
        "people": max((row.people.count for row in found), default=0),
        "mixed": any(name in transfer.PHANTOMS for name in groups),
        "kept": transfer.kept(found),
        "rows": [shown(row, groups) for row in found],
        "contrasts": [shown(row, ()) for row in transfer.contrasts(found)],
        "pictures": list(pictures(site, board, found, against)),
        "absent": list(absent(board)),
        "unmeasured": unmeasured(board, transfer.KIND),
    }


def shown(row: Row, groups: Sequence[str]) -> dict[str, Any]:
    """A row of the table, as text and as what it is sorted by."""
    reason, mark = row.result.reason or "", behind(row)
    return named(row.result.method, mark, reason) | {
        "behind": mark,
        "total": cell(row.total.psnr),
        "gain": cell(row.total.gain, signed),
        "people": cell(row.people.psnr),
        "people_gain": cell(row.people.gain, signed),
        "ssim": cell(row.ssim, digits(3)),
        "home_gain": number(row.home_gain, signed),
        "kept": number(row.people.gain.value - row.home_gain, signed),
        "drop": number(row.drop),
        "groups": [group(row.groups.get(name)) for name in groups],
        "status": row.result.status,
        "reason": reason,
    }


def behind(row: Row) -> str:
    """Of a network that is behind total variation, on what."""
    if row.behind_on_people:
        return "behind TV" if row.behind else "behind TV on people"
    return "behind TV with phantoms" if row.behind else ""


def group(part: Part | None) -> dict[str, str]:
    """The PSNR of a group of scans, and below it the gain."""
    if part is None:
        return EMPTY
    return number(part.psnr.value) | {"ends": "" if math.isnan(part.gain.value) else signed(part.gain.value)}


def pictures(site: Site, board: Board, found: Sequence[Row], against: str) -> Iterator[dict[str, str]]:
    """One scan: the truth, the rival, and the networks that lead on the task's own images."""
    if truth := site.card(board).get("images", {}).get(PICTURE):
        for picture in site.picture(site.root / board.task, truth, "Truth"):
            yield picture | {"title": "Truth"}
    networks = sorted((row for row in found if row.result.method.get("weights")), key=lambda row: -row.home)
    for row in [*(row for row in found if row.result.method["name"] == against), *networks[:LEADERS]]:
        result, title = row.result, row.result.method["title"]
        if result.path is not None and PICTURE in result.images:
            for picture in site.picture(result.path.parent, result.images[PICTURE], title):
                yield picture | {"title": title}


def absent(board: Board) -> Iterator[dict[str, str]]:
    """Groups that were not there, and methods that could not be measured, with the reason."""
    for name, reason in transfer.absent(board).items():
        yield {"title": name, "status": "", "reason": reason}
    for (_, kind), result in board.cells.items():
        if kind == transfer.KIND and result.status not in ("ok", "partial"):
            yield {"title": result.method["title"], "status": result.status, "reason": result.reason or ""}


PAGE = Page("transfer", "transfer.html", content, section="transfer", menu="Other people's scans", order=5)
