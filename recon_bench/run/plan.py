"""What a run has to do: which cells, which of them are done already, with which settings, and how long it may take."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from recon_bench import headers, identity, registry, weights
from recon_bench.core import Method
from recon_bench.measurement import Cell, Measurement
from recon_bench.results import Result, started
from recon_bench.rules import Rules
from recon_bench.run import provenance
from recon_bench.run.worker import Job
from recon_bench.storage import digest, sha256
from recon_bench.task import Task

UNKNOWN_SECONDS = 20.0  # assumed for a cell of which there is no result of any method
Names = tuple[str, str, str]  # of a task, a method and a kind of result
Shard = tuple[int, int]  # the first number, from 1, of so many
WHOLE: Shard = (1, 1)


@dataclass(frozen=True)
class RunSetup:
    """What all cells of a run share."""

    rules: Rules
    device: str
    threads: int
    overrides: Mapping[str, Mapping[str, str]]
    memory: int = 0  # bytes that a method may take; 0 for what is free


@dataclass(frozen=True)
class Planned:
    """One cell of a run. ``asked``: by which names or files task, method and kind were asked for."""

    task: Task
    method: Method
    kind: Measurement
    asked: tuple[str, str, str]
    setup: RunSetup
    identity: str  # of its code, taken when the run is planned: the code that runs is imported then
    weights: Mapping[str, str]  # of a learned method: name to sha256 of what is measured
    broken: str = ""  # why nothing can be known of its method, which then has but a name

    def __str__(self) -> str:
        return f"{self.task.name} · {self.method.name} · {self.kind.name}"

    @property
    def changed(self) -> bool:
        """Whether the code of its method is no longer what it was when the run was planned."""
        try:
            return identity.of_file(Path(self.method.path)) != self.identity
        except (OSError, SyntaxError, ValueError):
            return True

    def overrides(self) -> dict[str, Any]:
        """Settings of its method that the user set, as text by name."""
        return dict(self.setup.overrides.get(self.method.name, {}))

    def settings(self, known: Iterable[Result]) -> tuple[dict[str, Any], list[str]]:
        """The settings to use and the names of those that were tuned, given the results known so far.

        What the user set stands above what the tuner chose, and that above the defaults.
        """
        tuned = {} if self.kind.ledger else self._tuned(known)
        overrides = self.overrides()
        chosen = registry.with_settings(self.method, tuned | overrides)
        values = dataclasses.asdict(chosen) if chosen is not None else {}
        return values, sorted(tuned.keys() - overrides.keys())

    def _tuned(self, known: Iterable[Result]) -> dict[str, Any]:
        """What the newest tuning of this very method on this task chose, under these rules where there is one.

        A tuning that ran out of time counts with what it had tried.
        """
        found = [
            result
            for result in known
            if result.method["name"] == self.method.name
            and result.task["hash"] == self.task.hash
            and result.traits["ledger"]
            and self.identity in result.codes
        ]
        if not found:
            return {}
        best = max(found, key=lambda r: (self._same_rules(r), started(r)))
        return {name: best.method["settings"][name] for name in best.method["tuned"]}

    def _same_rules(self, result: Result) -> bool:
        return bool(result.rules["hash"] == self.setup.rules.hash)

    def was_measured_by(self, result: Result) -> bool:
        """Whether ``result`` is of this cell, perhaps with other code, weights or settings. What failed is not."""
        return bool(
            result.kind == self.kind.name
            and result.status != "failed"
            and result.method["name"] == self.method.name
            and result.task["hash"] == self.task.hash
            and result.measurement["hash"] == self.kind.hash
            and result.provenance["device"].split(":")[0] == self.setup.device.split(":")[0]
            and self._same_rules(result)
        )

    def done_by(self, result: Result, settings: Mapping[str, Any]) -> bool:
        """Whether ``result`` is this cell's, so that it need not run again."""
        same = self.was_measured_by(result) and result.stands_for(self.identity, self.weights)
        if same and self.kind.alone:
            here = provenance.machine(self.setup.device)["id"]
            made = result.provenance
            same = (made["machine"]["id"], made["threads"]) == (here, self.setup.threads)
        searched = self.method.search if self.kind.ledger else {}
        return same and all(result.method["settings"].get(k) == v for k, v in settings.items() if k not in searched)

    def estimate(self, known: Mapping[Names, Result]) -> float:
        """Seconds this cell may take, by the newest result of it, else by those of other methods."""
        last = known.get((self.task.name, self.method.name, self.kind.name))
        if last is not None:
            return self._seconds_as(last)
        here = (self.task.name, self.kind.name)
        alike = (r for (task, _, kind), r in known.items() if (task, kind) == here and r.status != "not-applicable")
        others = [self._seconds_as(result) for result in alike]
        return statistics.median(others) if others else UNKNOWN_SECONDS

    def _seconds_as(self, last: Result) -> float:
        spent = float(last.provenance["seconds"])
        if self.kind.ledger or self.kind.alone:
            return spent
        images, then = (
            min(count, self.task.sizes["test"]) for count in (self.setup.rules.images, last.rules["images"])
        )
        return 1.0 + spent * images / then

    def points(self, settings: Mapping[str, Any]) -> list[Mapping[str, float]]:
        """The points of its curve that want a process each; an empty one where a single process measures all."""
        if self.kind.points is None:
            return [{}]
        used = registry.with_settings(self.method, settings)
        return list(
            self.kind.points(Cell(self.task, self.method, used, self.setup.rules, torch.device(self.setup.device)))
        )

    def job(self, settings: Mapping[str, Any], folder: Path, at: Mapping[str, float]) -> Job:
        """What a worker is asked to measure."""
        setup = self.setup
        task, method, kind = self.asked
        return Job(
            task=task,
            method=method,
            kind=kind,
            settings=settings,
            rules=setup.rules,
            device=setup.device,
            threads=setup.threads,
            folder=folder,
            weights=dict(self.weights),
            code=self.identity if registry.is_path(method) else "",
            at=at,
            memory=setup.memory,
        )


def aside(wanted: Iterable[Planned]) -> set[str]:
    """The kinds of results that do not say what of these cells is done, with which settings or in what time."""
    scored = {name for name, kind in registry.measurements().items() if not kind.ledger}
    return scored - {cell.kind.name for cell in wanted}


def newest(results: Iterable[Result]) -> dict[Names, Result]:
    """The newest result of each task, method and kind, for :meth:`Planned.estimate`."""
    return {(r.task["name"], r.method["name"], r.kind): r for r in sorted(results, key=started)}


def cells(tasks: Sequence[str], methods: Sequence[str], kinds: Sequence[str], setup: RunSetup) -> list[Planned]:
    """Every cell that is asked for, by names or files: task by task, and within a task in the order of the kinds.

    A file of which nothing can be known has one cell in each task, and the reason.
    """
    found = []
    known = _methods(methods)
    known_kinds = {name: registry.measurement(name) for name in kinds}
    ordered = sorted(known_kinds.items(), key=lambda item: item[1].order)
    plain = [name for name, kind in ordered if not kind.ledger and not kind.weights]
    for (asked_task, task), (asked_kind, kind), (asked, (method, code, broken)) in product(
        [(name, registry.task(name)) for name in tasks], ordered, known.items()
    ):
        names = (asked_task, asked, asked_kind)
        if broken:
            found += [Planned(task, method, kind, names, setup, code, {}, broken)] * (asked_kind in plain[:1])
            continue
        if kind.ledger and not (method.search and setup.rules.tuning_evaluations):
            continue
        changes = setup.overrides.get(method.name, {})
        used = weights.own(method, task.name, setup.rules.seeds, registry.with_settings(method, changes))
        if kind.weights:  # those of the method as it comes
            used = [] if changes else list(kind.weights(method, task.name))
        if kind.weights is None or used:
            found.append(Planned(task, method, kind, names, setup, code, weights.seals(used)))
    return found


def _methods(asked: Sequence[str]) -> dict[str, tuple[Method, str, str]]:
    """By name or file: the method, the identity of its code, and why nothing can be known of it, if so."""
    found: dict[str, tuple[Method, str, str]] = {}
    taken: dict[str, str] = {}  # by its own name, the path of a method
    for name in asked:
        try:
            method = registry.method(name)
            code = identity.of_file(Path(method.path))
            if taken.setdefault(method.name, method.path) != method.path:
                raise registry.BrokenFile(f"{name}: the name {method.name!r} is taken by {taken[method.name]}")
            found[name] = (method, code, "")
        except (registry.BrokenFile, SyntaxError, ValueError, OSError, RecursionError) as error:
            if isinstance(error, registry.UnknownName) and not isinstance(error, registry.BrokenFile):
                raise
            method, code = _unreadable(name, getattr(error, "name", ""), taken)
            found[name] = (method, code, str(error))
    return found


def _unreadable(asked: str, own: str, taken: dict[str, str]) -> tuple[Method, str]:
    """A method without code for the row of a file or module, and a digest of that: by its own name or the place's."""
    path = Path(asked.partition(":")[0])
    stem = re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "file"
    numbered = (f"file-{stem}" + f"-{number}" * (number > 1) for number in itertools.count(1))
    names = itertools.chain([own] if headers.NAME.fullmatch(own) else [], numbered)
    name = next(name for name in names if name not in taken and name not in registry.methods())
    taken[name] = str(path)
    told: dict[str, Any] = {
        "name": name,
        "title": path.name,
        "family": "outside",
        "summary": "A file that cannot be used.",
    }
    told |= {"reference": "none", "depth": None, "settings": None, "search": {}, "learned": False, "recipe": None}
    content = path.read_bytes() if path.is_file() else asked.encode()
    return dataclasses.replace(headers.heard(told), path=str(path)), digest(sha256(content))


def asked_for(
    tasks: Sequence[str], methods: Sequence[str], kinds: Sequence[str], setup: RunSetup, shard: Shard = WHOLE
) -> list[Planned]:
    """The cells of a run; tasks without their data are named and left out.

    Empty lists as of a run. A ``shard`` has all cells of each pair of task and method that it has, so that a method is
    tuned before it is scored; which pairs depends on nothing but what is asked for. Raises UnknownName, also for a
    setting, and ValueError for a task that is named and without its data.
    """
    known = dict(registry.methods() if not methods else {})
    for name in methods:
        with contextlib.suppress(registry.BrokenFile):  # its row says so
            known[registry.method(name).name] = registry.method(name)
    for name, changes in setup.overrides.items():
        registry.with_settings(known[name] if name in known else registry.method(name), changes)
    missing = {name: registry.task(name).missing() for name in tasks or registry.tasks()}
    absent = {name: reason for name, reason in missing.items() if reason is not None}
    if tasks and absent:
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in absent.items()))
    for name in absent:
        print(f"without {name}: its data are not here (recon-bench show {name} says what to download)")
    available = [name for name in missing if name not in absent]
    found = cells(available, methods or registry.ready(), kinds or list(registry.measurements()), setup)
    for kind in sorted(set(kinds) - {cell.asked[2] for cell in found}):
        print(f"nothing to measure: {kind} (recon-bench show {kind} says what it needs)", file=sys.stderr)
    number, count = shard
    mine = {pair: i % count == number - 1 for i, pair in enumerate(dict.fromkeys(cell.asked[:2] for cell in found))}
    return [cell for cell in found if mine[cell.asked[:2]]]


def undone(wanted: Sequence[Planned], known: Sequence[Result], shipped: Sequence[Result]) -> list[Planned]:
    """The cells that no known result answers, and those whose settings a tuning among them will choose anew."""
    todo, retuned = [], set()
    own, every = _of_pairs(known), _of_pairs([*known, *shipped])
    for cell in wanted:
        key = (cell.task.name, cell.method.name)
        settings, _ = cell.settings(every[key])
        if key not in retuned and any(cell.done_by(result, settings) for result in own[key]):
            continue
        todo.append(cell)
        if cell.kind.ledger:
            retuned.add(key)
    return todo


def _of_pairs(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """Results by the names of task and method, empty lists of others."""
    found: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        found[result.task["name"], result.method["name"]].append(result)
    return found
