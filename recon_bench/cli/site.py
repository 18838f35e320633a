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
    text = "pages of asv to show beside the leaderboards (make asv-pages); default: build/asv, where it is there"
    parser.add_argument("--asv", type=Path, metavar="DIR", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Render, and say which file to open."""
    from recon_bench.site.render import SiteError, render

    try:
        print(f"open {render(options.folder(arguments.results), arguments.out, _asv(arguments.asv))}")
    except SiteError as error:
        raise ValueError(str(error)) from error
    return 0


def _asv(given: Path | None) -> Path | None:
    """The folder of asv's pages, if there is one; ValueError for one that was named and has none."""
    folder = given or Path("build/asv")
    if (folder / "index.html").is_file():
        return folder
    if given:
        raise ValueError(f"{given} holds no pages of asv; make asv-pages writes them to build/asv")
    return None


COMMAND = Command("render the site", add_arguments, run, place=6)
