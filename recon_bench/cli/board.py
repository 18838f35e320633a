"""`recon-bench board`: leaderboards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command
from recon_bench.results.declared import TRACKS

if TYPE_CHECKING:
    from recon_bench.tables.board import Board


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    options.add_rules(parser)
    options.add_json(parser)
    tracks = "; ".join(f"{name}: {meaning}" for name, meaning in TRACKS.items())
    parser.add_argument("--track", choices=TRACKS, help=f"only rows of this track, ranked among themselves ({tracks})")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="names or files; default: every task with results")
    alone = "without the committed results, which otherwise stand beside those of another folder"
    parser.add_argument("--alone", action="store_true", help=alone)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--columns", nargs="+", metavar="NAME", help="measured columns to print; default: all")
    shown.add_argument("--images", action="store_true", help="print the raw value of every image instead")


def run(arguments: argparse.Namespace) -> int:
    """Print the boards of the tasks; raises ValueError for a column that none of them has."""
    from recon_bench.tables.board import board, task_names
    from recon_bench.tables.export import board_data

    results = (options.results_in if arguments.alone else options.with_committed)(arguments.results)
    names = [*map(options.task_name, arguments.tasks)] or task_names(results, arguments.rules)
    boards = [board(results, name, arguments.rules, arguments.track or "") for name in names]
    if arguments.track and not any(len(made.frame) for made in boards):
        raise ValueError(
            f"no row of {', '.join(names)} is on the track {arguments.track}; see them all without --track"
        )
    boards = [made for made in boards if len(made.frame)]
    if arguments.images:
        _print_images(boards, arguments.json)
    elif arguments.json:
        data = [board_data(made) for made in boards]
        printing.print_json(data[0] if len(arguments.tasks) == 1 else data)
    else:
        _check_columns(boards, arguments.columns or ())
        for made in boards:
            _print_board(made, arguments.columns)
    return 0


def _print_images(boards: Sequence[Board], as_json: bool) -> None:
    from recon_bench.tables.export import images, plain

    rows = [{"task": made.task, **row} for made in boards for row in plain(images(made))]
    if not as_json:
        rows = [{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    printing.print_rows(rows, as_json)


def _check_columns(boards: Sequence[Board], wanted: Sequence[str]) -> None:
    known = list(dict.fromkeys(column.name for made in boards for column in made.columns))
    if known and (unknown := set(wanted) - set(known)):
        raise ValueError(f"there is no column {', '.join(sorted(unknown))}; there are: {', '.join(known)}")


def _print_board(made: Board, wanted: Sequence[str] | None) -> None:
    print(f"\n{made.task}, version {made.version}, {made.rules['name']} rules\n")
    print(_table(made, wanted))
    print("".join(f"\n{note}." for note in made.notes))


def _table(made: Board, wanted: Sequence[str] | None) -> str:
    """The rows of a board; a column that nothing has been measured for is left out."""
    from recon_bench.tables.export import plain

    known = {column.name: column for column in made.columns}
    rows = []
    for row in plain(made.frame):
        line = {name: row[name] for name in ("rank", "method", "family", "images")}
        line |= {"track": row["track"], "mark": row["mark"]}
        for column in (known[name] for name in wanted or known if name in known):
            line[f"{column.name} {column.unit}".strip()] = printing.value(row, column.name, column.digits, column.unit)
        rows.append({**line, "status": f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]})
    return printing.table(rows, [None] * (len(rows[0]) - 1) + [48])


COMMAND = Command("print leaderboards", add_arguments, run, place=3)
