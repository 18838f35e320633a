"""Published figures beside ours: `published.json` against the boards under the full rules.

One rule for every row: a published figure agrees if it lies inside the interval of ours widened by MARGIN on both
sides, else it differs, for whatever reason; the remark says what is known of it. An SSIM is compared in decibels, too:
-10 log10(1 - SSIM), how far it is from 1. Figures and most values were known when the rule was written, no verdict was:
it is not to be changed for one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import pandas as pd

from recon_bench.results import Result
from recon_bench.tables.board import board, task_names

MARGIN = 0.5  # dB
AGREES, DIFFERS, UNKNOWN = "agrees", "differs", "not measured"
COLUMNS = ("task", "method", "metric", "published", "ours", "low", "high", "gap", "verdict", "remark", "source")


def published(results: Iterable[Result]) -> pd.DataFrame:
    """One row for each published figure, with the COLUMNS.

    ``ours`` with ``low`` and ``high`` is the mean over test images and its interval, NaN where there is none; ``gap``
    is ours less the published figure; ``verdict`` is AGREES, DIFFERS or UNKNOWN.
    """
    results = list(results)
    measured = set(task_names(results))
    data = json.loads((files("recon_bench.tables") / "published.json").read_text(encoding="utf-8"))
    boards = {row["task"]: board(results, row["task"]).frame for row in data["rows"] if row["task"] in measured}
    rows = []
    for row in data["rows"]:
        ours, low, high = _ours(boards.get(row["task"]), row["method"], row["metric"])
        found = {"ours": ours, "low": low, "high": high, "gap": ours - row["published"]}
        found |= {"verdict": _verdict(row, ours, low, high), "source": data["sources"][row["source"]]}
        rows.append({**row, **found})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _ours(frame: pd.DataFrame | None, method: str, metric: str) -> tuple[float, float, float]:
    if frame is None or metric not in frame or method not in set(frame["method"]):
        return math.nan, math.nan, math.nan
    own = frame[frame["method"] == method].iloc[0].to_dict()
    return float(own[metric]), float(own[f"{metric}_low"]), float(own[f"{metric}_high"])


def _verdict(row: Mapping[str, Any], ours: float, low: float, high: float) -> str:
    """A single image has no interval: its value stands for both ends."""
    if math.isnan(ours):
        return UNKNOWN
    low, high = (ours, ours) if math.isnan(low) else (low, high)
    low, high, figure = (_decibels(row["metric"], value) for value in (low, high, row["published"]))
    return AGREES if low - MARGIN <= figure <= high + MARGIN else DIFFERS


def _decibels(metric: str, value: float) -> float:
    return -10 * math.log10(max(1 - value, 1e-12)) if metric == "ssim" else value
