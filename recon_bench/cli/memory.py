"""`recon-bench memory`: how the memory of each method grows with its depth."""

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
    parser.add_argument("task", metavar="TASK")


def run(arguments: argparse.Namespace) -> int:
    """Print one row for each method; raises ValueError where there are no results."""
    from recon_bench.tables import growth

    found = growth.rows(options.results_in(arguments.results), arguments.task, arguments.rules)
    if not found:
        said = f"no results of the kind {growth.KIND} for the task {arguments.task} under the rules {arguments.rules}"
        raise ValueError(f"{said}: recon-bench run --measurements {growth.KIND}")
    rows = [_row(row) for row in found]
    printing.print_rows(rows if arguments.json else [_formatted(row) for row in rows], arguments.json)
    return 0


def _row(row: Any) -> dict[str, Any]:
    """Numbers of a row as plain data; a deepest model is 'any' where nothing grows."""
    from recon_bench.tables.growth import BUDGETS

    known = row.growth
    told: dict[str, Any] = {"method": row.method, "device": row.device, "of": row.metric}
    told |= dict(zip(("slope", "slope_low", "slope_high"), known.slope if known else (None,) * 3))
    told["class"] = known.name if known else None
    for budget in BUDGETS:
        deepest = known.deepest(budget) if known else None
        told[f"deepest_{budget}_gb"] = _count(deepest, known.reach if known else math.inf)
    return told | {"measured_to": int(row.measured), "missing": {f"{d:g}": why for d, why in row.missing.items()}}


def _count(deepest: float | None, reach: float) -> int | str | None:
    """A number of steps; in words where there is no limit or where a fit is not believed any further."""
    if deepest is None:
        return None
    if math.isinf(deepest):
        return "any"
    return f"over {deepest:.0f}" if deepest == reach else int(deepest)


def _formatted(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the slope and its interval in one column, and depths that are missing without their reasons."""
    kept = {name: value for name, value in row.items() if not name.startswith("slope") and name != "missing"}
    kept["MiB per depth"] = printing.value(row, "slope", 3)
    return kept | {"missing": ", ".join(row["missing"])}


COMMAND = Command("print how memory grows with depth", add_arguments, run, place=4)
