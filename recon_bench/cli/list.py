"""`recon-bench list`: what is registered."""

from __future__ import annotations

import argparse

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_json(parser)
    parser.add_argument("what", choices=("tasks", "methods", "measurements", "rules", "weights"), help="what to list")


def run(arguments: argparse.Namespace) -> int:
    """Print one row for each."""
    from recon_bench.cli.catalog import rows

    printing.print_rows(rows(arguments.what), arguments.json)
    return 0


COMMAND = Command("list what there is", add_arguments, run, place=1)
