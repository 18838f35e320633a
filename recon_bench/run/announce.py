"""What a run says before it starts and after it has ended: how long it takes, what may be spared, what is left over."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from recon_bench.results import Result
from recon_bench.run.planned import Names, Planned
from recon_bench.tables.numbers import plural


def forecast(
    wanted: Sequence[Planned],
    todo: Sequence[Planned],
    later: Sequence[Planned],
    known: Mapping[Names, Result],
    jobs: int,
) -> None:
    """Say how many cells are to run, by the times of results that are ``known``, and how many are not."""
    minutes = sum(cell.estimate(known) for cell in todo) / 60 / jobs
    reused = len(wanted) - len(todo) - len(later)
    begun = f"{plural(len(todo), 'cell')} to run (about {minutes:.1f} minutes)"
    print(f"{begun}, {reused} already done, {len(later)} left for later")


def spared(todo: Sequence[Planned], known: Sequence[Result], root: Path) -> None:
    """Say which cells need not be measured if the code that changed still gives the same."""
    changed = [cell for cell in todo if any(cell.was_measured_by(result) for result in known)]
    if changed:
        words = ["recon-bench", "confirm", "--methods", *dict.fromkeys(cell.asked[1] for cell in changed)]
        words += ["--results", str(root)] if root.resolve() != Path("results").resolve() else []
        print(f"{len(changed)} of them were measured with other code, weights or settings;")
        print(f"where the code still gives the same, this tells so in less time: {shlex.join(words)}")


def left_over(later: Sequence[Planned]) -> None:
    """Say which cells did not fit the budget."""
    if not later:
        return
    count = plural(len(later), "cell")
    print(f"\nLeft for later, as they would take longer ({count}; the same without --budget does them):")
    methods: dict[str, list[str]] = {}
    for cell in later:
        methods.setdefault(cell.task.name, []).append(f"{cell.method.name} ({cell.kind.name})")
    for task, names in methods.items():
        print(f"  {task}: {', '.join(names)}")
