"""Results that were measured with other code or weights than now, and how a little of each is measured again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recon_bench import identity, registry, results, weights
from recon_bench.measurement import Measurement
from recon_bench.registry import Noun
from recon_bench.results import Result
from recon_bench.results.confirmations import Compared, Entry
from recon_bench.rules import Rules
from recon_bench.run import provenance
from recon_bench.run.worker import Job

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
        return " · ".join([*self.place, self.kind.name])

    @property
    def place(self) -> tuple[str, str]:
        """Names of task and method."""
        return self.result.task["name"], self.result.method["name"]

    @property
    def on_this_machine(self) -> bool:
        """Whether it was measured on the machine that runs this."""
        made = self.result.provenance
        return bool(made["machine"]["id"] == provenance.machine(made["device"])["id"])

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


def stale(
    root: Path, tasks: Sequence[str] = (), methods: Sequence[str] = (), kinds: Sequence[str] = ()
) -> Iterator[Stale]:
    """Results that would count if they had been measured with the code and the weights of now, newest ones alone.

    Empty lists mean everything that is registered. UnknownName for a name that is neither registered nor a file.
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
