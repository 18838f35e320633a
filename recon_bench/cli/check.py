"""`recon-bench check`: are all result files, and the attacks that were submitted, what they say?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recon_bench import storage
from recon_bench.cli import options
from recon_bench.cli.command import Command


def run(arguments: argparse.Namespace) -> int:
    """Print each problem on a line; 1 where there is one."""
    from recon_bench.results import card_files, result_files
    from recon_bench.results.check import check

    root = options.folder(arguments.results)
    problems = [*check(root), *_attacks(root)]
    print("\n".join(problems) or f"{len(result_files(root))} results and {len(card_files(root))} task cards are fine")
    return 1 if problems else 0


def _attacks(root: Path) -> Iterator[str]:
    """What is wrong with submitted perturbations, which of them the newest result does not count, and which a result
    has counted that are gone; of tasks whose data are not here nothing is known."""
    from recon_bench import registry
    from recon_bench.scoring import submitted

    counted, present = _counted(root), set[str]()
    for path in submitted.files():
        task_name, name = path.parent.parent.name, path.parent.name
        try:
            present.add(seal := storage.sha256(path.read_bytes()))
            registry.method(name)
            task = registry.task(task_name)
            given = submitted.read(path, task) if task.missing() is None else {}
        except (ValueError, OSError) as error:
            yield str(error) if str(path) in str(error) else f"{path}: {error}"
            continue
        *_, newest = counted.get((task_name, name), [{image: {seal} for image in given}])
        if left := sorted(image for image in given if seal not in newest.get(image, ())):
            rerun = f"recon-bench run --tasks {task_name} --methods {name} --measurements robustness --force"
            yield f"{path}: the newest result of robustness does not count it yet ({', '.join(left)}); {rerun} does"
    for (task_name, name), results in counted.items():
        for seal in sorted(set().union(*(seals for images in results for seals in images.values())) - present):
            folder = storage.ATTACKS / task_name / name
            yield f"{folder}: expected the perturbations that a result counts, put back the file with sha256 {seal}"


def _counted(root: Path) -> Mapping[tuple[str, str], Sequence[Mapping[str, set[str]]]]:
    """Of each task and method the files that its attacks counted, see :func:`robustness.counted`, oldest first."""
    from recon_bench.results import load, result_files, started
    from recon_bench.results.result import kind_of
    from recon_bench.tables import robustness

    found: dict[tuple[str, str], list[Mapping[str, set[str]]]] = {}
    others = {kind_of(path) for path in result_files(root)} - {robustness.KIND}
    for result in sorted(load(root, others)[0], key=started):
        found.setdefault((result.task["name"], result.method["name"]), []).append(robustness.counted(result))
    return found


COMMAND = Command(
    "validate all result files and submitted attacks; exit status 1 if something is wrong",
    options.add_results,
    run,
    place=5,
)
