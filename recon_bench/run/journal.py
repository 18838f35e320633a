"""What a cell has finished, line by line: a process that measures appends to it and can be killed at any time.

JSON lines: ``{"record": ...}``, ``{"picture": ...}``, ``{"backend": ...}`` and, when a process has done its part,
``{"end": status, "reason": ..., "at": ...}``, with the point of the curve that it was for. An interrupted cell is
resumed from its journal; a crash loses only the image it was at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon_bench.measurement import Record


@dataclass
class Journal:
    """The content of a journal: records, pictures by name, and how each process ended, by the point it was for."""

    records: list[Record] = field(default_factory=list)
    pictures: dict[str, dict[str, str]] = field(default_factory=dict)
    ends: dict[str, dict[str, Any]] = field(default_factory=dict)
    backend: str | None = None  # what computed the operator, where it has a name

    def end(self, at: Mapping[str, float]) -> dict[str, Any] | None:
        """How the process for the point ``at`` ended; None where it has not."""
        return self.ends.get(_place(at))


def read(path: Path) -> Journal:
    """The journal at ``path``; a line cut short by a kill is left out."""
    found, records = Journal(), dict[str, Record]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if "record" in entry:
                record = Record(**entry["record"])
                records[record.key] = record
            elif "picture" in entry:
                found.pictures[entry["picture"]["name"]] = entry["picture"]
            elif "backend" in entry:
                found.backend = entry["backend"]
            else:
                found.ends[_place(entry["at"])] = entry
    found.records = list(records.values())
    return found


def record(found: Record) -> dict[str, Any]:
    """The entry of a record."""
    return {"record": dataclasses.asdict(found)}


def end(status: str, reason: str | None, at: Mapping[str, float]) -> dict[str, Any]:
    """The entry of a process that has done its part."""
    return {"end": status, "reason": reason, "at": dict(at)}


def append(path: Path, *entries: Mapping[str, Any]) -> None:
    """Add entries, on lines of their own even where a kill cut the last one short. OSError where the disk refuses."""
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" if file.tell() else "")
        file.writelines(json.dumps(entry) + "\n" for entry in entries)


def _place(at: Mapping[str, float]) -> str:
    return json.dumps(dict(sorted(at.items())))
