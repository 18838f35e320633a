"""`recon-bench check`: are all result files, and the attacks that were submitted, what they say?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from recon_bench import storage
from recon_bench.cli import options
from recon_bench.cli.command import Command
from recon_bench.rules import BROKEN


def run(arguments: argparse.Namespace) -> int:
    """Print each problem on a line; 1 where there is one."""
    from recon_bench.results import card_files, result_files
    from recon_bench.results.check import check

    root = options.folder(arguments.results)
    problems = [*check(root), *_attacks(root)]
    print("\n".join(problems) or f"{len(result_files(root))} results and {len(card_files(root))} task cards are fine")
    return 1 if problems else 0


def _attacks(root: Path) -> Iterator[str]:
    """What is wrong with submitted perturbations, and which of them the newest result does not count; of tasks whose
    data are not here nothing is known."""
    if not storage.ATTACKS.is_dir():
        return
    from recon_bench import registry
    from recon_bench.scoring import submitted

    counted = dict(_counted(root))
    for path in submitted.files():
        task_name, name = path.parent.parent.name, path.parent.name
        try:
            registry.method(name)
            task = registry.task(task_name)
            given = submitted.read(path, task) if task.missing() is None else {}
        except (ValueError, OSError) as error:
            yield str(error) if str(path) in str(error) else f"{path}: {error}"
            continue
        known = counted.get((task_name, name), given)
        if left := sorted(set(given) - set(known)):
            rerun = f"recon-bench run --tasks {task_name} --methods {name} --measurements robustness --force"
            yield f"{path}: the newest result of robustness does not count it yet ({', '.join(left)}); {rerun} does"


def _counted(root: Path) -> Iterator[tuple[tuple[str, str], set[str]]]:
    """Of each task and method that was attacked, the images on which its newest result tried what was submitted."""
    from recon_bench.measurements import robustness
    from recon_bench.results import load, started

    for result in sorted(load(root)[0], key=started):
        if result.kind == robustness.MEASUREMENT.name:
            tried = [r for r in result.records if robustness.SUBMITTED in r["values"] or BROKEN in (r["note"] or "")]
            yield (result.task["name"], result.method["name"]), {str(r["sample"]) for r in tried}


COMMAND = Command(
    "validate all result files and submitted attacks; exit status 1 if something is wrong",
    options.add_results,
    run,
    place=5,
)
