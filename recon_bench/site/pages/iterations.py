"""What happens if you iterate more: accuracy over iterations, time and applications, a verdict and pictures; and, of
those that look for one, how well the equilibrium is found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from recon_bench.results import Result
from recon_bench.site import equilibria
from recon_bench.site.charts import Figure
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import task_header
from recon_bench.site.text import fixed, significant
from recon_bench.tables.board import Board
from recon_bench.tables.iterations import (
    DEGRADES,
    KIND,
    MARGIN,
    PLATEAUS,
    UNKNOWN,
    Curve,
    Point,
    Verdict,
    curves,
    judge,
)
from recon_bench.tables.numbers import plural

TONES = {DEGRADES: "bad", PLATEAUS: "good", UNKNOWN: ""}
LOST = "diverged"
DEEP = 15.0  # dB below the best of a task: what diverges farther would leave nothing to see of the others
AXES = (
    ("iterations", "Iterations", ""),
    ("seconds", "Time per image", "s"),
    ("applications", "Pairs of A and adjoint", ""),
)


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A section for each task that has such results, in the order of the front page."""
    parts = [section(site, board, of_board(site, board)) for board in site.main()]
    return {"sections": [part for part in parts if part["measured"]], "margin": significant(MARGIN)}


def of_board(site: Site, board: Board) -> list[Curve]:
    """The curves of the very task and rules of a board."""
    found = site.aside.get((board.task, board.rules["name"]), [])
    return curves(found, board.hash, board.rules["hash"])


def section(site: Site, board: Board, found: Sequence[Curve]) -> dict[str, Any]:
    """Charts, verdicts, pictures, equilibria and absences of one task; the method with the best PSNR first."""
    known = [(curve, judge(psnr, curve.trained, curve.diverged)) for curve in found if (psnr := curve.of("psnr"))]
    known.sort(key=lambda pair: -pair[1].best)
    made = [curve for curve, _ in known]
    pages = site.methods()
    header, points = task_header(site, board)["task"], equilibria.rows(site, board)
    return header | {
        "measured": bool(found or points),
        "points": points,
        "trainings": equilibria.trainings(site, board),
        "charts": [figure(header["name"], made, *axis) for axis in AXES] if made else [],
        "rows": [row(curve, verdict, pages) for curve, verdict in known],
        "strips": [strip(site, curve) for curve in made if curve.result.images],
        "absent": list(absent(found)),
        "machine": machine(made[0].result) if made else "",
    }


def figure(task: str, made: Sequence[Curve], axis: str, title: str, unit: str) -> Figure:
    """PSNR of all methods over one axis; what is far below the best is in the table alone."""
    floor = max(max(curve.of("psnr").values()) for curve in made) - DEEP
    series, rows = [], []
    for curve in made:
        name, places = str(curve.result.method["title"]), sorted(_places(curve, axis))
        noted = {point.iterations: f"{name}, {point.note}" for point in curve.points if point.note}
        named = {depth: noted.get(depth, name) for _, _, depth in places}
        points = [{"name": f"{named[at]}, {at} iterations", "x": x, "y": y} for x, y, at in places if y >= floor]
        marked = [x for x, _, depth in places if depth == curve.trained]
        if points:
            series.append({"name": name, "points": points, "marked": marked})
        rows += [
            [named[depth], f"{depth}", fixed(x, 0, unit) if unit else significant(x), fixed(y, 2)]
            for x, y, depth in places
        ]
        rows += [[noted.get(depth, name), f"{depth}", "–", LOST] for depth in curve.diverged]
    x = {"title": title, "unit": unit, "log": True}
    spec = {"kind": "curve", "x": x, "y": {"title": "PSNR", "unit": "dB", "log": False}, "series": series}
    caption = (
        "Lines are methods; the larger mark is the number of iterations that a network was trained for. "
        f"Places more than {DEEP:g} dB below the best one are in the table alone."
    )
    label = f"PSNR over {title.lower()}, by method"
    heads = ["Method", "Iterations", f"{title} ({unit})" if unit else title, "PSNR (dB)"]
    return Figure(f"{task}-{axis}", label, caption, spec, heads, rows)


def _places(curve: Curve, axis: str) -> Iterator[tuple[float, float, int]]:
    """(where on the axis, PSNR, iterations) of what was measured of both."""
    psnr = curve.of("psnr")
    where = {depth: float(depth) for depth in psnr} if axis == KIND else curve.of(axis)
    for depth, value in psnr.items():
        if where.get(depth, 0) > 0:
            yield where[depth], value, depth


def row(curve: Curve, verdict: Verdict, pages: Any) -> dict[str, Any]:
    """One method of the table of verdicts."""
    method = curve.result.method
    return {
        "method": method["name"] if method["name"] in pages else "",
        "title": method["title"],
        "note": curve.note and f"beyond K it {curve.note}",
        "trained": str(curve.trained or "–"),
        "best": _decibels(verdict.best),
        "best_at": verdict.best_at,
        "at_trained": _decibels(verdict.at_trained),
        "at_ten": _decibels(verdict.at_ten),
        "last": _decibels(verdict.last),
        "last_at": verdict.last_at,
        "drop": "–" if math.isinf(verdict.drop) else _decibels(verdict.drop),
        "verdict": {UNKNOWN: "not iterated further"}.get(verdict.verdict, verdict.verdict),
        "tone": TONES[verdict.verdict],
    }


def strip(site: Site, curve: Curve) -> dict[str, Any]:
    """The pictures of one method in the order of their iterations."""
    result = curve.result
    assert result.path is not None
    shown = [result.images[name] for name in sorted(result.images)]
    title = result.method["title"]
    return {"title": title, "pictures": [p for image in shown for p in site.picture(result.path.parent, image, title)]}


def absent(found: Sequence[Curve]) -> Iterator[dict[str, str]]:
    """Methods, or places of their curves, that could not be measured, with the reason: one for each kind of reason."""
    for curve in found:
        title, status = curve.result.method["title"], curve.result.status
        failed: dict[str, list[Point]] = {}
        for point in curve.points:
            if point.error:
                failed.setdefault(LOST if point.diverged else point.error.partition(":")[0], []).append(point)
        if not failed and status not in ("ok", "partial"):
            yield {"title": title, "status": status, "reason": curve.result.reason or ""}
        for points in failed.values():
            where = ", ".join(str(point.iterations) for point in points)
            yield {"title": title, "status": status, "reason": f"{where} iterations: {points[0].error}"}


def machine(result: Result) -> str:
    """What the times were measured on."""
    made = result.provenance
    return f"{made['machine']['cpu']}, {made['device']}, {plural(made['threads'], 'thread')}"


def _decibels(value: float) -> str:
    return LOST if math.isinf(value) else "–" if math.isnan(value) else fixed(value, 2)


PAGE = Page("iterations", "iterations.html", content, section="iterations", menu="Iterate more", order=4)
