"""`recon-bench run`: measure methods on tasks."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence

from recon_bench.cli import options
from recon_bench.cli.command import Command
from recon_bench.rules import RULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_rules(parser)
    parser.add_argument("--tasks", nargs="+", metavar="NAME", help="names or files; default: all")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="names or Python files; default: all")
    parser.add_argument("--measurements", nargs="+", metavar="NAME", help="names or files; default: all")
    parser.add_argument("--device", default="cpu", help="a torch device; default: cpu")
    threads = "CPU threads of each process; default: the cores shared by the jobs"
    parser.add_argument("--threads", type=int, help=threads)
    memory = "memory of the method in a cell; default: what is free"
    parser.add_argument("--memory", type=float, metavar="GIB", help=memory)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time; timings are taken alone. Default: 1")
    parser.add_argument("--set", action="append", default=[], metavar="METHOD.SETTING=VALUE", help="may be repeated")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="leave out what does not fit in this time")
    parser.add_argument("--force", action="store_true", help="measure again what is done")
    parser.add_argument("--dry-run", action="store_true", help="say what would be measured, and stop")


def run(arguments: argparse.Namespace) -> int:
    """Measure; what fails is a row of its board and no error. Raises ValueError for unknown names and settings."""
    shared = max(1, (os.cpu_count() or 1) // max(1, arguments.jobs))
    threads = shared if arguments.threads is None else arguments.threads
    if threads < 1 or arguments.jobs < 1:
        raise ValueError(f"expected at least 1 thread and 1 job, got {threads} and {arguments.jobs}")
    if arguments.memory is not None and not arguments.memory > 0:
        raise ValueError(f"expected a --memory above 0, in GiB, got {arguments.memory:g}")
    overrides = _overrides(arguments.set)
    options.check_device(arguments.device)
    from recon_bench.run import runner

    bad = runner.run(
        tasks=arguments.tasks or [],
        methods=arguments.methods or [],
        kinds=arguments.measurements or [],
        rules=RULES[arguments.rules],
        results_folder=arguments.results,
        device=arguments.device,
        threads=threads,
        jobs=arguments.jobs,
        overrides=overrides,
        budget=arguments.budget,
        force=arguments.force,
        dry_run=arguments.dry_run,
        memory=int((arguments.memory or 0) * 2**30),
        command=shlex.join(["recon-bench", *arguments.argv]),
    )
    if bad:
        print(f"{bad} cells ended badly; their rows on the board say why")
    return 0


def _overrides(given: Sequence[str]) -> dict[str, dict[str, str]]:
    """`["fbp.filter=hann"]` as `{"fbp": {"filter": "hann"}}`."""
    overrides: dict[str, dict[str, str]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        method, dot, setting = name.rpartition(".")
        if not (equals and dot and method and setting):
            raise ValueError(f"--set: expected METHOD.SETTING=VALUE, as in fbp.filter=hann, got {text!r}")
        overrides.setdefault(method, {})[setting] = value
    return overrides


COMMAND = Command("measure methods on tasks", add_arguments, run, place=9)
