"""`recon-bench reproduce`: does a result hold when it is measured again?"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from pathlib import Path
from typing import Any

from recon_bench.cli import options
from recon_bench.cli.command import Command

SHOWN = 10  # values that do not hold


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("result", type=Path, metavar="RESULT", help="a result file, results/TASK/METHOD/KIND-….json")
    parser.add_argument("--method", default="", metavar="FILE", help="the method; default: by its name")
    count: dict[str, Any] = {"type": options.whole(0), "default": 0, "metavar": "N"}
    parser.add_argument("--images", **count, help="only the first N test images; default: all")
    parser.add_argument("--threads", **count, help="default: as recorded")
    note = "note in its results folder that it holds, which its row then says"
    parser.add_argument("--note", action="store_true", help=note)


def run(arguments: argparse.Namespace) -> int:
    """Measure and compare; 1 where something does not hold. ValueError where code or weights are others."""
    from recon_bench.results import marks, parse, to_result
    from recon_bench.submission.reproduce import entry, reproduce

    if arguments.note and arguments.images:
        raise ValueError("--note is about all images: leave --images out")
    path = arguments.result.absolute()
    root, command = path.parents[2], shlex.join(["recon-bench", *arguments.argv])
    (result,) = [each for each in options.results_in(root) if each.path == path] or [to_result(parse(path), path)]
    options.check_device(result.provenance["device"])
    with tempfile.TemporaryDirectory(prefix="recon-bench-reproduce-") as scratch:
        held = reproduce(result, Path(scratch), arguments.method, arguments.images, arguments.threads, command)
    for text in [*held.broken[:SHOWN], *(f"not compared: {text}" for text in held.skipped)]:
        print(text)
    if held.broken:
        differ = f": {len(held.broken)} of {held.values} values differ" if held.values else ""
        print(f"It does not hold{differ}.")
    elif held.values:
        print(f"It holds: {held.values} values agree.")
    if arguments.note and held.holds:
        marks.append(entry(result, held, root, command), root)
    return 0 if held.holds else 1


COMMAND = Command("run a result file again and say whether it holds", add_arguments, run, place=5)
