"""Small features: what every method recovers of small and faint structures, and what it makes up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recon_bench.measurements.small_features import LEVELS, LINES, MEASUREMENT, PROTOCOL, SHOWN, Scale, scale
from recon_bench.results import Result
from recon_bench.site.addresses import link
from recon_bench.site.cells import cell, digits, named
from recon_bench.site.charts import LEADERS
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.task_parts import places, task_header, unmeasured
from recon_bench.site.text import fixed, significant
from recon_bench.tables.board import Board
from recon_bench.tables.columns import NEAREST, demerit, scalars, summary
from recon_bench.tables.statistics import Interval
from recon_bench.tables.transfer import TV

KIND = MEASUREMENT.name
HEADLINE, INVENTED = SHOWN
RECOVERED = 0.7  # the goal for one of the methods that lead
OVER_SPREAD = "over_spread"
POISSON = "poisson"  # a disc changes this noise, any other is nearly the same in both images and cancels


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A section for each task that has such results, in the order of the front page."""
    boards = [board for board in site.main() if of_kind(board)]
    parts = [section(site, here, board) for board in boards]
    return {"sections": parts, "places": places("features", boards, site)}


def of_kind(board: Board) -> list[Result]:
    """Such results of a board."""
    return [cell for (_, kind), cell in board.cells.items() if kind == KIND]


def section(site: Site, here: str, board: Board) -> dict[str, Any]:
    """The table of one task, the nearest to 1 of the headline first, and what was not measured."""
    card = site.card(board)
    told, data_range = scale(card["card"], card["data_range"]), card["data_range"]
    differs = card["noise"]["kind"] == POISSON
    measured = [cell for cell in of_kind(board) if cell.status in ("ok", "partial")]
    found = [(cell, summary(cell) | (over_spread(cell) if differs else {})) for cell in measured]
    found.sort(key=lambda pair: demerit(pair[1][HEADLINE].value, NEAREST) if HEADLINE in pair[1] else math.inf)
    in_percent = told.unit == "%"
    return task_header(site, board) | {
        "href": link(here, "board", site.stem(board)),
        "columns": list(columns(told, differs)),
        "disc": disc(told),
        "range": "" if not in_percent else "of the data range",
        "images": max((len(scalars(cell, INVENTED)) for cell in measured), default=0),
        "foreign": len({name for cell in measured for name in scalars(cell, INVENTED) if not name.startswith("test-")}),
        "leaders": leaders(board, found),
        "kept": kept(board, found),
        "enough": f"{RECOVERED:g} to {2 - RECOVERED:g}",
        "differs": differs,
        "limits": {name: f"±{fixed(least, 2)}" for name, least in card.get("least_deviations", {}).items()},
        "headline": HEADLINE,
        "rows": [row(cell, values, 1 if in_percent else told.units * data_range / 100) for cell, values in found],
        "absent": list(absent(board)),
        "unmeasured": unmeasured(board, KIND),
    }


def leaders(board: Board, found: Sequence[tuple[Result, Mapping[str, Interval]]]) -> str:
    """The headline of the LEADERS of a board and of the best total variation, which may not be measured."""
    known, titles = headlines(found), dict(zip(board.frame["method"], board.frame["title"]))
    variation = [name for name in titles if name.startswith(TV)]
    shown = dict.fromkeys([*(name for name in titles if name not in variation)][:LEADERS] + variation[:1])
    return "; ".join(f"{titles[name]} {known.get(name, 'not measured')}" for name in shown) if known else ""


def kept(board: Board, found: Sequence[tuple[Result, Mapping[str, Interval]]]) -> str:
    """The first of those ranked that recovers RECOVERED of the headline and exaggerates it by no more than that leaves
    out, with its place; empty where none does."""
    whole = [(each, values) for each, values in found if HEADLINE in values]
    enough = [pair for pair in whole if demerit(pair[1][HEADLINE].value, NEAREST) <= 1 - RECOVERED]
    written = headlines(enough)
    ranked = board.frame[board.frame["rank"].notna()]
    ranks = zip(ranked["method"], ranked["title"], ranked["rank"])
    return next((f"{title}, {written[name]}, place {rank}" for name, title, rank in ranks if name in written), "")


def headlines(found: Sequence[tuple[Result, Mapping[str, Interval]]]) -> dict[str, str]:
    """The headline with its interval, by the name of the method."""
    known = {each.method["name"]: cell(values[HEADLINE], digits(2)) for each, values in found if HEADLINE in values}
    return {name: f"{shown['text']} {shown['ends']}".rstrip() for name, shown in known.items()}


def over_spread(result: Result) -> dict[str, Interval]:
    """The mean of the headline over its standard deviation from image to image, which is of the noise for the most."""
    values = np.array([*scalars(result, HEADLINE).values()])
    if len(values) < 3 or not (spread := float(values.std(ddof=1))):
        return {}
    return {OVER_SPREAD: Interval(float(values.mean()) / spread, math.nan, math.nan)}


def disc(told: Scale) -> str:
    """What the headline is about."""
    _, faint, across = HEADLINE.split("_")
    return f"{significant(told.units * told.contrasts[LEVELS.index(faint)])} {told.unit}, {across} {told.length}"


def columns(told: Scale, differs: bool) -> Iterator[dict[str, str]]:
    """The columns after the method: the headline, over its spread where noise ``differs``, what was invented, other
    discs by contrast and size, lines, letters."""
    yield {"name": HEADLINE, "title": f"Disc, {disc(told)}", "unit": "", "better": NEAREST}
    if differs:
        yield {"name": OVER_SPREAD, "title": "That over its spread", "unit": "", "better": "higher"}
    yield {"name": INVENTED, "title": "Invented", "unit": told.unit, "better": "lower"}
    for level, contrast in zip(LEVELS, told.contrasts):
        for size in PROTOCOL.diameters:
            name = f"recovered_{level}_{size}"
            title = f"Disc, {significant(told.units * contrast)} {told.unit}, {size} {told.length}"
            yield from [{"name": name, "title": title, "unit": "", "better": NEAREST}] if name != HEADLINE else []
    for metric, spacing in zip(LINES, PROTOCOL.spacings):
        yield {"name": metric.name, "title": f"Lines, {spacing} px", "unit": "", "better": NEAREST}
    yield {"name": "text", "title": "Letters", "unit": "", "better": "higher"}


def row(result: Result, values: Mapping[str, Interval], unit: float) -> dict[str, Any]:
    """A row of the table; one percent of the data range is ``unit`` of the unit that contrasts are shown in."""
    method, reason = result.method, result.reason or ""
    scaled = {INVENTED: Interval(*(unit * end for end in values[INVENTED]))} if INVENTED in values else {}
    written = {**values, **scaled}.items()
    return named(method, reason) | {
        "cells": {name: cell(value, digits(1 if name == INVENTED else 2)) for name, value in written},
        "status": result.status,
        "reason": reason,
    }


def absent(board: Board) -> Iterator[dict[str, str]]:
    """Methods that could not be measured, with the reason."""
    for result in of_kind(board):
        if result.status not in ("ok", "partial"):
            yield {"title": result.method["title"], "status": result.status, "reason": result.reason or ""}


PAGE = Page("features", "features.html", content, section="features", menu="Small features", order=6)
