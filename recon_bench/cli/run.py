"""`recon-bench run`: measure methods on tasks."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command
from recon_bench.rules import RULES
from recon_bench.tables.numbers import plural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_rules(parser)
    parser.add_argument("--tasks", nargs="+", metavar="NAME", help="names or files; default: all")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="names or Python files; default: all")
    parser.add_argument("--measurements", nargs="+", metavar="NAME", help="names or files; default: all")
    parser.add_argument("--device", default="cpu", help="a torch device; default: cpu")
    threads = "CPU threads of each process; default: the cores shared by the jobs, on Slurm 1 or cpus-per-task"
    parser.add_argument("--threads", type=options.whole(1), metavar="N", help=threads)
    memory = "memory of the method in a cell; default: 90 %% of what is free"
    parser.add_argument("--memory", type=options.amount("GiB"), metavar="GIB", help=memory)
    jobs = "processes at a time; timings are taken alone. Default: 1, on Slurm as many as there is room for"
    parser.add_argument("--jobs", type=options.whole(1), metavar="N", help=jobs)
    options.add_executor(parser, "[METHOD.]OPTION=VALUE")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="only the I-th of N parts; see recon-bench merge")
    setting = "a setting of a method, as in landweber.iterations=50; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="METHOD.SETTING=VALUE", help=setting)
    budget = "leave out what does not fit in this time, by what results of before took"
    parser.add_argument("--budget", type=options.amount("seconds"), metavar="SECONDS", help=budget)
    parser.add_argument("--force", action="store_true", help="measure again what is done")
    parser.add_argument("--dry-run", action="store_true", help="say what would be measured, and stop")


def run(arguments: argparse.Namespace) -> int:
    """Measure; what fails is a row of its board and no error. Raises ValueError for unknown names and settings."""
    options.check_executor(arguments)
    asked = {
        "tasks": arguments.tasks or [],
        "methods": arguments.methods or [],
        "kinds": arguments.measurements or [],
        "rules": RULES[arguments.rules],
        "results_folder": arguments.results,
        "overrides": _overrides(arguments.set),
        "command": shlex.join(["recon-bench", *arguments.argv]),
        "shard": _shard(arguments.shard),
        **{name: getattr(arguments, name) for name in ("device", "force", "dry_run")},
    }
    try:
        bad = (_local if arguments.executor == "local" else _slurm)(arguments, asked)
    except KeyboardInterrupt:
        return printing.interrupted()
    if bad:
        print(f"{plural(bad, 'cell')} ended badly; the board says why")
    if not arguments.dry_run:
        print(f"Ranks, by accuracy: {shlex.join(_board(arguments))}")
    return 0


def _board(arguments: argparse.Namespace) -> list[str]:
    """The command that shows where the methods stand."""
    rules = [] if arguments.rules == "full" else ["--rules", arguments.rules]
    results = [] if arguments.results == Path("results") else ["--results", str(arguments.results)]
    return ["recon-bench", "board", *(arguments.tasks or []), *rules, *results]


def _local(arguments: argparse.Namespace, asked: Mapping[str, Any]) -> int:
    options.check_device(arguments.device)
    from recon_bench.processes import cores
    from recon_bench.run import runner

    jobs = arguments.jobs or 1
    threads = arguments.threads or max(1, cores() // jobs)
    memory = int((arguments.memory or 0) * 2**30)
    return runner.run(**asked, jobs=jobs, threads=threads, budget=arguments.budget, memory=memory)


def _slurm(arguments: argparse.Namespace, asked: Mapping[str, Any]) -> int:
    if arguments.budget is not None:
        raise ValueError("--budget is for one machine: leave it out, or choose --methods and --measurements")
    if arguments.memory is not None:
        raise ValueError("--memory is for one machine: leave it out, and ask for memory with --slurm mem=8G")
    from recon_bench import slurm
    from recon_bench.run import cluster

    found = slurm.options(arguments.slurm)
    return cluster.run(**asked, options=found, jobs=arguments.jobs, threads=arguments.threads)


def _shard(text: str) -> tuple[int, int]:
    """`"2/3"` as `(2, 3)`."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"--shard: expected I/N with I from 1 to N, as in 2/3, got {text!r}")
    return int(number), int(count)


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
