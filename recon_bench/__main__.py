"""The command line: `recon-bench --help`. Everything that the site shows can be had here, as a table or as JSON.

Modules that need torch are imported inside the commands that use them, so that the others start fast.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from recon_bench.cli import train as training
from recon_bench.results import Result, ResultError, load
from recon_bench.rules import RULES

if TYPE_CHECKING:
    from recon_bench.tables.board import Board

Rows = list[dict[str, Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0 fine, 1 problems found, 2 bad input, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser().parse_args(argv)
    arguments.argv = argv
    try:
        status = arguments.command(arguments)
        sys.stdout.flush()
        return status
    except (ResultError, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # as in `recon-bench board ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"recon-bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nrecon-bench: interrupted; what was finished is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recon-bench", description="A benchmark of image reconstruction methods.")
    parser.add_argument("--version", action="version", version=f"recon-bench {version('recon-bench')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[Any], int], text: str, *shared: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(command=command)
        if "results" in shared:
            made.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
        if "rules" in shared:
            made.add_argument("--rules", choices=RULES, default="full", help="default: full")
        if "json" in shared:
            made.add_argument("--json", action="store_true", help="print JSON instead of a table")
        return made

    listing = add("list", _list, "list what there is", "json")
    listing.add_argument("what", choices=("tasks", "methods", "measurements", "rules", "weights"))
    one = add("show", _show, "show one task, method, measurement, set of rules or training card", "results", "json")
    one.add_argument("name")
    board = add("board", _board, "print leaderboards", "results", "rules", "json")
    board.add_argument("tasks", nargs="*", metavar="TASK", help="default: every task with results")
    shown = board.add_mutually_exclusive_group()
    shown.add_argument("--columns", nargs="+", metavar="NAME", help="measured columns to print; default: all")
    shown.add_argument("--images", action="store_true", help="print the raw value of every image instead")
    add("published", _published, "print published figures beside ours", "results", "json")
    add("check", _check, "validate all result files; exit status 1 if something is wrong", "results")
    site = add("site", _site, "render the site", "results")
    site.add_argument("--out", type=Path, default=Path("build/site"), metavar="DIR", help="default: build/site")
    cache = add("cache", _cache, "show or clear the folder of built operators")
    cache.add_argument("action", choices=("show", "clear"))
    training.add_arguments(add("train", training.command, "train a learned method, keep its weights and training card"))
    _add_run(add("run", _run, "measure methods on tasks", "results", "rules"))
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("--tasks", nargs="+", metavar="NAME", help="default: all")
    run.add_argument("--methods", nargs="+", metavar="NAME", help="names or paths of Python files; default: all")
    run.add_argument("--measurements", nargs="+", metavar="NAME", help="default: all")
    run.add_argument("--device", default="cpu", help="a torch device; default: cpu")
    run.add_argument("--threads", type=int, help="CPU threads of each process; default: the cores shared by the jobs")
    run.add_argument("--jobs", type=int, default=1, help="processes at a time; timings are taken alone. Default: 1")
    run.add_argument("--set", action="append", default=[], metavar="METHOD.SETTING=VALUE", help="may be repeated")
    run.add_argument("--budget", type=float, metavar="SECONDS", help="leave out what does not fit in this time")
    run.add_argument("--force", action="store_true", help="measure again what is done")
    run.add_argument("--dry-run", action="store_true", help="say what would be measured, and stop")


def _run(arguments: argparse.Namespace) -> int:
    shared = max(1, (os.cpu_count() or 1) // max(1, arguments.jobs))
    threads = shared if arguments.threads is None else arguments.threads
    if threads < 1 or arguments.jobs < 1:
        raise ValueError(f"expected at least 1 thread and 1 job, got {threads} and {arguments.jobs}")
    overrides = _overrides(arguments.set)
    from recon_bench.run import runner

    bad = runner.run(
        tasks=arguments.tasks or [],
        methods=arguments.methods or [],
        kinds=arguments.measurements or [],
        rules=RULES[arguments.rules],
        results_folder=arguments.results,
        device=arguments.device,
        threads=threads,
        jobs=arguments.jobs,
        overrides=overrides,
        budget=arguments.budget,
        force=arguments.force,
        dry_run=arguments.dry_run,
        command=shlex.join(["recon-bench", *arguments.argv]),
    )
    if bad:
        print(f"{bad} cells ended badly; their rows on the board say why")
    return 0


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


def _list(arguments: argparse.Namespace) -> int:
    from recon_bench.cli.catalog import rows

    _print_rows(rows(arguments.what), arguments.json)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from recon_bench.cli.catalog import card, flat

    found = card(arguments.name, _load(arguments.results) if arguments.results.is_dir() else [])
    short = flat({name: value for name, value in found.items() if name != "ledger"})
    wrapped = [(name, textwrap.fill(value, 90)) for name, value in short]  # tabulate's own wrapping makes False True
    lines = tabulate(wrapped, tablefmt="plain", disable_numparse=True)
    print(json.dumps(found, indent=1) if arguments.json else lines)
    return 0


def _board(arguments: argparse.Namespace) -> int:
    from recon_bench.tables.board import board, task_names
    from recon_bench.tables.export import board_data

    results = _load(arguments.results)
    names = arguments.tasks or task_names(results, arguments.rules)
    boards = [board(results, name, arguments.rules) for name in names]
    if arguments.images:
        return _images(boards, arguments.json)
    if arguments.json:
        data = [board_data(made) for made in boards]
        print(json.dumps(data[0] if len(arguments.tasks) == 1 else data, indent=1))
        return 0
    _check_columns(boards, arguments.columns or ())
    for made in boards:
        print(f"\n{made.task}, version {made.version}, {made.rules['name']} rules\n")
        print(_board_table(made, arguments.columns))
        print("".join(f"\n{note}." for note in made.notes))
    return 0


def _images(boards: Sequence[Board], as_json: bool) -> int:
    from recon_bench.tables.export import images, plain

    rows = [{"task": made.task, **row} for made in boards for row in plain(images(made))]
    if not as_json:
        rows = [{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    _print_rows(rows, as_json)
    return 0


def _check_columns(boards: Sequence[Board], wanted: Sequence[str]) -> None:
    known = list(dict.fromkeys(column.name for made in boards for column in made.columns))
    if known and (unknown := set(wanted) - set(known)):
        raise ValueError(f"there is no column {', '.join(sorted(unknown))}; there are: {', '.join(known)}")


def _board_table(made: Board, wanted: Sequence[str] | None) -> str:
    """The table of a board; a column that nothing has been measured for is left out."""
    known = {column.name: column for column in made.columns}
    from recon_bench.tables.export import plain

    rows = []
    for row in plain(made.frame):
        line = {name: row[name] for name in ("rank", "method", "family", "images")}
        for column in (known[name] for name in wanted or known if name in known):
            line[f"{column.name} {column.unit}".strip()] = _value(row, column.name, column.digits)
        rows.append({**line, "status": f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]})
    return tabulate(rows, headers="keys", disable_numparse=True, maxcolwidths=[None] * (len(rows[0]) - 1) + [48])


def _value(row: Mapping[str, Any], name: str, digits: int) -> str:
    """Value with its interval, as in "28.06 (27.91 to 28.21)"."""
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if value is None:
        return ""
    return f"{value:.{digits}f}" + ("" if low is None else f" ({low:.{digits}f} to {high:.{digits}f})")


def _published(arguments: argparse.Namespace) -> int:
    from recon_bench.tables.export import plain
    from recon_bench.tables.published import published

    rows = plain(published(_load(arguments.results)))
    if not arguments.json:
        for row in rows:
            digits = 3 if row["metric"] == "ssim" else 2
            row["ours"] = _value(
                {"ours": row["ours"], "ours_low": row.pop("low"), "ours_high": row.pop("high")}, "ours", digits
            )
            row["published"] = f"{row['published']:.{digits}f}"
    _print_rows(rows, arguments.json)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from recon_bench.results import card_files, result_files
    from recon_bench.results.check import check

    root = _folder(arguments.results)
    problems = check(root)
    print("\n".join(problems) or f"{len(result_files(root))} results and {len(card_files(root))} task cards are fine")
    return 1 if problems else 0


def _site(arguments: argparse.Namespace) -> int:
    from recon_bench.site.render import SiteError, render

    try:
        print(f"open {render(_folder(arguments.results), arguments.out)}")
    except SiteError as error:
        raise ResultError(str(error)) from error
    return 0


def _cache(arguments: argparse.Namespace) -> int:
    from recon_bench import cache

    if arguments.action == "clear":
        print(f"{cache.clear() / 2**20:.1f} MiB freed in {cache.folder()}")
    else:
        print(f"{cache.size() / 2**20:.1f} MiB in {cache.folder()}")
    return 0


def _folder(root: Path) -> Path:
    if not root.is_dir():
        raise ResultError(f"no folder {root}: expected one of results; name it with --results DIR")
    return root


def _load(root: Path) -> list[Result]:
    results, problems = load(_folder(root))
    for problem in problems:
        print(f"recon-bench: left out: {problem}", file=sys.stderr)
    return results


def _print_rows(rows: Rows, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        print(tabulate(rows, headers="keys", disable_numparse=True, maxcolwidths=40))


if __name__ == "__main__":
    sys.exit(main())
