"""`recon-bench show`: all about one thing."""

from __future__ import annotations

import argparse
import textwrap

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_json(parser)
    parser.add_argument("name", help="as recon-bench list has it, or a file of methods or tasks")


def run(arguments: argparse.Namespace) -> int:
    """Print its card, without the ledgers of the tuning unless as JSON."""
    from recon_bench.cli.catalog import card, flat

    results = options.results_in(arguments.results) if arguments.results.is_dir() else []
    found = card(arguments.name, results)
    if arguments.json:
        printing.print_json(found)
        return 0
    short = flat({name: value for name, value in found.items() if name != "ledger"})
    print(printing.pairs([(name, textwrap.fill(value, 90)) for name, value in short]))  # tabulate's makes False True
    return 0


COMMAND = Command("show one task, method, measurement, set of rules or training card", add_arguments, run, place=2)
