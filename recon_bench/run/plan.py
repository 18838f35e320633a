"""What a run has to do: which cells, which of them are done already, with which settings, and how long it may take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recon_bench import identity, registry, weights
from recon_bench.core import Method
from recon_bench.measurement import Cell, Measurement
from recon_bench.results import Result, started
from recon_bench.rules import Rules
from recon_bench.run import provenance
from recon_bench.run.worker import Job
from recon_bench.task import Task

UNKNOWN_SECONDS = 20.0  # assumed for a cell that was never run


@dataclass(frozen=True)
class RunSetup:
    """What all cells of a run share."""

    rules: Rules
    device: str
    threads: int
    overrides: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Planned:
    """One cell of a run. ``name`` is what the method was asked for by: a registered name or a file."""

    task: Task
    method: Method
    name: str
    kind: Measurement
    setup: RunSetup
    identity: str  # of its code, taken when the run is planned: the code that runs is imported then
    weights: Mapping[str, str]  # of a learned method: name to sha256 of what is measured

    def __str__(self) -> str:
        return f"{self.task.name} · {self.method.name} · {self.kind.name}"

    def overrides(self) -> dict[str, Any]:
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
            if result.traits["ledger"]
            and self.identity in result.codes
            and result.method["name"] == self.method.name
            and result.task["hash"] == self.task.hash
        ]
        if not found:
            return {}
        best = max(found, key=lambda r: (self._same_rules(r), started(r)))
        return {name: best.method["settings"][name] for name in best.method["tuned"]}

    def _same_rules(self, result: Result) -> bool:
        return bool(result.rules["hash"] == self.setup.rules.hash)

    def done_by(self, result: Result, settings: Mapping[str, Any]) -> bool:
        """Whether ``result`` is this cell's, so that it need not run again. What failed is tried again."""
        same = (
            result.kind == self.kind.name
            and result.status != "failed"
            and result.method["name"] == self.method.name
            and result.task["hash"] == self.task.hash
            and result.stands_for(self.identity, self.weights)
            and result.measurement["hash"] == self.kind.hash
            and result.provenance["device"].split(":")[0] == self.setup.device.split(":")[0]
            and self._same_rules(result)
        )
        if same and self.kind.alone:
            here = provenance.machine(self.setup.device)["id"]
            made = result.provenance
            same = (made["machine"]["id"], made["threads"]) == (here, self.setup.threads)
        searched = self.method.search if self.kind.ledger else {}
        return same and all(result.method["settings"].get(k) == v for k, v in settings.items() if k not in searched)

    def estimate(self, known: Iterable[Result]) -> float:
        """Seconds this cell may take, from the newest result of its kind, scaled to the number of images."""
        found = [
            result
            for result in known
            if (result.kind, result.task["name"], result.method["name"])
            == (self.kind.name, self.task.name, self.method.name)
        ]
        if not found:
            return UNKNOWN_SECONDS
        newest = max(found, key=started)
        spent = float(newest.provenance["seconds"])
        if self.kind.ledger or self.kind.alone:
            return spent
        images, then = (
            min(count, self.task.sizes["test"]) for count in (self.setup.rules.images, newest.rules["images"])
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
        return Job(
            task=self.task.name,
            method=self.name,
            kind=self.kind.name,
            settings=settings,
            rules=setup.rules,
            device=setup.device,
            threads=setup.threads,
            folder=folder,
            weights=dict(self.weights),
            at=at,
        )


def cells(tasks: Sequence[Task], methods: Sequence[str], kinds: Sequence[str], setup: RunSetup) -> list[Planned]:
    """Every cell that is asked for: task by task, tuning before what needs it. ``methods`` are names or files."""
    found = []
    found_methods = {name: registry.method(name) for name in methods}
    code = {name: identity.of_file(Path(method.path)) for name, method in found_methods.items()}
    for task in tasks:
        for kind in sorted(kinds, key=lambda name: registry.measurement(name).order):
            for name in methods:
                method, measurement = found_methods[name], registry.measurement(kind)
                if measurement.ledger and not (method.search and setup.rules.tuning_evaluations):
                    continue
                changes = setup.overrides.get(method.name, {})
                settings = registry.with_settings(method, changes)
                used = weights.own(method, task.name, setup.rules.seeds, settings)
                if measurement.weights:  # those of the method as it comes
                    used = [] if changes else list(measurement.weights(method, task.name))
                if measurement.weights is None or used:
                    found.append(Planned(task, method, name, measurement, setup, code[name], weights.seals(used)))
    return found
