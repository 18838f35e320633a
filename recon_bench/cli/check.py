"""`recon-bench check`: are all result files, and the attacks that were submitted, what they say?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from recon_bench import storage
from recon_bench.cli import options
from recon_bench.cli.command import Command


def run(arguments: argparse.Namespace) -> int:
    """Print each problem on a line; 1 where there is one."""
    from recon_bench.results import card_files, result_files
    from recon_bench.results.check import check

    root = options.folder(arguments.results)
    problems = [*check(root), *_attacks()]
    print("\n".join(problems) or f"{len(result_files(root))} results and {len(card_files(root))} task cards are fine")
    return 1 if problems else 0


def _attacks() -> Iterator[str]:
    """What is wrong with submitted perturbations; of tasks whose data are not here nothing is known."""
    if not storage.ATTACKS.is_dir():
        return
    from recon_bench import registry
    from recon_bench.scoring import submitted

    for path in submitted.files():
        try:
            registry.method(path.parent.name)
            task = registry.task(path.parent.parent.name)
            if task.missing() is None:
                submitted.read(path, task)
        except (ValueError, OSError) as error:
            yield str(error) if str(path) in str(error) else f"{path}: {error}"


COMMAND = Command(
    "validate all result files and submitted attacks; exit status 1 if something is wrong",
    options.add_results,
    run,
    place=5,
)
