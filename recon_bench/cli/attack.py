"""`recon-bench attack`: what a file of perturbations does to a method, beside what our own attack found."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command
from recon_bench.results import RANKING_KIND, Result, started

if TYPE_CHECKING:
    from recon_bench.measurement import Cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_json(parser)
    parser.add_argument("method", metavar="METHOD", help="a name or a Python file")
    parser.add_argument("--task", required=True, metavar="NAME", help="a name or a Python file")
    parser.add_argument("--perturbation", required=True, type=Path, metavar="FILE.npz", help="an array for each image")


def run(arguments: argparse.Namespace) -> int:
    """Print one row for each image of the file; raises ValueError where it is not what it should be."""
    from recon_bench import registry
    from recon_bench.run.apart import apart
    from recon_bench.scoring import submitted

    task, method = registry.task(arguments.task), registry.method(arguments.method)
    given = submitted.read(arguments.perturbation, task)
    known = options.results_in(arguments.results) if arguments.results.is_dir() else []
    own = [r for r in known if (r.task["hash"], r.method["name"]) == (task.hash, method.name)]
    ranked = [result for result in own if result.kind == RANKING_KIND]
    settings = max(ranked, key=started).method["settings"] if ranked else {}
    asked = registry.absolute(arguments.task), registry.absolute(arguments.method)
    rows = apart(*asked, settings, partial(effects, given=given, own=own))
    printing.print_rows(rows if arguments.json else [_formatted(row) for row in rows], arguments.json)
    if not arguments.json:
        print(f"To have it count, put the file into attacks/{task.name}/{method.name} and measure robustness again.")
    return 0


def effects(cell: Cell, given: Mapping[str, Any], own: Sequence[Result]) -> list[dict[str, Any]]:
    """Errors with and without each perturbation, and the worst found so far."""
    import torch

    from recon_bench.scoring import targets

    target, rows = targets.build(cell, cell.rules.seeds, unrolled=1), list[dict[str, Any]]()
    for name, e in given.items():
        sample = cell.task.observe("test", int(name.removeprefix("test-")))
        size = float(torch.linalg.vector_norm(e) / torch.linalg.vector_norm(sample.data))
        clean, attacked = (targets.score(target, sample, y).error for y in (sample.data, sample.data + e))
        row = {"image": name, "size": size, "error": clean, "with it": attacked}
        rows.append(row | {"found before": found_before(own, name, size)})
    return rows


def found_before(own: Sequence[Result], name: str, size: float) -> float | None:
    """The error that the newest attack found within this size or the next larger level; None without one."""
    from recon_bench.tables.robustness import KIND

    attacked = [result for result in own if result.kind == KIND]
    records = max(attacked, key=started).records if attacked else []
    levels = {
        r["at"]["level"]: r["values"]["error"]
        for r in records
        if r["sample"] == name and "level" in r["at"] and r["values"]
    }
    return next((error for level, error in sorted(levels.items()) if level >= size * (1 - 1e-5)), None)


def _formatted(row: dict[str, Any]) -> dict[str, Any]:
    return {name: f"{value:.4f}" if isinstance(value, float) else value or "–" for name, value in row.items()}


COMMAND = Command("say what a file of perturbations does to a method", add_arguments, run)
