"""`recon-bench board`: leaderboards."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command
from recon_bench.results.declared import TRACKS

if TYPE_CHECKING:
    from recon_bench.tables.board import Board

FIRST = ("psnr", "ssim", "seconds")  # are printed in a terminal of any width


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
    shown.add_argument(
        "--columns", nargs="+", metavar="NAME", help="measured columns to print; default: those that fit"
    )
    shown.add_argument("--all", action="store_true", help="print every measured column, however wide")
    shown.add_argument("--images", action="store_true", help="print the raw value of every image instead")


def run(arguments: argparse.Namespace) -> int:
    """Print the boards of the tasks; raises ValueError for a column that none of them has."""
    from recon_bench.tables.board import board, task_names
    from recon_bench.tables.export import board_data

    results = (options.results_in if arguments.alone else options.with_committed)(arguments.results)
    names = [*map(options.task_name, arguments.tasks)] or task_names(results, arguments.rules)
    if not names:
        print(f"no results under the rules {arguments.rules!r} yet", file=sys.stderr)
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
            names = [column.name for column in made.columns]
            _print_board(made, names if arguments.all else arguments.columns)
    return 0


def _print_images(boards: Sequence[Board], as_json: bool) -> None:
    from recon_bench.tables.export import images, plain

    rows = [{"task": made.task, **row} for made in boards for row in plain(images(made))]
    if not as_json:
        rows = [{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    printing.print_rows(rows, as_json)


def _check_columns(boards: Sequence[Board], wanted: Sequence[str]) -> None:
    """ValueError for what no board has, except for FIRST, which may not have been measured yet."""
    known = list(dict.fromkeys(column.name for made in boards for column in made.columns))
    if known and (unknown := set(wanted) - {*known, *FIRST}):
        raise ValueError(f"there is no column {', '.join(sorted(unknown))}; there are: {', '.join(known)}")


def _print_board(made: Board, wanted: Sequence[str] | None) -> None:
    print(f"\n{made.task}, version {made.version}, {made.rules['name']} rules\n")
    width = shutil.get_terminal_size().columns
    shown, table = (wanted, _table(made, wanted)) if wanted is not None else _fitted(made, width)
    print(table)
    if absent := [name for name in wanted or () if name not in {column.name for column in made.columns}]:
        print(f"\nNo values of {', '.join(absent)} for this board.")
    if wanted is None and (left := len(made.columns) - len(shown)):
        print(f"\n{left} of {len(made.columns)} measured columns are not shown: --columns NAME ... or --all")
    print("".join(f"\n{note}." for note in made.notes))
    for remark in _remarks(made, shown, heads=wanted is None):
        print(textwrap.fill(remark, width, subsequent_indent="  ", break_on_hyphens=False))


def _fitted(made: Board, width: int) -> tuple[Sequence[str], str]:
    """As many columns as are no wider than ``width`` together, FIRST at least, and their table.

    They have their intervals unless these make FIRST too wide.
    """
    measured = [column.name for column in made.columns]
    first = [name for name in FIRST if name in measured]
    names = sorted(measured, key=lambda name: (name not in first, name in made.hidden))

    def fits(shown: Sequence[str], ends: bool) -> bool:
        return max(map(len, _narrow(made, shown, ends).splitlines())) <= width

    ends, count = fits(first, True), len(first)
    while count < len(names) and fits(names[: count + 1], ends):
        count += 1
    return names[:count], _narrow(made, names[:count], ends)


def _narrow(made: Board, names: Sequence[str], ends: bool) -> str:
    """Rank, method, family and the columns ``names``, with their intervals or (no ``ends``) without."""
    from recon_bench.tables.export import plain

    columns = [column for column in made.columns if column.name in names]
    head = ["rank", "method", "family", *(f"{column.name} {column.unit}".strip() for column in columns)]
    rows = [
        [printing.text(row[name]) for name in head[:3]]
        + [printing.value(row, column.name, column.digits, column.unit, ends) for column in columns]
        for row in plain(made.frame)
    ]
    return printing.grid([head, *rows])


def _remarks(made: Board, shown: Sequence[str], heads: bool) -> Iterator[str]:
    """What is to be known of rows as far as the columns ``shown`` go, once for all rows that it holds for.

    With ``heads`` also who vouches for a row if that is not the project, and why one is empty.
    """
    from recon_bench.tables.board import row_notes
    from recon_bench.tables.export import plain

    kinds = {column.kind for column in made.columns if column.name in shown}
    methods: dict[str, list[str]] = {}
    for row in plain(made.frame):
        mark = row["mark"] if row["mark"] != "reference" else ""
        head = [mark, row["reason"] and f"{row['status']}, {row['reason']}"] if heads else []
        own = {kind: cell for (name, kind), cell in made.cells.items() if name == row["method"]}
        for said in filter(None, [*head, *row_notes(own, kinds)]):
            methods.setdefault(said, []).append(row["method"])
    yield from (f"{', '.join(names)}: {said}" for said, names in methods.items())


def _table(made: Board, wanted: Sequence[str]) -> str:
    """The rows of a board with all that is said of them; a column that nothing has been measured for is left out."""
    from recon_bench.tables.export import plain

    known = {column.name: column for column in made.columns}
    rows = []
    for row in plain(made.frame):
        line = {name: row[name] for name in ("rank", "method", "family", "images")}
        line |= {"track": row["track"], "mark": row["mark"]}
        for column in (known[name] for name in wanted if name in known):
            line[f"{column.name} {column.unit}".strip()] = printing.value(row, column.name, column.digits, column.unit)
        rows.append({**line, "status": f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]})
    return printing.table(rows, [None] * (len(rows[0]) - 1) + [48])


COMMAND = Command("print leaderboards", add_arguments, run, place=3)
