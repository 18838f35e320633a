"""`recon-bench confirm`: do results still hold for changed code?"""

from __future__ import annotations

import argparse
import shlex

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command


def add_arguments(confirm: argparse.ArgumentParser) -> None:
    """Which results, and how many processes."""
    options.add_results(confirm)
    confirm.add_argument("--measurements", nargs="+", metavar="NAME", help="names or files; default: all")
    confirm.add_argument("--tasks", nargs="+", metavar="NAME", help="names or files; default: all")
    confirm.add_argument("--methods", nargs="+", metavar="NAME", help="names or files; default: all")
    confirm.add_argument("--jobs", type=options.whole(1), metavar="N", help="processes at a time; default: the cores")


def run(arguments: argparse.Namespace) -> int:
    """Compare and note what agrees; 1 where something is to be measured again."""
    from recon_bench.processes import cores
    from recon_bench.run.confirm import confirm

    jobs = arguments.jobs or cores()
    command = shlex.join(["recon-bench", *arguments.argv])
    tasks, methods, kinds = (getattr(arguments, name) or () for name in ("tasks", "methods", "measurements"))
    try:
        return 1 if confirm(options.folder(arguments.results), tasks, methods, kinds, jobs, command) else 0
    except KeyboardInterrupt:
        return printing.interrupted()


COMMAND = Command("measure a few images again: which results hold for changed code?", add_arguments, run, place=3)
