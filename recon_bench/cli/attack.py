"""`recon-bench attack`: what a file of perturbations does to a method, beside what our own attack found, and have it
count."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command
from recon_bench.results import RANKING_KIND, Result, started

if TYPE_CHECKING:
    from torch import Tensor

    from recon_bench.core import Method
    from recon_bench.run.effects import Effects
    from recon_bench.task import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_json(parser)
    parser.add_argument("method", metavar="METHOD", help="a name or a Python file")
    parser.add_argument("--task", required=True, metavar="NAME", help="a name or a Python file")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--perturbation", type=Path, metavar="FILE.npz", help="an array for each image")
    count = "have the files in attacks/TASK/METHOD count in the newest result of robustness, without a new attack"
    what.add_argument("--count", action="store_true", help=count)


def run(arguments: argparse.Namespace) -> int:
    """Print one row for each image of the file, or write a result in which files count; 1 where they make nothing
    worse. ValueError where one is not what it should be."""
    from recon_bench import registry

    task, method = registry.task(arguments.task), registry.method(arguments.method)
    known = options.results_in(arguments.results) if arguments.results.is_dir() else []
    return (_count if arguments.count else _tell)(arguments, task, method, known)


def _count(arguments: argparse.Namespace, task: Task, method: Method, known: Sequence[Result]) -> int:
    from recon_bench.run import recount

    before = recount.newest(task, method.name, known)
    if before is None or before.status not in ("ok", "partial"):
        raise ValueError(
            f"no sound result of robustness of {method.name} on {task.name} in {arguments.results}: measure it, and "
            "what is submitted counts"
        )
    options.check_device(before.provenance["device"])
    command = shlex.join(["recon-bench", *arguments.argv])
    path = recount.count(before, arguments.task, arguments.method, arguments.results, command)
    if arguments.json:
        printing.print_json({"result": str(path) if path else None})
    else:
        print(f"It counts: {path}" if path else "Nothing submitted is worse than what was found: the result stays.")
    return 0 if path else 1


def _tell(arguments: argparse.Namespace, task: Task, method: Method, known: Sequence[Result]) -> int:
    from recon_bench import registry
    from recon_bench.run import effects, recount
    from recon_bench.run.apart import apart
    from recon_bench.scoring import submitted

    given = submitted.read(arguments.perturbation, task)
    _check_images(given, arguments.perturbation, effects.images(task))
    attacked = recount.newest(task, method.name, known)
    kinds = (RANKING_KIND, task.hash, method.name)
    ranked = [result for result in known if (result.kind, result.task["hash"], result.method["name"]) == kinds]
    measured = attacked or max(ranked, key=started, default=None)
    asked = registry.absolute(arguments.task), registry.absolute(arguments.method)
    ask = partial(effects.effects, given={name: [e] for name, e in given.items()})
    found, _ = apart(*asked, measured.method["settings"] if measured else {}, ask)
    rows = list(_rows(task, given, found, _errors(attacked)))
    printing.print_rows(rows if arguments.json else [_formatted(row) for row in rows], arguments.json)
    useful = any(row["worse at"] for row in rows)
    if not arguments.json:
        print(_verdict(useful, attacked, task.name, method.name, arguments))
    return 0 if useful else 1


def _check_images(given: Mapping[str, Any], path: Path, count: int) -> None:
    for name in given:
        if int(name.removeprefix("test-")) >= count:
            last = f"test-{count - 1:04d}"
            raise ValueError(f"{path}: expected images that robustness attacks, test-0000 to {last}, found {name}")


def _rows(
    task: Task, given: Mapping[str, Tensor], effects: Effects, before: Mapping[tuple[str, float], float]
) -> Iterator[dict[str, Any]]:
    """Errors without and with each perturbation, the worst found so far in a ball that holds it, and levels at which it
    is worse than that, or, where nothing was found, than none."""
    import torch

    from recon_bench.scoring.submitted import ROUNDING

    for name, at in effects.items():
        y = task.observe("test", int(name.removeprefix("test-"))).data
        size, clean = (
            float(torch.linalg.vector_norm(given[name]) / torch.linalg.vector_norm(y)),
            at[0.0].values["error"],
        )
        levels = [level for level in at if level]
        level = next(level for level in levels if level >= size * (1 - ROUNDING))
        row = {"image": name, "size": size, "error": clean, "with it": at[level].by}
        row["found before"] = before.get((name, level))
        yield row | {"worse at": [each for each in levels if at[each].worse_than(before.get((name, each), clean))]}


def _errors(attacked: Result | None) -> dict[tuple[str, float], float]:
    """The errors that an attack found, by image and level."""
    found = [r for r in attacked.records if "level" in r["at"] and r["values"]] if attacked else []
    return {(record["sample"], record["at"]["level"]): record["values"]["error"] for record in found}


def _verdict(useful: bool, attacked: Result | None, task: str, method: str, arguments: argparse.Namespace) -> str:
    if not useful:
        return f"It makes nothing worse than {'what was found before' if attacked else 'the data without it'}: no use."
    place = f"To have it count, put the file into attacks/{task}/{method}"
    if attacked is None:
        return f"{place} before robustness is measured."
    return f"{place}; then: recon-bench attack {arguments.method} --task {arguments.task} --count"


def _formatted(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: f"{value:.4f}" if isinstance(value, float) else value or "–" for name, value in row.items()}
    return shown | {"worse at": ", ".join(f"{100 * level:g} %" for level in row["worse at"]) or "no level"}


COMMAND = Command("say what a file of perturbations does to a method", add_arguments, run)
