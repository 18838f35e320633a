"""One cell of a run: with which settings, whether a result is its own already, and how long it may take."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recon_bench import identity, registry
from recon_bench.core import Method
from recon_bench.measurement import Cell, Measurement
from recon_bench.results import RANKING_KIND, Result, started
from recon_bench.rules import Rules
from recon_bench.run import provenance
from recon_bench.run.worker import Job
from recon_bench.task import Task

UNKNOWN_SECONDS = 20.0  # assumed for a cell of which there is no result of any method
Names = tuple[str, str, str]  # of a task, a method and a kind of result


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
            and same_kind(result, self.setup.device)
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
        """Seconds this cell may take, by the newest result of it, else of the method on other tasks, else of others.

        Times of another task are scaled by how much longer an image took the method here for the ranking result. Those
        of another kind of device count where there are no others of this kind of result.
        """
        here = {at: r for at, r in known.items() if same_kind(r, self.setup.device)}
        known = here if any(kind == self.kind.name for _, _, kind in here) else known
        alike = {at: r for at, r in known.items() if at[2] == self.kind.name and r.status != "not-applicable"}
        most = max((count for r in alike.values() if 0 < (count := _images(r)) < _allowed(r)), default=math.inf)
        last = known.get((self.task.name, self.method.name, self.kind.name))
        if last is not None:
            return self._seconds_as(last, most)
        own = {task: r for (task, name, _), r in alike.items() if name == self.method.name}
        others = [r for (task, _, _), r in alike.items() if task == self.task.name] or alike.values()
        seconds = [self._seconds_as(r, most) * self._slower(known, task) for task, r in own.items()]
        seconds = seconds or [self._seconds_as(r, most) for r in others]
        return statistics.median(seconds) if seconds else UNKNOWN_SECONDS

    def _slower(self, known: Mapping[Names, Result], task: str) -> float:
        """How many times as long as on another task the method took here; 1 where that is not known."""
        here, there = (known.get((name, self.method.name, RANKING_KIND)) for name in (self.task.name, task))
        if here is None or there is None:
            return 1.0
        each = [float(r.provenance["seconds"]) / max(1, len(r.records)) for r in (here, there)]
        return each[0] / max(each[1], 1e-3)

    def _seconds_as(self, last: Result, most: float = math.inf) -> float:
        """What ``last`` took, by the number of its images, of which this kind takes no more than ``most``."""
        spent, images = float(last.provenance["seconds"]), _images(last)
        if self.kind.ledger or self.kind.alone or not images:
            return spent
        return 1.0 + spent * min(self.setup.rules.images, self.task.sizes["test"], most) / images

    def points(self, settings: Mapping[str, Any]) -> list[Mapping[str, float]]:
        """The points of its curve that want a process each; an empty one where a single process measures all, or says
        that there is nothing to measure."""
        if self.kind.points is None:
            return [{}]
        used = registry.with_settings(self.method, settings)
        cell = Cell(self.task, self.method, used, self.setup.rules, torch.device(self.setup.device))
        return list(self.kind.points(cell)) or [{}]

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


def same_kind(result: Result, device: str) -> bool:
    """Whether a result was measured on the kind of device, cpu or cuda, that ``device`` is of."""
    return bool(result.provenance["device"].split(":")[0] == device.split(":")[0])


def _images(result: Result) -> int:
    """How many test images it is of; 0 for a kind that is of none, or of others."""
    return len({record["sample"] for record in result.records if record["sample"].startswith("test-")})


def _allowed(result: Result) -> int:
    """How many its rules and its task have."""
    task = registry.tasks().get(result.task["name"])
    return min(result.rules["images"], task.sizes["test"]) if task else int(result.rules["images"])
