"""A result: one run of one cell, what it stands for, and which of several is the newest."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from recon_bench.results import confirmations, marks
from recon_bench.results.traits import BEFORE, TRAITS
from recon_bench.storage import sha256

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """One result file; fields and nesting are those of schema.json, ``path`` is where it was read.

    ``confirmed``: what the folder it was read from says of code and weights that it also stands for; ``mark``: what it
    says of who vouches for it; ``card``: what its submitter declares of the method.
    """

    kind: str
    task: Json
    method: Json
    rules: Json
    measurement: Json
    status: str
    reason: str | None
    provenance: Json
    images: Json
    records: Sequence[Json]
    schema: int = 1
    path: Path | None = field(default=None, compare=False)
    confirmed: Sequence[confirmations.Entry] = field(default=(), compare=False, repr=False)
    mark: str = field(default=marks.REPORTED, compare=False)
    card: Json = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def stem(self) -> str:
        """File name without its ending, the same before and after the run: pictures are named after it."""
        made = self.provenance
        identity = [self.task["hash"], self.rules["hash"], self.measurement["hash"], self.method["hash"]]
        identity += [
            self.method["name"],
            self.method["settings"],
            made["machine"]["id"],
            made["device"],
            made["threads"],
        ]
        time = made["started"].replace("-", "").replace(":", "")
        number = f"-{made['number']}" if "number" in made else ""  # of those that began in the same second
        return f"{self.kind}-{time}-{sha256(json.dumps(identity).encode())[:6]}{number}"

    @cached_property
    def traits(self) -> dict[str, Any]:
        """What the measurement says of itself: its ``order``, whether it ran ``alone``, is a ``ledger``, stands on the
        ``board``, and which of its metrics are ``hidden`` at first."""
        return {**TRAITS, **BEFORE.get(self.kind, {}), **self.measurement.get("traits", {})}

    @cached_property
    def codes(self) -> frozenset[str]:
        """Identities of the code that this result stands for: its own, and what was confirmed to give the same."""
        name = self.method["name"]
        return confirmations.standing(self.confirmed, self.kind, self.task["name"], name, self.method["hash"])

    def stands_for(self, code: str, weights: Mapping[str, str]) -> bool:
        """Whether it was measured with this code and these weights (sha256 by name), or with what gives the same."""
        own = self.method.get("weights", {})
        return (
            code in self.codes
            and own.keys() == weights.keys()
            and all(weights[name] in self._seals(name, seal) for name, seal in own.items())
        )

    def _seals(self, name: str, seal: str) -> frozenset[str]:
        place = self.kind, self.task["name"], self.method["name"]
        return confirmations.standing_weights(self.confirmed, *place, name, seal)

    def folder(self, root: Path) -> Path:
        """Where the file and its pictures go."""
        return root / self.task["name"] / self.method["name"]

    def data(self) -> dict[str, Any]:
        """The content of the file, without its seal."""
        return {"schema": self.schema, **{name: getattr(self, name) for name in CONTENT}}


BESIDE = ("schema", "path", "confirmed", "mark", "card")  # fields that are no part of the file's content
CONTENT = tuple(f.name for f in dataclasses.fields(Result) if f.name not in BESIDE)


def latest(results: Iterable[Result]) -> list[Result]:
    """The newest result of each (task hash, rules hash, measurement hash, method, kind), in the order given."""
    newest: dict[tuple[str, ...], Result] = {}
    for result in results:
        key = (
            result.task["hash"],
            result.rules["hash"],
            result.measurement["hash"],
            result.method["name"],
            result.kind,
        )
        if key not in newest or started(result) >= started(newest[key]):
            newest[key] = result
    return list(newest.values())


def kind_of(path: Path) -> str:
    """The kind that the name of a result file says, see :attr:`Result.stem`; "" where it says none."""
    named = re.match(r"(.+)-\d{8}T\d{6}Z-", path.name)
    return named[1] if named else ""


def started(result: Result) -> tuple[str, str]:
    """Sorts results by age; the stem decides between runs of the same second."""
    return result.provenance["started"], result.stem
