"""`recon-bench attack`: what a file of perturbations does to a method, beside what our own attack found."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon_bench import storage
from recon_bench.cli import options, printing
from recon_bench.cli.command import Command
from recon_bench.results import RANKING_KIND, Result, started
from recon_bench.rules import FULL

if TYPE_CHECKING:
    from torch import Tensor

    from recon_bench.run.effects import Effects
    from recon_bench.task import Task

SAME = 1e-4  # relative: by so little an error differs between machines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_json(parser)
    parser.add_argument("method", metavar="METHOD", help="a name or a Python file")
    parser.add_argument("--task", required=True, metavar="NAME", help="a name or a Python file")
    parser.add_argument("--perturbation", required=True, type=Path, metavar="FILE.npz", help="an array for each image")


def run(arguments: argparse.Namespace) -> int:
    """Print one row for each image of the file; 1 where it makes nothing worse. ValueError where it is not what it
    should be."""
    from recon_bench import registry
    from recon_bench.run import effects
    from recon_bench.run.apart import apart
    from recon_bench.scoring import submitted

    task, method = registry.task(arguments.task), registry.method(arguments.method)
    given = submitted.read(arguments.perturbation, task)
    _check_images(given, arguments.perturbation, effects.images(task))
    known = options.results_in(arguments.results) if arguments.results.is_dir() else []
    own = [r for r in known if (r.task["hash"], r.method["name"]) == (task.hash, method.name)]
    ranked = [result for result in own if result.kind == RANKING_KIND]
    settings = max(ranked, key=started).method["settings"] if ranked else {}
    asked = registry.absolute(arguments.task), registry.absolute(arguments.method)
    ask = partial(effects.effects, given=given)
    before = found_before(own)
    rows = list(_rows(task, given, apart(*asked, settings, ask), before))
    printing.print_rows(rows if arguments.json else [_formatted(row) for row in rows], arguments.json)
    useful = any(row["worse at"] for row in rows)
    if not arguments.json:
        print(_verdict(useful, bool(before), os.path.relpath(storage.ATTACKS / task.name / method.name)))
    return 0 if useful else 1


def _check_images(given: Mapping[str, Any], path: Path, count: int) -> None:
    for name in given:
        if int(name.removeprefix("test-")) >= count:
            last = f"test-{count - 1:04d}"
            raise ValueError(f"{path}: expected images that robustness attacks, test-0000 to {last}, found {name}")


def _rows(
    task: Task, given: Mapping[str, Tensor], found: Effects, before: Mapping[tuple[str, float], float]
) -> Iterator[dict[str, Any]]:
    """Errors without and with each perturbation, the worst found so far in a ball that holds it, and levels at which it
    is worse than that, or, where nothing was found, than none, or has no reconstruction."""
    import torch

    from recon_bench.scoring.submitted import ROUNDING

    for name, errors in found.items():
        y = task.observe("test", int(name.removeprefix("test-"))).data
        size = float(torch.linalg.vector_norm(given[name]) / torch.linalg.vector_norm(y))
        level = next(level for level in errors if level >= size * (1 - ROUNDING))
        known = {each: before.get((name, each), errors[0.0]) for each in errors}
        worse = [each for each, error in errors.items() if each and not error <= known[each] * (1 + SAME)]
        row = {"image": name, "size": size, "error": errors[0.0], "with it": _number(errors[level])}
        yield row | {"found before": before.get((name, level)), "worse at": worse}


def _number(error: float) -> float | str:
    return "no reconstruction" if math.isnan(error) else error


def found_before(own: Sequence[Result]) -> dict[tuple[str, float], float]:
    """The errors that the newest attack found, by image and level; empty without one."""
    from recon_bench.tables.robustness import KIND

    attacked = [result for result in own if result.kind == KIND and result.rules["hash"] == FULL.hash]
    records = max(attacked, key=started).records if attacked else []
    found = [record for record in records if "level" in record["at"] and record["values"]]
    return {(record["sample"], record["at"]["level"]): record["values"]["error"] for record in found}


def _verdict(useful: bool, attacked: bool, folder: str) -> str:
    if useful:
        return f"To have it count, put the file into {folder} and measure robustness again."
    return f"It makes nothing worse than {'what was found before' if attacked else 'the data without it'}: no use."


def _formatted(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: f"{value:.4f}" if isinstance(value, float) else value or "–" for name, value in row.items()}
    return shown | {"worse at": ", ".join(f"{100 * level:g} %" for level in row["worse at"]) or "no level"}


COMMAND = Command("say what a file of perturbations does to a method", add_arguments, run)
