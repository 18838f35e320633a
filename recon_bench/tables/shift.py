"""What results say of another operator: what each scenario loses.

Losses are means of paired differences over the images that both have, from the task's own measurement (home), in dB.
An image whose PSNR is below LEAST counts as minus infinity: it has diverged.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recon_bench.results import Result
from recon_bench.tables.board import Board
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.iterations import DIVERGED
from recon_bench.tables.statistics import Interval, difference

KIND = "shift"
LEAST = 0.0  # dB: an image below it errs by more than the data range, and by how much is of no interest
BETTER = 0.1  # dB: what half of the methods that are told of A1 must gain for its data to be called better than A0's
OWN = 0.0  # what A0 has of every parameter

Values = Mapping[str, float]


@dataclass(frozen=True)
class Parameter:
    """What was found of a parameter: its ``value``, ``error`` and whether it is ``identified``; ``tried`` misfits.

    ``sharpness`` is the part of the misfit that is gone from the lower end of the range, of which ``asked`` must be.
    """

    value: float
    error: float
    sharpness: float
    identified: bool
    tried: Mapping[float, float]
    asked: float = math.nan


@dataclass(frozen=True)
class Row:
    """A method: PSNR by image of each shift and scenario, why there is none of others, and parameters by shift."""

    result: Result
    values: Mapping[tuple[str, str], Values]
    missing: Mapping[tuple[str, str], str]
    parameters: Mapping[str, Parameter]

    def loss(self, shift: str, scenario: str) -> Interval:
        """What a scenario loses from home, infinite where an image has diverged; NaN where one is not known."""
        home, other = (self.values.get((shift, name), {}) for name in ("home", scenario))
        return lost(home, other, **bootstrap(self.result))

    def psnr(self, shift: str, scenario: str) -> float:
        """The mean, minus infinity where an image has diverged; NaN where it is not known."""
        return mean(self.values.get((shift, scenario), {}))


def mean(values: Values) -> float:
    """The mean; NaN of nothing."""
    return math.fsum(values.values()) / len(values) if values else math.nan


def lost(before: Values, after: Values, **how: Any) -> Interval:
    """Mean of the paired differences, with the interval that ``how`` asks for unless images have diverged."""
    both = [sample for sample in before if sample in after]
    first, second = (np.array([of[sample] for sample in both]) for of in (before, after))
    if np.isfinite(first).all() and np.isfinite(second).all():
        return difference(first, second, **how)
    return Interval(math.inf if np.isfinite(first).all() else math.nan, math.nan, math.nan)


def counted(record: Mapping[str, Any], metric: str = "psnr", said: str | None = None) -> float:
    """The PSNR of an image as it counts, NaN without one; ``said``: why, unless that is the error of the record."""
    why = record["error"] if said is None else said
    if why and any(text in why for text in DIVERGED):
        return -math.inf
    psnr = record["values"].get(metric, math.nan)
    return -math.inf if psnr < LEAST else psnr


def better(found: Sequence[Row]) -> list[str]:
    """Shifts with better data than the task's own: told of them, half of the methods gain more than BETTER."""
    told = {shift for row in found for shift, scenario in row.values if scenario == "told"}
    losses = {shift: [row.loss(shift, "told").value for row in found] for shift in sorted(told)}
    known = {shift: [value for value in values if not math.isnan(value)] for shift, values in losses.items()}
    return [shift for shift, values in known.items() if values and statistics.median(values) < -BETTER]


def rows(board: Board) -> list[Row]:
    """A row for each method of a board that was shifted, the best at home first."""
    found = [row(cell) for cell in of_kind(board, KIND)]
    return sorted(found, key=lambda row: -max((mean(v) for (_, s), v in row.values.items() if s == "home"), default=0))


def of_kind(board: Board, kind: str) -> list[Result]:
    """The results of a kind on a board that have values."""
    return [cell for (_, k), cell in sorted(board.cells.items()) if k == kind and cell.status in ("ok", "partial")]


def names(result: Result, field: str) -> Sequence[str]:
    """Those that the protocol of a result numbers in a ``field``."""
    return (result.measurement.get("protocol") or {}).get(field, ())


def row(result: Result) -> Row:
    """What a result says."""
    shifts, scenarios = names(result, "shifts"), names(result, "scenarios")
    asked = ((result.measurement.get("protocol") or {}).get("search") or {}).get("sharp", math.nan)
    values: dict[tuple[str, str], dict[str, float]] = {}
    missing: dict[tuple[str, str], str] = {}
    tried: dict[str, dict[float, float]] = {}
    parameters: dict[str, Values] = {}
    for record in result.records:
        if "shift" not in (at := record["at"]):
            continue
        shift = shifts[int(at["shift"])]
        if "value" in at:
            tried.setdefault(shift, {})[at["value"]] = record["values"]["misfit"]
        elif "scenario" not in at:
            parameters[shift] = record["values"]
        elif not math.isnan(psnr := counted(record)):
            values.setdefault((shift, scenarios[int(at["scenario"])]), {})[record["sample"]] = psnr
        else:
            missing[shift, scenarios[int(at["scenario"])]] = record["error"] or record["note"] or "no value"
    found = {
        shift: Parameter(
            value=each.get("parameter", math.nan),
            error=each.get("parameter_error", math.nan),
            sharpness=each.get("sharpness", math.nan),
            identified=bool(each.get("identified")),
            tried=tried.get(shift, {}),
            asked=asked,
        )
        for shift, each in parameters.items()
    }
    return Row(result, values, missing, found)
