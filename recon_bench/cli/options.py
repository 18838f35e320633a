"""Options that several commands have, and the folder of results that one of them names."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from recon_bench.cli import printing
from recon_bench.results import Result, ResultError, load
from recon_bench.rules import RULES
from recon_bench.storage import REPOSITORY

COMMITTED = REPOSITORY / "results"
LARGEST = 2**31  # threads and seeds are counted in what holds less
T = TypeVar("T")
Number = TypeVar("Number", int, float)


def add_results(parser: argparse.ArgumentParser) -> None:
    """``--results DIR``, as ``arguments.results``."""
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="folder of results; default: results"
    )


def add_rules(parser: argparse.ArgumentParser) -> None:
    """``--rules NAME``, as ``arguments.rules``: a name in RULES."""
    parser.add_argument("--rules", choices=RULES, default="full", help="default: full")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``, as ``arguments.json``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_executor(parser: argparse.ArgumentParser, metavar: str) -> None:
    """``--executor`` and ``--slurm``, as ``arguments.executor`` and ``arguments.slurm``."""
    parser.add_argument("--executor", choices=("local", "slurm"), default="local", help="default: local")
    text = "an option of sbatch, as in partition=gpu; time is in minutes; may be repeated"
    parser.add_argument("--slurm", action="append", default=[], metavar=metavar, help=text)


def check_executor(arguments: argparse.Namespace) -> None:
    """ValueError for options of a cluster that is not used."""
    if arguments.slurm and arguments.executor != "slurm":
        raise ValueError("--slurm has options of a cluster: add --executor slurm, or leave it out")


def whole(least: int) -> Callable[[str], int]:
    """The ``type`` of an option that takes whole numbers of at least so much."""
    return _number(int, f"a whole number of at least {least} and below {LARGEST}", lambda n: least <= n < LARGEST)


def amount(unit: str, nothing: bool = False) -> Callable[[str], float]:
    """The ``type`` of an option that takes a finite number of a ``unit`` above 0, or 0 as well if ``nothing`` may be
    asked for."""
    expected = f"a finite number of {unit}, {'at least' if nothing else 'above'} 0"
    return _number(float, expected, lambda n: n > 0 or (nothing and n == 0))


def finite(text: str) -> float:
    """The ``type`` of an option that takes finite numbers."""
    return _number(float, "a finite number", math.isfinite)(text)


def _number(kind: Callable[[str], Number], expected: str, fits: Callable[[Number], bool]) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        with contextlib.suppress(ValueError, OverflowError):  # the latter of whole numbers beyond any float
            if math.isfinite(number := kind(text)) and fits(number):
                return number
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")

    return parse


def check_device(name: str) -> None:
    """ValueError for a torch device that is not there."""
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from error


def task_name(name: str) -> str:
    """The name of a task that is asked for by its name or its file, as results have it; ValueError as of a registry."""
    if ".py" not in name:
        return name
    from recon_bench import registry

    return registry.task(name).name


def folder(root: Path) -> Path:
    """``root``; raises :class:`ResultError` where it is no folder."""
    if not root.is_dir():
        raise ResultError(f"no folder {root}: expected one of results; name it with --results DIR")
    return root


def results_in(root: Path) -> list[Result]:
    """All results in the folder ``root``; what cannot be read is named on stderr and left out.

    Where nothing else was asked for, and the working directory has no results, those that come with the project.
    """
    if root == Path("results") and not root.is_dir() and COMMITTED.is_dir():
        root = COMMITTED
    results, problems = load(folder(root))
    for problem in problems:
        print(f"recon-bench: left out: {problem}", file=sys.stderr)
    return results


def with_committed(root: Path) -> list[Result]:
    """As :func:`results_in`, and beside them the committed ones of the same versions of tasks and rules."""
    own = results_in(root)
    if not COMMITTED.is_dir() or any(result.path and result.path.is_relative_to(COMMITTED) for result in own[:1]):
        return own
    versions = {(result.task["hash"], result.rules["hash"]) for result in own}
    committed = load(COMMITTED)[0] if versions else []
    return own + [result for result in committed if (result.task["hash"], result.rules["hash"]) in versions]


def pairs(given: Sequence[str]) -> dict[str, str]:
    """`["depth=5"]` as `{"depth": "5"}`; ValueError for another form."""
    for text in given:
        if not all(text.partition("=")[::2]):
            raise ValueError(f"expected NAME=VALUE, as in depth=5, got {text!r}")
    return dict(text.split("=", 1) for text in given)


def with_code(find: Callable[[str], T], name: str) -> T:
    """What ``find`` has under a name whose code runs here; ValueError with what its import raised."""
    from recon_bench.names import UnknownName

    try:
        with printing.aside():
            return find(name)
    except UnknownName:
        raise
    except (Exception, SystemExit) as error:  # a file may do anything
        raise ValueError(f"{name}: cannot be imported: {type(error).__name__}: {error}") from error
