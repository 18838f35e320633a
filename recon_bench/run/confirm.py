"""Whether results still hold for changed code or weights: a few images of each are measured again and compared.

What agrees is appended to the folder's confirmations, and the results then count for the new code; what differs is left
to be measured. A result is looked at under its recorded settings, with the weights of the recorded names as they are
now. Kinds say how they are confirmed: by the first test images, by a short new timing on the same machine and threads,
or with the accuracy of the same method.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recon_bench import identity, registry
from recon_bench.results import RANKING_KIND, ResultError, confirmations
from recon_bench.results.confirmations import Entry
from recon_bench.run import agreement, journal, provenance
from recon_bench.run.agreement import IMAGES
from recon_bench.run.local import LOOK, Executor, Local
from recon_bench.run.stale import Stale, stale
from recon_bench.run.worker import CHANGED
from recon_bench.tables.numbers import plural

BATCH = 16  # images that are reconstructed with them where they differ alone: a method may stop with the slowest


def confirm(
    root: Path,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    kinds: Sequence[str] = (),
    jobs: int = 1,
    command: str = "",
    executor: Executor | None = None,
) -> int:
    """Confirm what can be of the results in ``root``; gives the number of results that are to be measured again.

    Empty lists mean everything that is registered. Raises UnknownName for a name that is neither registered nor a file,
    ResultError where the confirmations of the folder are damaged, OSError where nothing can be written; what was
    confirmed before stays.
    """
    root = root.absolute()  # what is imported may change the working directory
    tasks, methods, kinds = ([*map(registry.absolute, names)] for names in (tasks, methods, kinds))
    provenance.commit()  # of the code that is imported now, whatever is edited while it runs
    for problem in confirmations.violations(root):
        raise ResultError(problem)
    todo = list(stale(root, tasks, methods, kinds))
    print(f"{plural(len(todo), 'result')} measured with other code or weights than there are now", flush=True)
    executor = executor or Local()
    left = _confirmed([item for item in todo if item.kind.confirm == "images"], root, jobs, command, executor)
    known = confirmations.read(root)
    for item in (item for item in todo if item.kind.confirm == "accuracy"):
        if item.result.status == "partial":
            left.append(_left(item, "a part of it had failed, which may be mended"))
        elif _follows(item, known):
            confirmations.append([item.entry([], None, command, follows=RANKING_KIND)], root)
        else:
            left.append(_left(item, "it follows from the accuracy, which is not confirmed"))
    wrong = {item.place for item in left}
    here = []
    for item in (item for item in todo if item.kind.confirm == "timing"):
        if item.place in wrong:
            left.append(_left(item, "another result of the method is not confirmed"))
        elif not item.on_this_machine:
            left.append(_left(item, "timed on another machine"))
        else:
            here.append(item)
    left += _confirmed(here, root, 1, command, executor)
    print(f"{len(todo) - len(left)} are confirmed, {len(left)} are to be measured again (recon-bench run)")
    return len(left)


def _follows(item: Stale, known: Sequence[Entry]) -> bool:
    """Whether an accuracy was confirmed for the code of now that stood for the code of the item as well."""
    of_item = (RANKING_KIND, *item.place)
    return any(
        entry.new == item.code
        and (
            entry.old in item.result.codes
            or item.result.method["hash"] in confirmations.standing(known, *of_item, entry.old)
        )
        for entry in known
        if entry.what == "confirmed" and RANKING_KIND in entry.kinds and (entry.task, entry.method) == item.place
    )


def _left(item: Stale, problem: str, looked: str = "") -> Stale:
    """The item, after saying why it is to be measured again, and what of it was ``looked`` at."""
    tqdm.write(f"{item}{looked}: {problem}", file=sys.stderr)
    return item


def _confirmed(todo: Sequence[Stale], root: Path, jobs: int, command: str, executor: Executor) -> list[Stale]:
    """Measure a little of each and note what agrees; gives those that do not.

    What differs is looked at once more in the batch that it was recorded in.
    """
    differs = _looked_at(todo, root, jobs, command, executor, IMAGES)
    again = [item for item in differs if item.kind.confirm == "images" and item.result.status != "not-applicable"]
    return [item for item in differs if item not in again] + _looked_at(again, root, jobs, command, executor, BATCH)


def _looked_at(
    todo: Sequence[Stale], root: Path, jobs: int, command: str, executor: Executor, images: int
) -> list[Stale]:
    """Those of which so many images do not agree; the others are noted."""
    left = []
    scratch = tempfile.TemporaryDirectory(prefix="recon-bench-confirm-")
    with scratch as whole, tqdm(total=len(todo), disable=None) as bar:
        for item, folder in _measured(todo, Path(whole), jobs, executor, images):
            compared, reason, problem = agreement.compare(item, journal.read(folder / "journal.jsonl"))
            if identity.of_file(item.file) != item.code:
                problem = CHANGED
            if problem:
                looked = "" if item.kind.confirm == "timing" else f", first {images} images"
                left.append(_left(item, problem, looked))
            else:
                confirmations.append([item.entry(compared, reason, command)], root)
            shutil.rmtree(folder, ignore_errors=True)
            bar.update()
    return left


def _measured(
    todo: Sequence[Stale], scratch: Path, jobs: int, executor: Executor, images: int
) -> Iterator[tuple[Stale, Path]]:
    """Each item with the folder of its journal, when its process has ended; ``jobs`` of them at a time."""
    waiting, running = list(enumerate(todo)), list[tuple[Stale, Path, Any, float]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, item = waiting.pop(0)
                folder = scratch / str(number)
                folder.mkdir()
                running.append((item, folder, executor.start(item.job(folder, images)), time.monotonic()))
            executor.wait([process for _, _, process, _ in running], LOOK)
            for entry in list(running):
                item, folder, process, begun = entry
                if executor.poll(process) is None and time.monotonic() - begun < 60 * item.result.rules["cell_minutes"]:
                    continue
                executor.kill(process)
                running.remove(entry)
                yield item, folder
    finally:
        for _, _, process, _ in running:
            executor.kill(process)
