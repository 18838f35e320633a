"""What one result says of each metric: columns, and values with their intervals.

Each metric is a column: the mean over samples of its records without ``at``, or the median where it is a time, because
disturbances only ever add time. Times are also given as a multiple of the time of FBP on the same board.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from recon_bench.results import Result
from recon_bench.tables.statistics import Interval, interval

Place = tuple[str, str]  # on a board: method and kind
REFERENCES = ("fbp", "zero-filled")  # the first of them that was timed


@dataclass(frozen=True)
class Column:
    """One measured column: its value is ``frame[name]``, its interval ``frame[name + "_low"]`` and ``"_high"``.

    ``better`` is "higher", "lower" or "nearest 1", or "" where none wins.
    """

    name: str
    title: str
    unit: str
    better: str
    digits: int
    kind: str


NEUTRAL = ("misfit", "noise")  # a misfit below the noise has fitted the noise: to be lower is no merit
NEAREST = "nearest 1"
PARTS = ("recovered_", "modulation_")  # begin names of parts of what is there: to see more of it than that is an error
REPLACED = {"misfit": "misfit_ratio"}  # what is hidden at first where the column that says more is there


def columns(result: Result) -> list[Column]:
    """The metrics of the header, and what is made of some of them.

    These are the misfit as a multiple of what noise leaves and, where it times, the multiple of :func:`with_multiples`.
    """
    found = [Column(**metric, kind=result.kind) for metric in result.measurement["metrics"]]
    found = [replace(column, better=better(column.name, column.better)) for column in found]
    names = [column.name for column in found]
    if "seconds" in names:
        found.append(
            Column("times_fbp", "Time as a multiple of FBP (MRI: of zero-filling)", "×", "lower", 1, result.kind)
        )
    if set(NEUTRAL) <= set(names):
        ratio = Column("misfit_ratio", "Data misfit over noise", "×", "", 2, result.kind)
        found.insert(names.index("misfit"), ratio)
    return found


def better(metric: str, said: str) -> str:
    """Which values of a metric win on a board, where its measurement has ``said`` "higher" or "lower"."""
    return "" if metric in NEUTRAL else NEAREST if metric.startswith(PARTS) else said


def demerit(value: float, better: str) -> float:
    """What is the smaller the better ``value`` is; NaN where none wins."""
    return {"higher": -value, "lower": value, NEAREST: abs(value - 1)}.get(better, math.nan)


def summary(result: Result) -> dict[str, Interval]:
    """Value and interval of each metric that has scalar values; a ledger has none."""
    if result.traits["ledger"]:
        return {}
    found = {}
    for metric in result.measurement["metrics"]:
        if values := scalars(result, metric["name"]):
            statistic: Literal["mean", "median"] = "median" if metric["unit"] == "s" else "mean"
            found[metric["name"]] = interval(np.array([*values.values()]), statistic, **bootstrap(result))
    misfit, noise = scalars(result, "misfit"), scalars(result, "noise")
    if ratios := [misfit[sample] / level for sample, level in noise.items() if level > 0 and sample in misfit]:
        found["misfit_ratio"] = interval(np.array(ratios), "mean", **bootstrap(result))
    return found


def with_multiples(summaries: Mapping[Place, Mapping[str, Interval]]) -> dict[Place, dict[str, Interval]]:
    """The summaries of one board, by method and kind, with ``times_fbp`` where there is a time beside one of FBP.

    It is the seconds over those of FBP (MRI: of zero-filling) in the same kind, which are of one machine, device,
    thread count and backend on a board.
    """
    found = {}
    for (method, kind), summary in summaries.items():
        beside = [summaries.get((name, kind), {}).get("seconds") for name in REFERENCES]
        unit = next(filter(None, beside), None)
        found[method, kind] = dict(summary)
        if unit and "seconds" in summary:
            found[method, kind]["times_fbp"] = Interval(summary["seconds"].value / unit.value, math.nan, math.nan)
    return found


def scalars(result: Result, metric: str) -> dict[str, float]:
    """Value of ``metric`` by sample, averaged over seeds, from records that are not points of a curve; may be empty."""
    found: dict[str, list[float]] = {}
    for record in result.records:
        if not record["at"] and metric in record["values"]:
            found.setdefault(record["sample"], []).append(record["values"][metric])
    return {sample: math.fsum(values) / len(values) for sample, values in sorted(found.items())}


def bootstrap(result: Result) -> dict[str, Any]:
    """How the rules of ``result`` want intervals made: keywords of :func:`recon_bench.tables.statistics.interval`."""
    return {"confidence": result.rules.get("confidence", 0.95), "draws": result.rules.get("bootstrap", 2000)}
