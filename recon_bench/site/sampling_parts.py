"""Less and more data for a reader: what a method loses to more of them, and its curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recon_bench.site.cells import DIVERGED, ends, named, number, signed
from recon_bench.site.charts import BEGINS_WITH, Figure, beginning
from recon_bench.site.text import significant
from recon_bench.tables import sampling
from recon_bench.tables.sampling import Rates
from recon_bench.tables.shift import LEAST, Values
from recon_bench.tables.statistics import Interval


def own_rate(card: Mapping[str, Any]) -> float:
    """The views or the acceleration of a task by its card; NaN where that does not say."""
    said = card.get("card", {})
    operator = said.get("operator")
    views = operator.get("views", math.nan) if isinstance(operator, Mapping) else math.nan
    return float(said.get("acceleration", views))


def rate(each: Rates) -> dict[str, Any]:
    """A row of the table of less and more data."""
    return named(each.result.method) | {
        "told": fall(each.worst, each.told),
        "swapped": fall(each.worst_swapped, each.swapped),
        "worse": each.worse,
    }


def fall(value: Interval, images: Mapping[float, Values]) -> dict[str, str]:
    """A fall with its interval, or where images diverged."""
    lost = sampling.diverged(images)
    below = f"at {', '.join(map(significant, lost))}" if lost else ends(value)
    return number(value.value, signed) | {"ends": below}


def curve(task: str, found: Sequence[Rates]) -> Figure:
    """The mean PSNR over the rate, of each method that is told."""
    series, table, left_out = [], [], 0
    for each in found:
        title = each.result.method["title"]
        images = max(map(len, each.told.values()), default=0)
        whole = {at for at, values in each.told.items() if len(values) == images and math.isfinite(each.psnr[at])}
        known = {at: each.spread(at) for at in each.psnr if at in whole}
        points = [
            {"name": title, "x": at, "y": found.value}
            | ({} if math.isnan(found.low) else {"low": found.low, "high": found.high})
            for at, found in known.items()
        ]
        series.append({"name": title, "points": points})
        left_out += len(each.psnr) - len(points)
        table += [
            [title, significant(at), number(value)["text"], ends(known[at]) if at in known else ""]
            for at, value in each.psnr.items()
        ]
    axis = next((key for each in found for record in each.result.records for key in record["at"]), "views")
    x = {"title": axis.capitalize(), "unit": "", "log": True}
    y = {"title": "PSNR", "unit": "dB", "better": "higher", "log": False}
    own = [(each.result.method, each.psnr.get(each.own, math.nan)) for each in found]
    spec = {"kind": "curve", "x": x, "y": y} | beginning(series, own)
    label = f"PSNR over {axis}, by method that is told of them"
    caption = f"{label}; bars are 95 % bootstrap intervals over images. {BEGINS_WITH}"
    if left_out:
        caption += f" Left out: {left_out} at which an image has {DIVERGED} (below {LEAST:g} dB) or failed."
    return Figure(
        f"{task}-sampling", label, caption, spec, ["Method", axis.capitalize(), "PSNR (dB)", "Interval"], table
    )
