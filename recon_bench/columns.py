"""What one result says of each metric: columns, and values with their intervals.

Records without ``at`` are averaged over samples, one column for each metric. The runtime is the exception: its records
are of several sorts, told apart by their sample ("setup", "reconstruct-0", "batch", "fbp-0", "operator").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recon_bench.results import Result
from recon_bench.statistics import Interval, interval


@dataclass(frozen=True)
class Column:
    """One measured column: its value is ``frame[name]``, its interval ``frame[name + "_low"]`` and ``"_high"``."""

    name: str
    title: str
    unit: str
    better: str
    digits: int
    kind: str


def columns(result: Result) -> list[Column]:
    """The metrics of the header; for a runtime also the two numbers that only several records give together."""
    found = [Column(**metric, kind=result.kind) for metric in result.measurement["metrics"]]
    if result.kind == "runtime":
        found.append(Column("setup_seconds", "Setup", "s", "lower", 2, result.kind))
        found.append(Column("times_fbp", "Time as a multiple of FBP", "×", "lower", 1, result.kind))
    return found


def summary(result: Result) -> dict[str, Interval]:
    """Value and interval of each column of :func:`columns` that has scalar values; tuning has none."""
    if result.kind == "tuning":
        return {}
    if result.kind == "runtime":
        return _runtime(result)
    found = {metric["name"]: scalars(result, metric["name"]) for metric in result.measurement["metrics"]}
    return {name: interval(np.array([*v.values()]), **bootstrap(result)) for name, v in found.items() if v}


def scalars(result: Result, metric: str) -> dict[str, float]:
    """Value of ``metric`` for each sample, averaged over seeds, from records that are not points of a curve."""
    found: dict[str, list[float]] = {}
    for record in result.records:
        if not record["at"] and metric in record["values"]:
            found.setdefault(record["sample"], []).append(record["values"][metric])
    return {sample: math.fsum(values) / len(values) for sample, values in sorted(found.items())}


def bootstrap(result: Result) -> dict[str, Any]:
    """How the rules of ``result`` want intervals made: keywords of :func:`recon_bench.statistics.interval`."""
    return {"confidence": result.rules.get("confidence", 0.95), "draws": result.rules.get("bootstrap", 2000)}


def _runtime(result: Result) -> dict[str, Interval]:
    seconds = scalars(result, "seconds")
    repeats = np.array([value for sample, value in seconds.items() if sample.startswith("reconstruct-")])
    fbp = np.array([value for sample, value in seconds.items() if sample.startswith("fbp-")])
    found = {}
    if repeats.size:
        found["seconds"] = interval(repeats, "median", **bootstrap(result))
    if repeats.size and fbp.size:
        found["times_fbp"] = _exact(float(np.median(repeats) / np.median(fbp)))
    if "setup" in seconds:
        found["setup_seconds"] = _exact(seconds["setup"])
    for metric in ("seconds_per_image", "applications"):
        for value in scalars(result, metric).values():
            found[metric] = _exact(value)
    return found


def _exact(value: float) -> Interval:
    return Interval(value, math.nan, math.nan)
