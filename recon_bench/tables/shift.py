"""What results say of another operator: what each scenario loses.

Losses are means of paired differences over the images that both have, from the task's own measurement (home), in dB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recon_bench.results import Result
from recon_bench.tables.board import Board
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.statistics import Interval, difference

KIND = "shift"

Values = Mapping[str, float]


@dataclass(frozen=True)
class Parameter:
    """What was found of a parameter: its ``value``, ``error`` and whether it is ``identified``; ``tried`` misfits."""

    value: float
    error: float
    sharpness: float
    identified: bool
    tried: Mapping[float, float]


@dataclass(frozen=True)
class Row:
    """A method: PSNR by image of each shift and scenario, why there is none of others, and parameters by shift."""

    result: Result
    values: Mapping[tuple[str, str], Values]
    missing: Mapping[tuple[str, str], str]
    parameters: Mapping[str, Parameter]

    def loss(self, shift: str, scenario: str) -> Interval:
        """What a scenario loses from home; NaN where one is not known."""
        home, other = (self.values.get((shift, name), {}) for name in ("home", scenario))
        both = [sample for sample in home if sample in other]
        before, after = (np.array([of[sample] for sample in both]) for of in (home, other))
        return difference(before, after, **bootstrap(self.result))

    def psnr(self, shift: str, scenario: str) -> float:
        """The mean; NaN where it is not known."""
        return mean(self.values.get((shift, scenario), {}))


def mean(values: Values) -> float:
    """The mean; NaN of nothing."""
    return math.fsum(values.values()) / len(values) if values else math.nan


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
        elif "psnr" in record["values"]:
            values.setdefault((shift, scenarios[int(at["scenario"])]), {})[record["sample"]] = record["values"]["psnr"]
        else:
            missing[shift, scenarios[int(at["scenario"])]] = record["error"] or record["note"] or "no value"
    found = {
        shift: Parameter(
            value=each.get("parameter", math.nan),
            error=each.get("parameter_error", math.nan),
            sharpness=each.get("sharpness", math.nan),
            identified=bool(each.get("identified")),
            tried=tried.get(shift, {}),
        )
        for shift, each in parameters.items()
    }
    return Row(result, values, missing, found)
