"""`recon-bench memory`: how the memory of each method grows with its depth, or with the size of the image."""

from __future__ import annotations

import argparse
import math
from typing import Any

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_rules(parser)
    options.add_json(parser)
    parser.add_argument("--against", choices=("depth", "size"), default="depth", help="what it grows with (depth)")
    parser.add_argument("task", metavar="TASK", help="a name or a file")


def run(arguments: argparse.Namespace) -> int:
    """Print one row for each method; raises ValueError where there are no results."""
    from recon_bench.tables import growth

    axis = {axis.key: axis for axis in (growth.DEPTH, growth.SIZE)}[arguments.against]
    task = options.task_name(arguments.task)
    found = growth.rows(options.results_in(arguments.results), task, arguments.rules, axis)
    if not found:
        said = f"no results of the kind {axis.kind} for the task {task} under the rules {arguments.rules}"
        raise ValueError(f"{said}: recon-bench run --measurements {axis.kind}")
    rows = [_row(row) for row in found]
    printing.print_rows(rows if arguments.json else [_formatted(row) for row in rows], arguments.json)
    return 0


def _row(row: Any) -> dict[str, Any]:
    """Numbers of a row as plain data; the largest place is 'any' where nothing grows."""
    from recon_bench.tables.growth import BUDGETS

    known = row.growth
    deep = row.axis.key == "depth"
    told: dict[str, Any] = {"method": row.method, "device": row.device, "of": row.metric}
    told |= dict(zip(("slope", "slope_low", "slope_high"), known.slope if known else (None,) * 3))
    told |= {"slope_of": "MiB per depth" if deep else "MiB per megapixel", "class": known.name if known else None}
    for budget in BUDGETS:
        told[f"{'deepest' if deep else 'largest'}_{budget}_gb"] = _count(row.most(budget), row.reach)
    missing = {f"{place:g}": why for place, why in row.missing.items()} | ({"all": row.reason} if row.reason else {})
    return told | {"measured_to": int(row.measured), "missing": missing}


def _count(most: float | None, reach: float) -> int | str | None:
    """A number of steps or pixels; in words where there is no limit or where a fit is not believed any further."""
    if most is None:
        return None
    if math.isinf(most):
        return "any"
    return f"over {most:.0f}" if most == reach else int(most)


def _formatted(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the slope and its interval in one column, and places that are missing without their reasons."""
    kept = {name: value for name, value in row.items() if not name.startswith("slope") and name != "missing"}
    kept[row["slope_of"]] = printing.value(row, "slope", 3)
    return kept | {"missing": ", ".join(row["missing"])}


COMMAND = Command("print how memory grows with depth or image size", add_arguments, run, place=4)
