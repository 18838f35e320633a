"""`recon-bench submit`: is a method ready for the committed board? If so, what a pull request needs in one folder."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recon_bench.cli import options
from recon_bench.cli.command import Command
from recon_bench.tables.numbers import plural

if TYPE_CHECKING:
    from recon_bench.core import Method
    from recon_bench.results import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_results(parser)
    parser.add_argument("method", metavar="FILE", help="a Python file with the method")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: build/submit/METHOD")


def run(arguments: argparse.Namespace) -> int:
    """Say what is missing and how to get it, with status 1; else gather."""
    from recon_bench import registry
    from recon_bench.submission import gather

    known = options.results_in(arguments.results)
    for method in options.with_code(registry.given, arguments.method).values():
        out = arguments.out or Path("build") / "submit" / method.name
        if out.exists():
            raise ValueError(f"{out} is there already: move it away or choose another with --out")
        own = gather.own(method, known)
        if lines := list(_refused(method, own, arguments)):
            print(f"{method.name} is not ready:\n\n" + "\n".join(lines))
            return 1
        made = gather.gather(method, own, out)
        print(f"{method.name}: {len(made)} files in {out}, laid out like the repository. In a checkout of it:\n")
        print(f"  git switch -c {method.name} && cp -r {out.absolute()}/. . && make pr && git add baselines results")
    return 0


def _refused(method: Method, own: list[Result], arguments: argparse.Namespace) -> Iterator[str]:
    """What stands against a submission, line by line."""
    from recon_bench.results import RANKING_KIND
    from recon_bench.results.check import check
    from recon_bench.submission import card as cards
    from recon_bench.submission import gather
    from recon_bench.submission.look import broken

    yield from (f"broken promise: {text}" for text in broken(method, gather.available()))
    yield from (text for text in check(arguments.results) if f"/{method.name}/" in text)
    file = cards.path(method)
    if not file.exists():
        yield f"no card: {cards.write_blank(method)} was written, fill it in (docs/submitting.md says how)"
    else:
        card, wrong = cards.problems(file, method)
        yield from wrong
        ranked = [result for result in own if result.kind == RANKING_KIND]
        yield from () if wrong else cards.against_track(card["track"], method, ranked)
    if lacks := gather.missing(method, own):
        yield f"not measured, under the full rules with the code and weights of now ({plural(len(lacks), 'task')}):"
        yield from (f"  {lack}" for lack in lacks)
        yield from ("", "These measure it:", "")
        yield from (f"  {command}" for command in gather.commands(arguments.method, lacks, arguments.results))


COMMAND = Command("check and gather what a pull request with a method needs", add_arguments, run, place=8)
