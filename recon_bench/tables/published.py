"""Published figures beside ours: `published.json` against the boards under the full rules.

A row agrees by its own rule: within a tolerance of the published figure, or at least a value. A rule of null means
that the two stand side by side without a verdict; the remark says why.
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

COLUMNS = ("task", "method", "metric", "published", "source", "ours", "low", "high", "agrees", "remark")


def published(results: Iterable[Result]) -> pd.DataFrame:
    """One row for each published figure, with the COLUMNS.

    ``ours`` with ``low`` and ``high`` is the mean over test images and its interval, NaN where there is none;
    ``agrees`` is "yes", "no", "not measured" or "not compared". ValueError for a rule that is not known.
    """
    results = list(results)
    measured = set(task_names(results))
    data = json.loads((files("recon_bench.tables") / "published.json").read_text(encoding="utf-8"))
    boards = {row["task"]: board(results, row["task"]).frame for row in data["rows"] if row["task"] in measured}
    rows = []
    for row in data["rows"]:
        ours, low, high = _ours(boards.get(row["task"]), row["method"], row["metric"])
        found = {"ours": ours, "low": low, "high": high, "agrees": _agrees(row, ours)}
        rows.append({**row, **found, "source": data["sources"][row["source"]]})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _ours(frame: pd.DataFrame | None, method: str, metric: str) -> tuple[float, float, float]:
    if frame is None or metric not in frame or method not in set(frame["method"]):
        return math.nan, math.nan, math.nan
    own = frame[frame["method"] == method].iloc[0].to_dict()
    return float(own[metric]), float(own[f"{metric}_low"]), float(own[f"{metric}_high"])


def _agrees(row: Mapping[str, Any], ours: float) -> str:
    if math.isnan(ours):
        return "not measured"
    match row["rule"]:
        case None:
            return "not compared"
        case {"within": tolerance}:
            fine = abs(ours - row["published"]) <= tolerance
        case {"at least": least}:
            fine = ours >= least
        case rule:
            raise ValueError(f"published.json: expected the rule 'within', 'at least' or null, found {rule!r}")
    return "yes" if fine else "no"
