"""Operator shift for a reader: names of shifts and scenarios, how warm a loss is, and the map of a method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from recon_bench import registry
from recon_bench.site.cells import EMPTY, ends, number, signed
from recon_bench.tables import adaptation, shift
from recon_bench.tables.board import Board
from recon_bench.tables.numbers import plural

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
    "other-task": "As another task measures",
    "rotation-centre": "Axis off the middle",
}
SCENARIOS = {
    "ignorant": ("Ignorant", "the method takes the data for those of A0"),
    "swapped": ("Handed A1", "a network that was set up for A0 gets A1 with the data"),
    "told": ("Told", "the method is set up for A1"),
    "estimated": ("Estimated", "as told, with a parameter found from the data alone"),
}
COLUMNS = {"home": "Home", "ignorant": "Ignorant", "told": "Told", "estimated": "Estimated"}  # on a method's page
WARM = 10.0  # dB of loss that are the warmest


def titles(task: str) -> dict[str, str]:
    """What the shifts of a task are called; that to another task by the title of that one, where both are known."""
    known = registry.tasks()
    shifts = known[task].shifts if task in known else ()
    return TITLES | {each.name: f"As in {known[each.oracle].title}" for each in shifts if each.oracle in known}


def within(title: str) -> str:
    """A title in the middle of a sentence."""
    return title[:1].lower() + title[1:]


def warmth(loss: float) -> int:
    """How warm a loss in dB is, from 0 for none to 100."""
    return round(100 * min(1.0, loss / WARM)) if loss > 0 else 0


def of_method(board: Board, name: str) -> dict[str, Any]:
    """PSNR of a method by shift and scenario on one board, with the best way of adaptation; empty where there is none.

    Each cell has how warm its loss from home is.
    """
    results = [board.cells[name, kind] for kind in (shift.KIND, adaptation.KIND) if (name, kind) in board.cells]
    measured = [result for result in results if result.status in ("ok", "partial")]
    rows = [shift.row(result) for result in measured if result.kind == shift.KIND]
    if not rows:
        return {}
    (row,) = rows
    adapted = {each.shift: each for r in measured if r.kind == adaptation.KIND for each in adaptation.of_result(r)}
    called = titles(board.task)
    shifts = [name for name in TITLES if any(name == of for of, _ in row.values)]
    columns = {way: title for way, title in COLUMNS.items() if any(way == scenario for _, scenario in row.values)}
    lines = [
        {"title": called[of], "cells": [_psnr(row, of, way) for way in columns] + _adapted(adapted, of)}
        for of in shifts
    ]
    heads = [*columns.values(), *(["Adapted"] if adapted else [])]
    return {"heads": heads, "rows": lines, "images": counts(row.values.values())}


def _psnr(row: shift.Row, of: str, scenario: str) -> dict[str, Any]:
    loss, missing = row.loss(of, scenario), row.missing.get((of, scenario), "")
    said = f"{signed(loss.value)} dB lost {ends(loss)}".strip() if math.isfinite(loss.value) else missing
    return number(row.psnr(of, scenario)) | {"title": said * (scenario != "home"), "warm": warmth(loss.value)}


def _adapted(adapted: Mapping[str, adaptation.Adaptation], of: str) -> list[dict[str, Any]]:
    """The way with the best images of those that have all, in a list of one; of none where nothing was adapted."""
    if of not in adapted:
        return [EMPTY | {"title": "", "warm": 0}] if adapted else []
    each = adapted[of]
    loss = each.psnr("home") - each.reached
    said = f"{each.leading}, {signed(loss)} dB lost" if math.isfinite(loss) else ""
    return [number(each.reached) | {"title": said, "warm": warmth(loss)}]


def counts(groups: Iterable[Mapping[str, float]]) -> str:
    """``10 images``, or from how many to how many."""
    sizes = sorted({len(group) for group in groups if group})
    if not sizes:
        return "no image"
    return f"{sizes[0]} to {sizes[-1]} images" if len(sizes) > 1 else plural(sizes[0], "image")
