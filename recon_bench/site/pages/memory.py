"""Memory against depth: curves of every method that has a depth, and what grows how fast."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from recon_bench.results import Result
from recon_bench.site.addresses import link
from recon_bench.site.charts import FAMILIES, Figure
from recon_bench.site.model import Site
from recon_bench.site.page import Page
from recon_bench.site.text import fixed, significant
from recon_bench.tables import growth
from recon_bench.tables.board import Board
from recon_bench.tables.growth import Row

CURVES = (
    ("step", "Peak of a training step"),
    ("saved", "Saved for the backward pass"),
    ("inference", "Peak of a reconstruction"),
)
LONGEST = 64  # letters of a remark


def content(site: Site, here: str, item: None) -> dict[str, Any]:
    """A part for each task that has such results, and on which devices they were measured."""
    known = site.methods()
    parts = [part(site, here, board, rows, known) for board in site.main() if (rows := rows_of(site, board))]
    devices = {row["device"] for found in parts for row in found["rows"]}
    return {"parts": parts, "gpu": "cuda" in devices, "budgets": growth.BUDGETS, "settled": growth.SETTLED}


def rows_of(site: Site, board: Board) -> list[Row]:
    """The rows of a board's task, of its very version."""
    found: Sequence[Result] = site.aside.get((board.task, board.rules["name"]), [])
    return growth.rows([r for r in found if r.task["hash"] == board.hash], board.task, board.rules["name"])


def part(site: Site, here: str, board: Board, rows: Sequence[Row], known: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a task."""
    charts = [figure(board.task, metric, title, rows) for metric, title in CURVES]
    return {
        "task": board.task,
        "title": site.title(board),
        "href": link(here, "board", site.stem(board)),
        "rows": [shown(row, link(here, "method", row.method) if row.method in known else "") for row in rows],
        "charts": [chart for chart in charts if chart],
    }


def shown(row: Row, href: str) -> dict[str, Any]:
    """A row of the table, as text and as what it is sorted by."""
    grown = row.growth
    facts = {"name": row.method, "title": row.title, "family": row.family, "device": row.device, "href": href}
    remarks = [*(short(note) for note in row.notes), *reasons(row)]
    told = [cell(row, at) for at in sorted({at for at, _ in row.curves.get(row.metric, ())})[-1:]]
    return facts | {
        "of": "training step" if row.metric == "step" else "reconstruction",
        "slope": {"raw": repr(grown.slope.value), "text": fixed(grown.slope.value, 3)} if grown else EMPTY,
        "interval": f"[{fixed(grown.slope.low, 3)}, {fixed(grown.slope.high, 3)}]" if grown else "",
        "class": {"raw": repr(grown.power), "text": grown.name} if grown else EMPTY,
        "last": told[0] if told else EMPTY,
        "deepest": [deepest(row, budget) for budget in growth.BUDGETS],
        "remarks": "; ".join(remarks),
        "text": " ".join([row.method, row.title, row.family, *remarks]),
    }


def reasons(row: Row) -> Iterator[str]:
    """Why depths are missing, those with the same beginning of a reason together; the results have all of it."""
    depths: dict[str, list[str]] = {}
    for depth, why in row.missing.items():
        depths.setdefault(short(why), []).append(f"{depth:g}")
    return (f"depth {', '.join(found)}: {why}" for why, found in depths.items())


def short(text: str) -> str:
    """At most so many letters as a cell may have."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()}…"


EMPTY = {"raw": "", "text": "–"}


def cell(row: Row, depth: float) -> dict[str, str]:
    """MiB at a depth that was measured."""
    value = dict(row.curves[row.metric])[depth]
    return {"raw": repr(value), "text": f"{fixed(value, 1)} at depth {depth:g}"}


def deepest(row: Row, budget: float) -> dict[str, str]:
    """The deepest model within so many GB, by the fit; beyond what was measured it is extrapolated."""
    if row.growth is None:
        return EMPTY
    depth = row.growth.deepest(budget)
    if math.isinf(depth):
        return {"raw": "1e300", "text": "any"}
    text = "over " * (depth == row.growth.reach) + f"{depth:,.0f}" + " (extrapolated)" * (depth > row.measured)
    return {"raw": repr(depth), "text": text}


def figure(task: str, metric: str, title: str, rows: Sequence[Row]) -> Figure | None:
    """MiB over depth, both logarithmic: what does not grow is level, what is linear rises by as much as it goes right;
    points of nothing are only in the table."""
    measured = [row for row in rows if row.curves.get(metric)]
    if not measured:
        return None
    series = [
        {
            "name": row.title,
            "colour": FAMILIES.index(row.family) if row.family in FAMILIES else len(FAMILIES),
            "points": [{"name": row.title, "x": depth, "y": size} for depth, size in row.curves[metric] if size > 0],
        }
        for row in measured
    ]
    axes = {
        "x": {"title": "Depth", "unit": "", "log": True},
        "y": {"title": title, "unit": "MiB", "better": "lower", "log": True},
    }
    table = [[row.title, significant(depth), fixed(size, 2)] for row in measured for depth, size in row.curves[metric]]
    caption = f"{title} over depth, one image. Both axes are logarithmic; colours are families. Lower is better."
    label = f"{title} over depth, by method"
    spec = {"kind": "curve", **axes, "series": [line for line in series if line["points"]]}
    return Figure(f"{task}-{metric}", label, caption, spec, ["Method", "Depth", f"{title} (MiB)"], table)


PAGE = Page("memory", "memory.html", content, section="memory", menu="Memory", order=2)
