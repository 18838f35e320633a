"""Operator shift: what methods lose to another operator by what they know of it, and what adaptation brings back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recon_bench.site.adaptation_parts import WAYS, adaptation, asked, closing, remarks
from recon_bench.site.addresses import link
from recon_bench.site.cells import ends, named, number, signed
from recon_bench.site.charts import Figure
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.sampling_parts import curve, own_rate, rate
from recon_bench.site.shift_parts import SCENARIOS, TITLES, counts, titles, warmth, within
from recon_bench.site.task_parts import task_header, unmeasured
from recon_bench.site.text import fixed, significant
from recon_bench.tables import adaptation as gaps
from recon_bench.tables import sampling
from recon_bench.tables import shift as tables
from recon_bench.tables.adaptation import Adaptation
from recon_bench.tables.board import Board
from recon_bench.tables.sampling import Rates
from recon_bench.tables.shift import Parameter, Row

CIRCULAR = {  # parameters of which the truth is not known apart, and why
    "rotation-centre": "No independent value of the centre is known: the column that the error is counted from is the "
    "one that TomoPy's example finds, and the reference image was reconstructed with it. So it is by construction that "
    "who is told it loses nothing, and part of what the estimate loses may be the reference's own error."
}
KINDS = (tables.KIND, gaps.KIND, sampling.KIND)
PICTURES = 3  # methods of which pictures are shown, where there are some
SMALL = f"below {tables.LEAST:g} dB"


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A section for each task that has such results, in the order of the front page."""
    sections = [section(site, here, board) for board in site.main() if measured(board)]
    return {"sections": sections, "worse": sampling.WORSE, "better": tables.BETTER, "least": SMALL}


def measured(board: Board) -> bool:
    """Whether there is any such result."""
    return any(kind in KINDS for _, kind in board.cells)


def section(site: Site, here: str, board: Board) -> dict[str, Any]:
    """All about one task."""
    found, adapted, called = tables.rows(board), gaps.adaptations(board), titles(board.task)
    rates = sampling.rates(board, own_rate(site.card(board)))
    charts = dict(objectives(board.task, found, called))
    return task_header(site, board) | {
        "href": link(here, "board", site.stem(board)),
        "maps": heat_maps(found, called),
        "parameters": list(parameters(found, called)),
        "open": [chart for shift, chart in charts.items() if not known(found)[shift].identified],
        "folded": [chart for shift, chart in charts.items() if known(found)[shift].identified],
        "pictures": [picture for row in found[:PICTURES] for picture in shown(site, row)],
        "ways": WAYS,
        "adaptations": [adaptation(each, called) for each in adapted],
        "adapted": counts(each.values.get("naive", {}) for each in adapted),
        "closing": closing(adapted, called),
        "remarks": list(remarks(adapted, called)),
        "rates": [rate(each) for each in rates],
        "rated": counts(values for each in rates for values in each.told.values()),
        "curve": [curve(board.task, rates)] if rates else [],
        "absent": list(absent(board, found, adapted, rates, called)),
        "unmeasured": [
            (unmeasured(board, tables.KIND), "Another operator"),
            (unmeasured(board, gaps.KIND, trained=True), "Adaptation"),
            (unmeasured(board, sampling.KIND), "Less and more data"),
        ],
    }


def shown(site: Site, row: Row) -> Iterator[dict[str, str]]:
    """The pictures of a method: who is ignorant, and who finds the parameter."""
    result, title = row.result, row.result.method["title"]
    for name in sorted(result.images, reverse=True):
        assert result.path is not None
        yield from (
            picture | {"title": title} for picture in site.picture(result.path.parent, result.images[name], title)
        )


def heat_maps(found: Sequence[Row], called: Mapping[str, str]) -> list[dict[str, Any]]:
    """A map for each scenario that was measured; the one that is open is of who finds the parameter, where all shifts
    have one, and else of who is told."""
    better = tables.better(found)
    maps = [heat for scenario in SCENARIOS if (heat := heat_map(found, scenario, called, better))]
    shifts = {heat["name"]: len(heat["shifts"]) for heat in maps}
    first = "estimated" if shifts.get("estimated", 0) >= shifts.get("told", 1) else "told"
    return [heat | {"open": heat["name"] == first} for heat in maps]


def heat_map(found: Sequence[Row], scenario: str, called: Mapping[str, str], better: Sequence[str]) -> dict[str, Any]:
    """The losses of a scenario, of each method and shift, the best images first; empty where it was not measured.

    Shifts of ``better`` data are no part of the mean loss.
    """
    rows = [row for row in found if any(name == scenario for _, name in row.values)]
    shifts = [name for name in TITLES if any((name, scenario) in row.values for row in rows)]
    title, meaning = SCENARIOS[scenario]
    worse = [shift for shift in shifts if shift not in better]
    lines = [line(row, shifts, worse, scenario) for row in rows]
    heads = [{"name": name, "title": called[name]} for name in shifts]
    return (
        {
            "name": scenario,
            "title": title,
            "meaning": meaning,
            "shifts": heads,
            "left_out": [called[name] for name in shifts if name in better],
            "rows": sorted(lines, key=lambda row: -float(row["psnr"]["raw"] or "-inf")),
            "images": counts(row.values.get((shift, scenario), {}) for row in rows for shift in shifts),
        }
        if rows
        else {}
    )


def line(row: Row, shifts: Sequence[str], worse: Sequence[str], scenario: str) -> dict[str, Any]:
    """A method in a heat map; its mean loss is over those ``worse`` than the task's own data."""
    losses = {shift: row.loss(shift, scenario) for shift in shifts}
    cells = [
        {
            **number(losses[shift].value, signed),
            "ends": ends(losses[shift]),
            "psnr": number(row.psnr(shift, scenario))["text"] if math.isfinite(row.psnr(shift, scenario)) else "",
            "warm": warmth(losses[shift].value),
            "why": row.missing.get((shift, scenario), ""),
        }
        for shift in shifts
    ]
    return named(row.result.method) | {
        "cells": cells,
        "psnr": number(average([row.psnr(shift, scenario) for shift in shifts])),
        "mean": number(average([losses[shift].value for shift in worse]), signed),
    }


def average(values: Sequence[float]) -> float:
    """The mean; NaN where one is missing, or all are."""
    return math.fsum(values) / len(values) if values else math.nan


def known(found: Sequence[Row]) -> dict[str, Parameter]:
    """What was found of each parameter; it is the same for all methods, which have no part in it."""
    shown = {shift: row.parameters[shift] for row in reversed(found) for shift in row.parameters}
    return {shift: shown[shift] for shift in TITLES if shift in shown}


def parameters(found: Sequence[Row], called: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What was found of each parameter, and what that brings."""
    for shift, each in known(found).items():
        yield {
            "title": called[shift],
            "value": fixed(each.value, 3),
            "error": fixed(each.error, 3),
            "fall": f"{100 * each.sharpness:.0f} %",
            "verdict": "identified" if each.identified else f"found, not accepted: {asked(each.asked)}",
            "tone": "good" if each.identified else "bad",
            "brings": " ".join(filter(None, [brings(found, shift, each), CIRCULAR.get(shift, "")])),
            "circular": shift in CIRCULAR,
            "turned": shift == "angle-offset",
        }


def brings(found: Sequence[Row], shift: str, each: Parameter) -> str:
    """PSNR of the method that does best when told A1, by what it knows, and why a value was not taken."""
    rows = [row for row in found if all(math.isfinite(row.psnr(shift, s)) for s in ("ignorant", "told", "estimated"))]
    if not rows:
        return ""
    best = max(rows, key=lambda row: row.psnr(shift, "told"))
    ignorant, estimated, told = (best.psnr(shift, s) for s in ("ignorant", "estimated", "told"))
    title = best.result.method["title"]
    if each.identified:
        gain = f"{title} has {fixed(estimated, 2)} dB with the value found and {fixed(ignorant, 2)} dB without"
        return f"{gain}, a gain of {fixed(estimated - ignorant, 2)} dB; told the value it has {fixed(told, 2)} dB."
    misfits = f"the misfit is least at {fixed(each.value, 3)}, {fixed(min(each.tried.values()), 4)}" * bool(each.tried)
    if tables.OWN in each.tried:
        misfits += f", and {fixed(each.tried[tables.OWN], 4)} at {tables.OWN:g}, the value of A0"
    kept = f"our rule does not accept it, and the value of A0 is kept: {title} has {fixed(estimated, 2)} dB so"
    cost = f"and {fixed(told, 2)} dB told the value, {fixed(told - estimated, 2)} dB more."
    return f"The data do tell something: {misfits}. But {kept} {cost}"


def objectives(task: str, found: Sequence[Row], called: Mapping[str, str]) -> Iterator[tuple[str, Figure]]:
    """The misfit over the values tried, of each parameter."""
    for shift, parameter in known(found).items():
        tried, title = sorted(parameter.tried.items()), called[shift]
        points = [{"name": title, "x": value, "y": misfit} for value, misfit in tried]
        x = {"title": "Value tried", "unit": "", "log": False}
        y = {"title": "Misfit", "unit": "", "better": "lower", "log": False}
        spec = {"kind": "curve", "x": x, "y": y, "series": [{"name": title, "points": points}]}
        table = [[significant(value), fixed(misfit, 4)] for value, misfit in tried]
        label = f"{title}: misfit of the data over the values of the parameter"
        yield shift, Figure(f"{task}-{shift}", label, label, spec, ["Value", "Misfit"], table, 0)


def absent(
    board: Board,
    found: Sequence[Row],
    adapted: Sequence[Adaptation],
    rates: Sequence[Rates],
    called: Mapping[str, str],
) -> Iterator[dict[str, str]]:
    """What was not measured, with the reason."""
    for (_, kind), result in board.cells.items():
        if kind in KINDS and result.status not in ("ok", "partial"):
            title = f"{result.method['title']}, {result.measurement['title'].lower()}"
            yield {"title": title, "status": result.status, "reason": result.reason or ""}
    for row in found:
        for (shift, scenario), why in row.missing.items():
            title = f"{row.result.method['title']}, {within(called[shift])}, {SCENARIOS.get(scenario, (scenario,))[0]}"
            yield {"title": title, "status": "", "reason": why}
    for each in adapted:
        for way, why in each.notes.items():
            if not each.values.get(way) and way != "oracle":
                parts = each.result.method["title"], within(called[each.shift]), WAYS.get(way, "adaptation").lower()
                yield {"title": ", ".join(parts), "status": "", "reason": why}
    for rated in rates:
        for at, why in rated.missing.items():
            yield {"title": f"{rated.result.method['title']}, at {significant(at)}", "status": "", "reason": why}


PAGE = Page("shift", "shift.html", content, section="shift", menu="Operator shift", order=5)
