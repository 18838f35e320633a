"""`recon-bench merge`: one results folder of several."""

from __future__ import annotations

import argparse
from pathlib import Path

from recon_bench.cli import options
from recon_bench.cli.command import Command
from recon_bench.tables.numbers import plural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="results folders, such as those of shards")
    parser.add_argument("--into", type=Path, required=True, metavar="DIR", help="the results folder that gets them")


def run(arguments: argparse.Namespace) -> int:
    """Copy what is not there yet; 1 where a folder has cells that are not finished. ResultError for damaged files."""
    from recon_bench.results.merge import merge

    folders = [options.folder(folder) for folder in arguments.folders]
    print(f"{plural(len(merge(folders, arguments.into)), 'result')} copied to {arguments.into}")
    open_ = {folder: _unfinished(folder) for folder in folders}
    for folder, count in open_.items():
        if count:
            print(f"{folder} has {plural(count, 'unfinished cell')}: the command that made it goes on with them")
    return 1 if any(open_.values()) else 0


def _unfinished(folder: Path) -> int:
    """Cells with a journal, or with one for some of their points."""
    return sum(any([*cell.glob("journal.jsonl"), *cell.glob("*/journal.jsonl")]) for cell in folder.glob(".partial/*"))


COMMAND = Command("copy the results of several folders, such as those of shards, into one", add_arguments, run, place=4)
