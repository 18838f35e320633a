"""Which results also stand for code or weights that came after them: `confirmations.jsonl` in a results folder.

A line is one entry, appended and never changed: the identity of a method's code before and after, the sha256 of its
weights before and after, and for which kinds of result on which task this holds. "carried" entries translate the
identities of results that were written when those were digests of bytes; "confirmed" ones hold what `recon-bench
confirm` ran to know it: each value that was recorded beside the one that the new code gave. Lines are sealed, as in
chain.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from recon_bench.results import chain

NAME = "confirmations.jsonl"
WITHIN_DB = 1e-3  # of a PSNR; repeated runs of one code were seen to differ by up to 2e-4
WITHIN = 1e-4  # relative, of every other value


@dataclass(frozen=True)
class Compared:
    """A value as it was ``recorded`` and as it was ``found`` by the new code, in the metric's unit.

    ``key`` is that of the record; ``within``: the interval of a time that was recorded.
    """

    key: str
    metric: str
    recorded: float
    found: float
    within: tuple[float, float] | None = None

    @property
    def agrees(self) -> bool:
        """Whether the two differ by less than runs of one code may; of a time, whether it is in its interval."""
        if self.within is not None:
            return self.within[0] <= self.found <= self.within[1]
        if self.metric.startswith("psnr"):
            return abs(self.found - self.recorded) <= WITHIN_DB
        return math.isclose(self.found, self.recorded, rel_tol=WITHIN, abs_tol=1e-12)


@dataclass(frozen=True)
class Entry:
    """What holds from now on: results of ``method`` and ``kinds`` on ``task`` ("" for every task) with the code
    ``old`` stand for ``new`` as well, those with weights ``before`` for ``after`` (sha256 by name)."""

    what: Literal["carried", "confirmed"]
    method: str
    kinds: Sequence[str]
    old: str
    new: str
    task: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    compared: Sequence[Compared] = ()
    follows: str = ""  # the kind whose entry before this one, of the same code, compared the values
    reason: str | None = None  # why the method is not applicable, then and now
    provenance: Mapping[str, Any] = field(default_factory=dict)


def read(root: Path) -> list[Entry]:
    """The entries of a results folder in order; those that :func:`violations` complains of are left out."""
    return [entry for _, entry, problem in _lines(root / NAME) if entry is not None and problem is None]


def append(entries: Iterable[Entry], root: Path) -> None:
    """Add entries at the end of the file of a results folder, whole or not at all. OSError where the disk refuses."""
    short = (dataclasses.asdict(e) | {"compared": [dataclasses.astuple(c) for c in e.compared]} for e in entries)
    chain.append(root / NAME, ({name: value for name, value in entry.items() if value} for entry in short))


def violations(root: Path) -> Iterator[str]:
    """What is wrong with the file of a results folder, one line each."""
    path = root / NAME
    for number, _, problem in _lines(path):
        if problem:
            yield f"{path}:{number}: {problem}"


def standing(entries: Iterable[Entry], kind: str, task: str, method: str, code: str) -> frozenset[str]:
    """The identities that results of ``method`` with ``code`` stand for: its own and what was confirmed from there."""
    links = [(e.old, e.new) for e in entries if _applies(e, kind, task, method)]
    return _reached({code}, links)


def standing_weights(
    entries: Iterable[Entry], kind: str, task: str, method: str, name: str, seal: str
) -> frozenset[str]:
    """The sha256 that results with the weights ``name`` of this ``seal`` stand for, in the same way."""
    own = [e for e in entries if _applies(e, kind, task, method)]
    return _reached({seal}, [(e.before[name], e.after[name]) for e in own if name in e.before])


def _applies(entry: Entry, kind: str, task: str, method: str) -> bool:
    return entry.method == method and entry.task in ("", task) and kind in entry.kinds


def _reached(start: set[str], links: Sequence[tuple[str, str]]) -> frozenset[str]:
    found = start
    while more := {new for old, new in links if old in found} - found:
        found = found | more
    return frozenset(found)


def _lines(path: Path) -> Iterator[tuple[int, Entry | None, str | None]]:
    """Number, entry and problem of each line."""
    known = set[tuple[str, str, str, str]]()
    for number, data, problem in chain.lines(path):
        try:
            if data is None:
                yield number, None, problem
                return
            entry = Entry(**data | {"compared": [Compared(*values) for values in data.get("compared", ())]})
            against = _problem(entry, known)
        except (ValueError, TypeError, AttributeError) as error:
            yield number, None, chain.no_entry(error)
            return
        known |= {(entry.task, entry.method, entry.new, kind) for kind in entry.kinds}
        yield number, entry, problem or against


def _problem(entry: Entry, known: Container[tuple[str, str, str, str]]) -> str | None:
    """What an entry says against its own rule; ``known``: task, method, code and kind of those before it."""
    if entry.what == "carried" or (entry.task, entry.method, entry.new, entry.follows) in known:
        return None
    if not entry.compared and not entry.reason:
        return "is confirmed by nothing: expected the values that were compared"
    wrong = [c for c in entry.compared if not c.agrees]
    if wrong:
        first = wrong[0]
        return f"says that {first.metric} of {first.key} agrees: {first.recorded:g} recorded, {first.found:g} found"
    return None
