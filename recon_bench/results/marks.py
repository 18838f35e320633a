"""Who vouches for a row: marks that are committed beside the results and change none of them.

``reference.json`` in a results folder names the methods that the project has measured itself. ``reproductions.jsonl``
has a line for each result that `recon-bench reproduce` found to hold, wherever it came from; lines are only added. What
is named in neither is self-reported.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon_bench.results import chain

REFERENCE, REPRODUCED, REPORTED = "reference", "reproduced", "self-reported"
METHODS = "reference.json"
NAME = "reproductions.jsonl"


@dataclass(frozen=True)
class Reproduction:
    """A result that held: its ``file`` below the folder, its ``seal``, how many ``values`` agreed, on which machine."""

    file: str
    seal: str
    values: int
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Marks:
    """What a results folder says of who measured what."""

    reference: frozenset[str]
    reproduced: Mapping[str, str]  # seal by file

    def of(self, method: str, file: str, seal: str) -> str:
        """The mark of a result of ``method``."""
        if method in self.reference:
            return REFERENCE
        return REPRODUCED if self.reproduced.get(file) == seal else REPORTED


def read(root: Path) -> Marks:
    """The marks of a folder; lines that :func:`violations` complains of count for nothing."""
    known = [entry for _, entry, problem in _lines(root) if entry is not None and problem is None]
    return Marks(frozenset(_reference(root)), {entry.file: entry.seal for entry in known})


def append(entry: Reproduction, root: Path) -> None:
    """Add a reproduction. OSError where the disk refuses."""
    chain.append(root / NAME, [dataclasses.asdict(entry)])


def violations(root: Path) -> Iterator[str]:
    """What is wrong with the two files, one line each."""
    for number, _, problem in _lines(root):
        if problem:
            yield f"{root / NAME}:{number}: {problem}"
    try:
        _reference(root)
    except ValueError as error:
        yield str(error)


def _reference(root: Path) -> list[str]:
    path = root / METHODS
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except ValueError as error:
        found = error
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{path}: expected a JSON list of names of methods, found {found!r:.60}")
    return found


def _lines(root: Path) -> Iterator[tuple[int, Reproduction | None, str | None]]:
    for number, entry, problem in chain.lines(root / NAME):
        try:
            yield number, Reproduction(**entry) if entry is not None else None, problem
        except TypeError as error:
            yield number, None, chain.no_entry(error)
            return
