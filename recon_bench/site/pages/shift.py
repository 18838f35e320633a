"""Operator shift: what methods lose to another operator by what they know of it, and what adaptation brings back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from recon_bench.results import Result
from recon_bench.rules import LEAST_GAP
from recon_bench.site.addresses import link
from recon_bench.site.charts import Figure
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import task_header
from recon_bench.site.text import duration, fixed, significant
from recon_bench.tables import adaptation as gaps
from recon_bench.tables import sampling
from recon_bench.tables import shift as tables
from recon_bench.tables.adaptation import Adaptation
from recon_bench.tables.board import Board
from recon_bench.tables.sampling import Rates
from recon_bench.tables.selection import where
from recon_bench.tables.shift import Row, Values

TITLES = {
    "angle-offset": "Views half a step on",
    "fewer-views": "A fifth fewer views",
    "more-views": "A fifth more views",
    "limited-150": "150° of 180°",
    "limited-120": "120° of 180°",
    "detector-1": "Detector off by 1 bin",
    "detector-2": "Detector off by 2 bins",
    "other-mask": "Another mask",
    "fewer-columns": "A third fewer columns",
    "golden-angle": "Golden-angle lines",
    "other-task": "As the other task",
    "rotation-centre": "Axis off the middle",
}
SCENARIOS = {
    "ignorant": ("Ignorant", "the method takes the data for those of A0"),
    "swapped": ("Handed A1", "a network that was set up for A0 gets A1 with the data"),
    "told": ("Told", "the method is set up for A1"),
    "estimated": ("Estimated", "as told, with a parameter found from the data alone"),
}
WAYS = {
    "home": "Home",
    "ignorant": "Ignorant",
    "naive": "A1 put in",
    "fitted": "Fitted",
    "alone": "Fitted to one",
    "reused": "Reused",
    "refitted": "Refitted",
    "oracle": "Oracle",
}
KINDS = (tables.KIND, gaps.KIND, sampling.KIND)
EMPTY = {"raw": "", "text": "–", "ends": ""}
PICTURES = 3  # methods of which pictures are shown, where there are some
WARM = 10.0  # dB of loss that are the warmest


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A section for each task that has such results, in the order of the front page."""
    sections = [section(site, here, board) for board in site.main() if measured(board)]
    return {"sections": sections, "worse": sampling.WORSE}


def measured(board: Board) -> bool:
    """Whether there is any such result."""
    return any(kind in KINDS for _, kind in board.cells)


def section(site: Site, here: str, board: Board) -> dict[str, Any]:
    """All about one task."""
    found, adapted, rates = tables.rows(board), gaps.adaptations(board), sampling.rates(board)
    return task_header(site, board) | {
        "href": link(here, "board", site.stem(board)),
        "maps": [heat for scenario in SCENARIOS if (heat := heat_map(found, scenario))],
        "parameters": list(parameters(found)),
        "objectives": list(objectives(board.task, found)),
        "pictures": [picture for row in found[:PICTURES] for picture in shown(site, row)],
        "ways": WAYS,
        "adaptations": [adaptation(each) for each in adapted],
        "closing": closing(adapted),
        "rates": [rate(each) for each in rates],
        "curve": [curve(board.task, rates)] if rates else [],
        "absent": list(absent(board, found, adapted)),
    }


def shown(site: Site, row: Row) -> Iterator[dict[str, str]]:
    """The pictures of a method: who is ignorant, and who finds the parameter."""
    result, title = row.result, row.result.method["title"]
    for name in sorted(result.images, reverse=True):
        assert result.path is not None
        yield from (
            picture | {"title": title} for picture in site.picture(result.path.parent, result.images[name], title)
        )


def heat_map(found: Sequence[Row], scenario: str) -> dict[str, Any]:
    """The losses of a scenario, of each method and shift; empty where it was not measured."""
    known = [row for row in found if any(name == scenario for _, name in row.values)]
    shifts = [name for name in TITLES if any((name, scenario) in row.values for row in known)]
    title, meaning = SCENARIOS[scenario]
    shown = [{"name": name, "title": TITLES[name]} for name in shifts]
    lines = [line(row, shifts, scenario) for row in known]
    return {"name": scenario, "title": title, "meaning": meaning, "shifts": shown, "rows": lines} if known else {}


def line(row: Row, shifts: Sequence[str], scenario: str) -> dict[str, Any]:
    """A method in a heat map."""
    method, losses = row.result.method, {shift: row.loss(shift, scenario) for shift in shifts}
    cells = [
        {
            **number(losses[shift].value, signed=True),
            "ends": "" if math.isnan(row.psnr(shift, scenario)) else fixed(row.psnr(shift, scenario), 2),
            "warm": round(100 * min(1.0, max(0.0, losses[shift].value / WARM))) if losses[shift].value > 0 else 0,
            "why": row.missing.get((shift, scenario), ""),
        }
        for shift in shifts
    ]
    whole = [loss.value for loss in losses.values() if not math.isnan(loss.value)]
    average = number(math.fsum(whole) / len(whole) if len(whole) == len(shifts) else math.nan, signed=True)
    return {key: method[key] for key in ("name", "title", "family")} | {
        "cells": cells,
        "mean": average,
        "text": " ".join([method["name"], method["title"], method["family"]]),
    }


def number(value: float, digits: int = 2, signed: bool = False) -> dict[str, str]:
    """A value as text and as what it is sorted by."""
    if math.isnan(value):
        return EMPTY
    return {"raw": repr(value), "text": f"{value:{'+' * signed}z.{digits}f}".replace("-", "−"), "ends": ""}


def parameters(found: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """What was found of each parameter; it is the same for all methods, which have no part in it."""
    for shift in TITLES:
        for row in [row for row in found if shift in row.parameters][:1]:
            known = row.parameters[shift]
            yield {
                "title": TITLES[shift],
                "value": fixed(known.value, 3),
                "error": fixed(known.error, 3),
                "fall": f"{100 * known.sharpness:.0f} %",
                "verdict": "identified" if known.identified else "not identified: the misfit does not fall by half",
                "tone": "good" if known.identified else "bad",
            }


def objectives(task: str, found: Sequence[Row]) -> Iterator[Figure]:
    """The misfit over the values tried, of each parameter."""
    shown = {shift: row.parameters[shift] for row in reversed(found) for shift in row.parameters}
    for shift in (name for name in TITLES if name in shown):
        tried = sorted(shown[shift].tried.items())
        points = [{"name": TITLES[shift], "x": value, "y": misfit} for value, misfit in tried]
        x = {"title": "Value tried", "unit": "", "log": False}
        y = {"title": "Misfit", "unit": "", "better": "lower", "log": False}
        spec = {"kind": "curve", "x": x, "y": y, "series": [{"name": TITLES[shift], "points": points}]}
        table = [[significant(value), fixed(misfit, 4)] for value, misfit in tried]
        label = f"{TITLES[shift]}: misfit of the data over the values of the parameter"
        yield Figure(f"{task}-{shift}", label, label, spec, ["Value", "Misfit"], table, 0)


def adaptation(each: Adaptation) -> dict[str, Any]:
    """A row of the table of adaptations."""
    method, cost = each.result.method, each.costs.get("fitted", {})
    title, best = each.classical
    error = each.costs.get("fitted", each.costs.get("naive", {})).get("parameter_error", math.nan)
    said = [f"{WAYS[way]}: {note}" for way, note in each.notes.items() if way and not note.startswith("not applicable")]
    if falls := [f"{WAYS[way].lower()} {before:.3f} to {after:.3f}" for way, (before, after) in each.misled.items()]:
        said.append(f"worse images of a smaller held-out misfit: {', '.join(falls)}")
    return {key: method[key] for key in ("name", "title", "family")} | {
        "shift": TITLES[each.shift],
        "top": WAYS[each.top],
        "ways": [number(each.psnr(way)) | {"ends": below(each, way)} for way in WAYS],
        "classical": number(best) | {"ends": title},
        "closed": number(100 * each.best, 0),
        "seconds": number(cost.get("seconds", math.nan), 1) | {"ends": took(cost, each.result)},
        "mib": number(cost.get("mib", math.nan), 0),
        "error": number(error, 3),
        "remarks": "; ".join(said),
        "text": " ".join([method["name"], method["title"], method["family"], TITLES[each.shift]]),
    }


def closing(adapted: Sequence[Adaptation]) -> str:
    """Of which gaps half or more is closed, and where a parameter of A1 alone does it, which naive use has as well."""
    wide = [each for each in adapted if each.gap >= LEAST_GAP]
    half = [each for each in wide if each.best >= 0.5]
    named = [
        f"{each.result.method['title']}, {TITLES[each.shift].lower()}"
        + ", by finding the parameter" * (each.bottom == "ignorant" and each.closed("naive") >= 0.5)
        for each in half
    ]
    closed = f"{len(half)} {'is' if len(half) == 1 else 'are'} closed by half or more"
    count = f"Of {len(wide)} gaps of at least {LEAST_GAP:g} dB, {closed}"
    return f"{count}{': ' * bool(half)}{'; '.join(named)}." if wide else ""


def below(each: Adaptation, way: str) -> str:
    """Of a way of adaptation the share that it closes; of one on fewer images what it gains there over naive use."""
    if way not in gaps.ADAPTED:
        return ""
    images, whole = len(each.values.get(way, {})), len(each.values.get("naive", {}))
    if not images or images == whole:
        return share(each.closed(way))
    gained = number(each.gained(way), signed=True)["text"]
    return f"{images} image{'s' * (images > 1)}: {gained} dB"


def share(value: float) -> str:
    """A share in percent; nothing where it is not known."""
    return "" if math.isnan(value) else f"{100 * value:.0f} %".replace("-", "−")


def took(cost: Values, result: Result) -> str:
    """Steps and time of an adaptation, and where."""
    known = {"steps", "seconds"} <= cost.keys()
    return f"{cost['steps']:.0f} steps, {duration(cost['seconds'])} on {where(result)}" if known else ""


def rate(each: Rates) -> dict[str, Any]:
    """A row of the table of less and more data."""
    method = each.result.method
    return {key: method[key] for key in ("name", "title", "family")} | {
        "told": number(each.worst),
        "swapped": number(each.worst_swapped),
        "worse": each.worse,
        "missing": "; ".join(f"{significant(at)}: {why}" for at, why in each.missing.items()),
        "text": " ".join([method["name"], method["title"], method["family"]]),
    }


def curve(task: str, found: Sequence[Rates]) -> Figure:
    """The mean PSNR over the rate, of each method that is told."""
    series, table = [], []
    for each in found:
        title = each.result.method["title"]
        points = [{"name": title, "x": at, "y": value} for at, value in each.psnr.items()]
        series.append({"name": title, "points": points})
        table += [[title, significant(p["x"]), fixed(p["y"], 2)] for p in points]
    axis = next((key for each in found for record in each.result.records for key in record["at"]), "views")
    x = {"title": axis.capitalize(), "unit": "", "log": True}
    y = {"title": "PSNR", "unit": "dB", "better": "higher", "log": False}
    spec = {"kind": "curve", "x": x, "y": y, "series": series}
    label = f"PSNR over {axis}, by method that is told of them"
    return Figure(f"{task}-sampling", label, label, spec, ["Method", axis.capitalize(), "PSNR (dB)"], table)


def absent(board: Board, found: Sequence[Row], adapted: Sequence[Adaptation]) -> Iterator[dict[str, str]]:
    """What was not measured, with the reason."""
    for (_, kind), result in board.cells.items():
        if kind in KINDS and result.status not in ("ok", "partial"):
            title = f"{result.method['title']}, {result.measurement['title'].lower()}"
            yield {"title": title, "status": result.status, "reason": result.reason or ""}
    for row in found:
        for (shift, scenario), why in row.missing.items():
            title = f"{row.result.method['title']}, {TITLES[shift].lower()}, {scenario}"
            yield {"title": title, "status": "", "reason": why}
    for each in adapted:
        for way, why in each.notes.items():
            if not each.values.get(way) and way != "oracle":
                parts = each.result.method["title"], TITLES[each.shift].lower(), WAYS.get(way, "adaptation").lower()
                yield {"title": ", ".join(parts), "status": "", "reason": why}


PAGE = Page("shift", "shift.html", content, section="shift", menu="Operator shift", order=5)
