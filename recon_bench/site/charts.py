"""Figures of the site as data: what charts.js draws, and the same numbers as a table for whoever cannot see it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from recon_bench.results import Result
from recon_bench.site.addresses import link
from recon_bench.site.model import records
from recon_bench.site.text import fixed, significant
from recon_bench.tables.board import RANKING_METRIC, Board, pareto
from recon_bench.tables.columns import REFERENCES, Column
from recon_bench.tables.shift import LEAST
from recon_bench.tables.transfer import TV

COST = "seconds"
LOGARITHMIC = ("loss",)  # metrics that fall over orders of magnitude
TRAINED = (("validation", "Validation PSNR", "dB", 2), ("loss", "Training loss", "", 6))
# The order gives each family its colour and symbol, the same on every page.
FAMILIES = ("direct", "spectral", "iterative", "variational", "post-processing", "unrolled", "equilibrium", "outside")


LEADERS = 3
BEGINS_WITH = (
    "Drawn at first are the three with the best images, total variation and FBP (MRI: zero-filling); the legend brings "
    "the others."
)


@dataclass(frozen=True)
class Figure:
    """``spec`` is drawn; ``heads`` and ``rows`` are its table, whose first ``text_columns`` columns are words."""

    id: str
    label: str
    caption: str
    spec: dict[str, Any]
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


def beginning(series: Sequence[dict[str, Any]], methods: Sequence[tuple[Mapping[str, Any], float]]) -> dict[str, Any]:
    """The ``series`` of a chart of many methods, with those that it begins with in front, so that these have colours of
    their own; ``methods`` have their PSNR, NaN where there is none."""
    first = leading([pair for pair in methods if not math.isnan(pair[1])])
    return {"first": first, "series": sorted(series, key=lambda each: each["name"] not in first)}


def leading(methods: Sequence[tuple[Mapping[str, Any], float]]) -> list[str]:
    """Titles of the methods that a chart of many begins with, given each with its PSNR, as BEGINS_WITH says."""
    best = [method for method, _ in sorted(methods, key=lambda pair: -pair[1])]
    variation = [method for method in best if method["name"].startswith(TV)]
    plain = [method for method in best if method["name"] in REFERENCES]
    chosen = [method for method in best if method not in variation][:LEADERS] + variation[:1] + plain[:1]
    return list(dict.fromkeys(str(method["title"]) for method in chosen))


def speed_accuracy(board: Board, here: str) -> Figure | None:
    """Reconstruction time (log) against the ranking metric, with the front that no other method beats in both.

    ``here`` is the place of the page that shows it.
    """
    columns = {column.name: column for column in board.columns}
    if COST not in columns or RANKING_METRIC not in columns:
        return None
    x, y = columns[COST], columns[RANKING_METRIC]
    frame = board.frame.assign(front=pareto(board.frame, COST, RANKING_METRIC)).dropna(subset=[COST, RANKING_METRIC])
    frame = frame.sort_values([COST, RANKING_METRIC])
    if frame.empty:
        return None
    series = [
        {"name": family, "colour": _colour(str(family)), "points": [_board_point(row, here) for row in records(rows)]}
        for family, rows in frame.groupby("family")
    ]
    front = frame.loc[frame["front"], [COST, RANKING_METRIC]].to_numpy().tolist()
    spec = {"kind": "scatter", "x": _axis(x, log=True), "y": _axis(y), "series": series, "front": front}
    rows = [
        [row["title"], row["family"], "yes" if row["front"] else "no"]
        + [fixed(row[COST], x.digits, x.unit), fixed(row[RANKING_METRIC], y.digits)]
        for row in records(frame)
    ]
    heads = ["Method", "Family", "On the front", _label(x), _label(y)]
    label = f"Speed against accuracy: {y.title} over {x.title.lower()}, by method"
    caption = (
        "Up and to the left is better; the time axis is logarithmic. The dashed line is the Pareto front: no method "
        "beats one on it in both. Vertical bars are intervals. Choose a point to open its method."
    )
    return Figure("speed", label, caption, spec, heads, rows, 3)


def curve_figures(board: Board, curves: pd.DataFrame) -> Iterator[Figure]:
    """One figure for each kind and metric that was measured along an axis; lines are methods."""
    titles = dict(zip(board.frame["method"], board.frame["title"]))
    for key, part in curves.groupby(["kind", "metric", "axis"]):
        kind, metric, axis = map(str, key)
        header = next(cell.measurement for (_, k), cell in board.cells.items() if k == kind)
        y = next(Column(**m, kind=kind) for m in header["metrics"] if m["name"] == metric)
        order = [name for name in titles if name in set(part["method"])]
        drawn = part[[not _diverged(value, y) for value in part["value"]]]
        series = [
            {"name": titles[name], "points": [_curve_point(titles[name], row) for row in records(rows)]}
            for name in order
            for rows in [drawn[drawn["method"] == name].sort_values("at")]
        ]
        x = {"title": axis.capitalize().replace("_", " "), "unit": "", "log": _spread(part["at"].tolist())}
        rows = [[titles[row["method"]], significant(row["at"]), *_value(row, y)] for row in records(part)]
        label = f"{header['title']}: {y.title} over {axis}, by method"
        wins = f"; {y.better} is better" if y.better else ""
        caption = f"{header['title']}. Lines are methods, vertical bars intervals{wins}."
        if len(drawn) < len(part):
            caption += f" Left out: {len(part) - len(drawn)} below {LEAST:g} dB, where images have diverged."
        log = metric in LOGARITHMIC and bool((part["value"] > 0).all())
        spec = {"kind": "curve", "x": x, "y": _axis(y, log), "series": series}
        yield Figure(f"{kind}-{metric}-{axis}", label, caption, spec, ["Method", axis, _label(y), "Interval"], rows)


def tuning_figure(identifier: str, ledger: Sequence[Mapping[str, Any]], setting: str, metric: str) -> Figure:
    """Score over the only setting that was tuned."""
    known = sorted((row for row in ledger if not math.isnan(row[metric])), key=lambda row: row[setting])
    points = [
        {"name": "chosen" if row["chosen"] else f"evaluation {row['evaluation']}", "x": row[setting], "y": row[metric]}
        for row in known
    ]
    spec = {
        "kind": "curve",
        "x": {"title": setting, "unit": "", "log": _spread([row[setting] for row in known])},
        "y": {"title": metric.upper(), "unit": "", "log": False},
        "series": [
            {"name": metric.upper(), "points": points, "marked": [p["x"] for p in points if p["name"] == "chosen"]}
        ],
    }
    heads, rows = ledger_table(ledger)
    label = f"Tuning: validation {metric.upper()} over {setting}"
    return Figure(identifier, label, "Score on validation images of every value tried.", spec, heads, rows, 0)


def training_figures(identifier: str, curve: Result) -> Iterator[Figure]:
    """Validation PSNR and, on a logarithmic axis, the loss over the steps of one training."""
    for name, title, unit, digits in TRAINED:
        known = [(r["at"]["steps"], r["values"][name]) for r in curve.records if name in r["values"]]
        if not known:
            continue
        log = name in LOGARITHMIC and all(value > 0 for _, value in known)
        points = [{"name": f"step {step:,.0f}", "x": step, "y": value} for step, value in known]
        spec = {
            "kind": "curve",
            "x": {"title": "Steps", "unit": "", "log": False},
            "y": {"title": title, "unit": unit, "log": log},
            "series": [{"name": title, "points": points}],
        }
        rows = [[f"{step:,.0f}", fixed(value, digits)] for step, value in known]
        heads = ["Step", f"{title} ({unit})" if unit else title]
        caption = f"{title} over steps" + ("; the axis is logarithmic." if log else "; the best weights are kept.")
        yield Figure(f"{identifier}-{name}", f"Training: {title.lower()} over steps", caption, spec, heads, rows, 0)


def ledger_table(ledger: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of every evaluation of the tuner."""
    shown = [name for name in ledger[0] if name not in ("error", "chosen")]
    rows = [
        ["–" if math.isnan(row[name]) else significant(row[name]) for name in shown]
        + ["chosen" if row["chosen"] else ("" if pd.isna(row["error"]) else row["error"])]
        for row in ledger
    ]
    return [*shown, "outcome"], rows


def _colour(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _axis(column: Column, log: bool = False) -> dict[str, Any]:
    return {"title": column.title, "unit": column.unit, "better": column.better, "log": log}


def _label(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit else column.title


def _board_point(row: dict[str, Any], here: str) -> dict[str, Any]:
    url = link(here, "method", row["method"])
    point = {"name": row["title"], "url": url, "x": row[COST], "y": row[RANKING_METRIC]}
    return point | _ends(row[f"{RANKING_METRIC}_low"], row[f"{RANKING_METRIC}_high"])


def _curve_point(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "x": row["at"], "y": row["value"]} | _ends(row["low"], row["high"])


def _ends(low: float, high: float) -> dict[str, float]:
    return {} if math.isnan(low) else {"low": low, "high": high}


def _between(row: dict[str, Any], column: Column) -> str:
    low, high = (fixed(row[end], column.digits, column.unit) for end in ("low", "high"))
    return "–" if math.isnan(row["low"]) else f"{low} to {high}"


def _value(row: dict[str, Any], column: Column) -> list[str]:
    """A value with its interval."""
    if _diverged(row["value"], column):
        return ["diverged", "–"]
    return [fixed(row["value"], column.digits, column.unit), _between(row, column)]


def _diverged(value: float, column: Column) -> bool:
    """Whether a mean PSNR is of images that err by more than the data range."""
    return "psnr" in column.name and value < LEAST


def _spread(values: Sequence[float]) -> bool:
    """Whether an axis reads better on a logarithmic scale."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > 30
