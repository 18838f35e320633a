"""`recon-bench diff`: which scores changed between two sets of results, and whose."""

from __future__ import annotations

import argparse
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recon_bench.cli import options
from recon_bench.cli.command import Command
from recon_bench.results import ResultError

if TYPE_CHECKING:
    from recon_bench.tables.diff import Diff


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("base", metavar="BASE", help="a folder of results or a git revision")
    parser.add_argument("head", metavar="HEAD", help="the same of what is looked at")
    mine = "whose rows may change; default: methods that BASE does not know. May be repeated"
    parser.add_argument("--mine", action="append", metavar="METHOD", help=mine)


def run(arguments: argparse.Namespace) -> int:
    """Print Markdown; 1 where rows of others changed or a file that was there is gone or edited."""
    from recon_bench.tables.diff import diff

    with _folder(arguments.base) as base, _folder(arguments.head) as head:
        found = diff(options.results_in(base), options.results_in(head))
    mine = frozenset(arguments.mine or found.new)
    print(markdown(found, mine))
    return 1 if found.of_others(mine) or found.lost else 0


def markdown(found: Diff, mine: frozenset[str]) -> str:
    """Tables and what follows from them; rows of others are in bold type."""
    from tabulate import tabulate

    from recon_bench.tables.diff import rows

    lines = [f"### Scores that changed: {len(found.changes)}\n"]
    if found.changes:
        lines += [tabulate(rows(found, mine), headers="keys", tablefmt="github", disable_numparse=True), ""]
    if found.lost:
        lines += ["Results are written once. Gone or edited:\n", *(f"- `{path}`" for path in found.lost), ""]
    others = sorted({change.method for change in found.of_others(mine)})
    own = f"rows of {', '.join(sorted(mine))} may" if mine else "no row may"
    lines += [f"Rows of others changed: **{', '.join(others)}** ({own})." if others else "No row of others changed."]
    return "\n".join(lines)


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    """The folder itself, or the results of a git revision; ResultError where it is neither."""
    if Path(name).is_dir():
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="recon-bench-diff-") as scratch:
        with tarfile.open(fileobj=io.BytesIO(_archive(name))) as archive:
            archive.extractall(scratch, filter="data")
        yield Path(scratch) / "results"


def _archive(revision: str) -> bytes:
    try:
        top = _git("rev-parse", "--show-toplevel").decode().strip()
        commit = _git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
        return _git("-C", top, "archive", "--format=tar", commit, "results")
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode(errors="replace").strip() or str(error)
        raise ResultError(f"{revision}: expected a folder or a git revision that has results ({said})") from error


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], check=True, capture_output=True).stdout


COMMAND = Command("print which scores changed between two folders or git revisions", add_arguments, run, place=5)
