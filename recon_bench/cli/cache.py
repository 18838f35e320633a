"""`recon-bench cache`: the folder of operators that took long to build."""

from __future__ import annotations

import argparse

from recon_bench.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("action", choices=("show", "clear"), help="say where it is and how large, or empty it")


def run(arguments: argparse.Namespace) -> int:
    """Print its size in MiB, or empty it and print what that freed."""
    from recon_bench import cache

    if arguments.action == "clear":
        print(f"{cache.clear() / 2**20:.1f} MiB freed in {cache.folder()}")
    else:
        print(f"{cache.size() / 2**20:.1f} MiB in {cache.folder()}")
    return 0


COMMAND = Command("show or clear the folder of built operators", add_arguments, run, place=7)
