"""What one result says of each metric: columns, and values with their intervals.

Each metric is a column: the mean over samples of its records without ``at``, or the median where it is a time, because
disturbances only ever add time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from recon_bench.results import Result
from recon_bench.tables.statistics import Interval, interval


@dataclass(frozen=True)
class Column:
    """One measured column: its value is ``frame[name]``, its interval ``frame[name + "_low"]`` and ``"_high"``.

    ``better`` is "higher" or "lower", or "" where neither wins.
    """

    name: str
    title: str
    unit: str
    better: str
    digits: int
    kind: str


NEUTRAL = ("misfit", "noise")  # a misfit below the noise has fitted the noise: to be lower is no merit
REPLACED = {"misfit": "misfit_ratio"}  # what is hidden at first where the column that says more is there


def columns(result: Result) -> list[Column]:
    """The metrics of the header, and what is made of two of them.

    These are the time as a multiple of FBP's (MRI: of zero-filling) and the misfit as one of what noise leaves.
    """
    found = [Column(**metric, kind=result.kind) for metric in result.measurement["metrics"]]
    found = [replace(column, better="") if column.name in NEUTRAL else column for column in found]
    names = [column.name for column in found]
    if {"seconds", "fbp_seconds"} <= set(names):
        found.append(
            Column("times_fbp", "Time as a multiple of FBP (MRI: of zero-filling)", "×", "lower", 1, result.kind)
        )
    if set(NEUTRAL) <= set(names):
        ratio = Column("misfit_ratio", "Data misfit over noise", "×", "", 2, result.kind)
        found.insert(names.index("misfit"), ratio)
    return found


def summary(result: Result) -> dict[str, Interval]:
    """Value and interval of each column of :func:`columns` that has scalar values; a ledger has none."""
    if result.traits["ledger"]:
        return {}
    found = {}
    for metric in result.measurement["metrics"]:
        if values := scalars(result, metric["name"]):
            statistic: Literal["mean", "median"] = "median" if metric["unit"] == "s" else "mean"
            found[metric["name"]] = interval(np.array([*values.values()]), statistic, **bootstrap(result))
    if {"seconds", "fbp_seconds"} <= found.keys():
        found["times_fbp"] = Interval(found["seconds"].value / found["fbp_seconds"].value, math.nan, math.nan)
    misfit, noise = scalars(result, "misfit"), scalars(result, "noise")
    if ratios := [misfit[sample] / level for sample, level in noise.items() if level > 0 and sample in misfit]:
        found["misfit_ratio"] = interval(np.array(ratios), "mean", **bootstrap(result))
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
