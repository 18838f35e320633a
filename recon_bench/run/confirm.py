"""Whether results still hold for changed code or weights: a few images of each are measured again and compared.

What agrees is appended to the folder's confirmations, and the results then count for the new code; what differs is left
to be measured. A result is looked at under its recorded settings, with the weights of the recorded names as they are
now. Kinds say how they are confirmed: by the first IMAGES test images, by a short new timing on the same machine and
threads, or with the accuracy of the same method.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recon_bench import identity, registry, results, weights
from recon_bench.measurement import Measurement, Record
from recon_bench.registry import Noun
from recon_bench.results import RANKING_KIND, Result, ResultError, confirmations
from recon_bench.results.confirmations import Compared, Entry
from recon_bench.rules import Rules
from recon_bench.run import journal, provenance
from recon_bench.run.local import LOOK, Executor, Local
from recon_bench.run.worker import CHANGED, Job
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.statistics import interval

IMAGES = 2  # test images looked at
BATCH = 16  # images that are reconstructed with them where they differ alone: a method may stop with the slowest
REPEATS = 3  # of a timing


@dataclass(frozen=True)
class Stale:
    """A result that was measured with other code or weights than there are now.

    ``asked``: by which names or files task, method and kind are found.
    """

    result: Result
    kind: Measurement
    asked: tuple[str, str, str]
    code: str
    file: Path  # of the method
    seals: Mapping[str, str]  # of the weights as they are now

    def __str__(self) -> str:
        return f"{self.result.task['name']} · {self.result.method['name']} · {self.kind.name}"

    def job(self, folder: Path, images: int) -> Job:
        """Measure a few images, or time a few repeats, as the result was."""
        made = self.result.provenance
        rules = Rules(**{name: value for name, value in self.result.rules.items() if name != "hash"})
        few = dataclasses.replace(rules, seeds=tuple(rules.seeds), images=images, repeats=REPEATS)
        task, method, kind = self.asked
        code = self.code if registry.is_path(method) else ""
        where = (few, made["device"], made["threads"], folder, dict(self.seals), code)
        return Job(task, method, kind, self.result.method["settings"], *where)

    def entry(self, compared: Sequence[Compared], reason: str | None, command: str, follows: str = "") -> Entry:
        """That the result holds for the code and weights of now."""
        before = dict(self.result.method.get("weights", {}))
        commit, clean = provenance.commit()
        made = {"machine": provenance.machine(self.result.provenance["device"])["id"], "commit": commit, "clean": clean}
        made |= {"when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "command": command}
        changed = {name: seal for name, seal in self.seals.items() if seal != before[name]}
        return Entry(
            what="confirmed",
            method=self.result.method["name"],
            kinds=[self.kind.name],
            old=self.result.method["hash"],
            new=self.code,
            task=self.result.task["name"],
            before={name: before[name] for name in changed},
            after=changed,
            compared=compared,
            follows=follows,
            reason=reason,
            provenance=made,
        )


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
    print(f"{len(todo)} results were measured with other code or weights than there are now", flush=True)
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
    wrong = {_place(item) for item in left}
    here = []
    for item in (item for item in todo if item.kind.confirm == "timing"):
        if _place(item) in wrong:
            left.append(_left(item, "another result of the method is not confirmed"))
        elif not _same_machine(item):
            left.append(_left(item, "timed on another machine"))
        else:
            here.append(item)
    left += _confirmed(here, root, 1, command, executor)
    print(f"{len(todo) - len(left)} are confirmed, {len(left)} are to be measured again (recon-bench run)")
    return len(left)


def stale(
    root: Path, tasks: Sequence[str] = (), methods: Sequence[str] = (), kinds: Sequence[str] = ()
) -> Iterator[Stale]:
    """Results that would count if they had been measured with the code and the weights of now, newest ones alone.

    Names and errors as of :func:`confirm`.
    """
    known_tasks = _by_own_name(tasks or list(registry.tasks()), registry.task)
    known_methods = _by_own_name(methods or list(registry.methods()), registry.method)
    known_kinds = _by_own_name(kinds or list(registry.measurements()), registry.measurement)
    codes = {name: identity.of_file(Path(method.path)) for name, (_, method) in known_methods.items()}
    for result in results.latest(results.load(root)[0]):
        name = result.method["name"]
        if name not in known_methods or result.task["name"] not in known_tasks or result.kind not in known_kinds:
            continue
        (asked_task, task), (asked_kind, kind) = known_tasks[result.task["name"]], known_kinds[result.kind]
        same = (result.task["hash"], result.measurement["hash"]) == (task.hash, kind.hash)
        if not same or result.status == "failed":
            continue
        seals = weights.seals(result.method.get("weights", {}))
        if seals.keys() == result.method.get("weights", {}).keys() and not result.stands_for(codes[name], seals):
            asked, method = known_methods[name]
            yield Stale(result, kind, (asked_task, asked, asked_kind), codes[name], Path(method.path), seals)


def _by_own_name(asked: Sequence[str], find: Callable[[str], Noun]) -> dict[str, tuple[str, Noun]]:
    """What is asked for, by its own name, with the name or file by which a process finds it."""
    found = [(name, find(name)) for name in asked]
    return {item.name: (name, item) for name, item in found}


def _place(item: Stale) -> tuple[str, str]:
    return item.result.task["name"], item.result.method["name"]


def _follows(item: Stale, known: Sequence[Entry]) -> bool:
    """Whether an accuracy was confirmed for the code of now that stood for the code of the item as well."""
    of_item = (RANKING_KIND, *_place(item))
    return any(
        entry.new == item.code
        and (
            entry.old in item.result.codes
            or item.result.method["hash"] in confirmations.standing(known, *of_item, entry.old)
        )
        for entry in known
        if entry.what == "confirmed" and RANKING_KIND in entry.kinds and (entry.task, entry.method) == _place(item)
    )


def _left(item: Stale, problem: str, looked: str = "") -> Stale:
    """The item, after saying why it is to be measured again, and what of it was ``looked`` at."""
    tqdm.write(f"{item}{looked}: {problem}", file=sys.stderr)
    return item


def _same_machine(item: Stale) -> bool:
    made = item.result.provenance
    return made["machine"]["id"] == provenance.machine(made["device"])["id"]


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
            compared, reason, problem = _compare(item, journal.read(folder / "journal.jsonl"))
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


def _compare(item: Stale, found: journal.Journal) -> tuple[list[Compared], str | None, str | None]:
    """The values that were compared or the reason that was given again, or how they differ."""
    end = found.end({})
    if item.result.status == "not-applicable":
        agrees = end is not None and end["end"] == "not-applicable"
        return [], end["reason"] if agrees and end else None, None if agrees else f"was not applicable, now {end}"
    if end is None or end["end"] != "ok":
        return [], None, f"could not be measured: {end['reason'] if end else 'its process ended early'}"
    timing = item.kind.confirm == "timing"
    if timing and (trouble := _trouble(found.records)):
        return [], None, trouble
    compared = list((_timings if timing else _values)(item.result, found.records))
    wrong = [c for c in compared if not c.agrees]
    if wrong:
        first = max(wrong, key=lambda c: abs(c.found - c.recorded))
        return [], None, f"{first.metric} of {first.key} was {first.recorded:.6g}, now {first.found:.6g}"
    return compared, None, None if compared else "nothing to compare: no value of the first images was recorded"


def _values(result: Result, found: Sequence[Record]) -> Iterator[Compared]:
    """Values of the first test images before and after; where there are no images, of the first records."""
    recorded = {Record(**record).key: record for record in result.records}
    first = {f"test-{index:04d}" for index in range(IMAGES)}
    of_images = [record for record in found if record.sample in first]
    for record in of_images or found[:IMAGES]:
        known = recorded.get(record.key)
        if known is None:
            continue
        for name in sorted(known["values"].keys() | record.values.keys()):
            before, now = known["values"].get(name, float("inf")), record.values.get(name, float("-inf"))
            yield Compared(record.key, name, _short(before), _short(now))


def _trouble(found: Sequence[Record]) -> str | None:
    """Why a new timing says nothing: what was timed is wrong, or something else was running."""
    problems = [record.error or (record.note if record.values else None) for record in found]
    return next(filter(None, problems), None)


def _timings(result: Result, found: Sequence[Record]) -> Iterator[Compared]:
    """The median of each time, against the interval of what was recorded."""
    import numpy as np

    for metric in result.measurement["metrics"]:
        name = metric["name"]
        before = [record["values"][name] for record in result.records if name in record["values"]]
        now = [record.values[name] for record in found if name in record.values]
        if metric["unit"] == "s" and len(before) > 1 and now:
            told = interval(np.array(before), "median", **bootstrap(result))
            ends = _short(told.low), _short(told.high)
            yield Compared(name, name, _short(told.value), _short(float(np.median(now))), ends)


def _short(value: float) -> float:
    """Ten significant digits, enough by far for any rule of agreement."""
    return float(f"{value:.10g}")
