"""`recon-bench site`: the leaderboards as a folder of web pages."""

from __future__ import annotations

import argparse
from pathlib import Path

from recon_bench.cli import options
from recon_bench.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    parser.add_argument("--out", type=Path, default=Path("build/site"), metavar="DIR", help="default: build/site")


def run(arguments: argparse.Namespace) -> int:
    """Render, and say which file to open."""
    from recon_bench.site.render import SiteError, render

    try:
        print(f"open {render(options.folder(arguments.results), arguments.out)}")
    except SiteError as error:
        raise ValueError(str(error)) from error
    return 0


COMMAND = Command("render the site", add_arguments, run, place=6)
