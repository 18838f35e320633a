"""How the memory page shows growth along an axis, depth or size of the image: rows of a table and charts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from recon_bench.site.charts import FAMILIES, Figure
from recon_bench.site.text import fixed, significant
from recon_bench.tables import growth
from recon_bench.tables.growth import Axis, Row

LONGEST = 64  # letters of a remark
EMPTY = {"raw": "", "text": "–"}


@dataclass(frozen=True)
class View:
    """Words of an ``axis``: of its slope, which is so many ``units`` times that in MiB, of its largest place, with
    ``at`` as a format of one, of the axis of a chart, and of ``metrics`` that have one."""

    axis: Axis
    slope: str
    unit: str
    units: float
    digits: int
    most: str
    at: str
    x: tuple[str, str]
    metrics: tuple[str, ...]


DEPTH = View(
    growth.DEPTH,
    slope="Per added depth",
    unit="MiB",
    units=1.0,
    digits=3,
    most="Deepest",
    at="depth {:g}",
    x=("Depth", ""),
    metrics=("step", "saved", "inference"),
)
SIZE = View(
    growth.SIZE,
    slope="Per pixel",
    unit="bytes",
    units=growth.MIB / growth.SIZE.unit,
    digits=1,
    most="Largest",
    at="{0:g} × {0:g}",
    x=("Side of the image", "pixels"),
    metrics=("step",),
)
TITLES = {
    "step": "Peak of a training step",
    "saved": "Saved for the backward pass",
    "inference": "Peak of a reconstruction",
}


def shown(row: Row, view: View, href: str) -> dict[str, Any]:
    """A row of the table, as text and as what it is sorted by."""
    grown = row.growth
    facts = {"name": row.method, "title": row.title, "family": row.family, "device": row.device, "href": href}
    remarks = [*(short(note) for note in (row.reason, *row.notes) if note), *reasons(row, view)]
    told = [cell(row, view, at) for at in sorted({at for at, _ in row.curves.get(row.metric, ())})[-1:]]
    slope = [fixed(view.units * value, view.digits) for value in grown.slope] if grown else []
    return facts | {
        "of": "training step" if row.metric == "step" else "reconstruction",
        "slope": {"raw": repr(grown.slope.value), "text": slope[0]} if grown else EMPTY,
        "interval": f"[{slope[1]}, {slope[2]}]" if grown else "",
        "class": {"raw": repr(grown.power), "text": grown.name} if grown else EMPTY,
        "last": told[0] if told else EMPTY,
        "most": [most(row, view, budget) for budget in growth.BUDGETS],
        "remarks": "; ".join(remarks),
        "text": " ".join([row.method, row.title, row.family, *remarks]),
    }


def reasons(row: Row, view: View) -> Iterator[str]:
    """Why places are missing, those with the same beginning of a reason together; the results have all of it."""
    places: dict[str, list[float]] = {}
    for place, why in row.missing.items():
        places.setdefault(short(why), []).append(place)
    for why, found in places.items():
        first, *others = (view.at.format(place) for place in found)
        yield f"{', '.join([first, *(other.removeprefix('depth ') for other in others)])}: {why}"


def short(text: str) -> str:
    """At most so many letters as a cell may have."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()}…"


def cell(row: Row, view: View, place: float) -> dict[str, str]:
    """MiB at a place that was measured."""
    value = dict(row.curves[row.metric])[place]
    return {"raw": repr(value), "text": f"{fixed(value, 1)} at {view.at.format(place)}"}


def most(row: Row, view: View, budget: float) -> dict[str, str]:
    """The last place within so many GB, by the fit; beyond what was measured it is extrapolated."""
    place = row.most(budget)
    if place is None:
        return EMPTY
    if math.isinf(place):
        return {"raw": "1e300", "text": "any"}
    text = "over " * (place == row.reach) + f"{place:,.0f}" + " (extrapolated)" * (place > row.measured)
    return {"raw": repr(place), "text": text}


def figures(task: str, view: View, rows: Sequence[Row]) -> list[Figure]:
    """A chart for each metric of the view that was measured."""
    charts = [figure(task, view, metric, [row for row in rows if row.curves.get(metric)]) for metric in view.metrics]
    return [chart for chart in charts if chart.rows]


def figure(task: str, view: View, metric: str, rows: Sequence[Row]) -> Figure:
    """MiB along the axis, both logarithmic: what does not grow is level, what is linear has the same slope everywhere;
    points of nothing are only in the table."""
    title, (name, unit) = TITLES[metric], view.x
    series = [
        {
            "name": row.title,
            "colour": FAMILIES.index(row.family) if row.family in FAMILIES else len(FAMILIES),
            "points": [{"name": row.title, "x": place, "y": size} for place, size in row.curves[metric] if size > 0],
        }
        for row in rows
    ]
    axes = {
        "x": {"title": name, "unit": unit, "log": True},
        "y": {"title": title, "unit": "MiB", "better": "lower", "log": True},
    }
    table = [[row.title, significant(place), fixed(size, 2)] for row in rows for place, size in row.curves[metric]]
    over = name[0].lower() + name[1:]
    caption = f"{title} over {over}, one image. Both axes are logarithmic; colours are families. Lower is better."
    spec = {"kind": "curve", **axes, "series": [line for line in series if line["points"]]}
    identifier = f"{task}-{metric}" if view is DEPTH else f"{task}-{view.axis.key}-{metric}"
    heads = ["Method", name, f"{title} (MiB)"]
    return Figure(identifier, f"{title} over {over}, by method", caption, spec, heads, table)
