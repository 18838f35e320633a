"""What a part of a cell has finished, line by line: its process appends to it and can be killed at any time.

JSON lines: ``{"record": ...}``, ``{"picture": ...}``, ``{"backend": ...}`` and, when a process has done its part,
``{"end": status, "reason": ..., "at": ...}``, with the point of the curve that it was for. An interrupted cell is
resumed from its journals; a crash loses only the image it was at. Texts are cut and made valid UTF-8: what a method
says may be anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon_bench.measurement import Record
from recon_bench.storage import replace_file

PICTURE = ("name", "sha256", "caption")
END = ("end", "reason", "at")
TEXT = 2000  # characters of a text that are kept; the log has all
_NO_ENTRY = (ValueError, TypeError, KeyError, AttributeError)  # of a line that is none


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
    """The journal at ``path``; a line that is no entry, such as one cut short by a kill, is left out."""
    found, records = Journal(), dict[str, Record]()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        with contextlib.suppress(*_NO_ENTRY):
            entry = json.loads(line)
            if "record" in entry:
                record = Record(**{**entry["record"], "values": dict(entry["record"]["values"])})
                records[record.key] = record
            elif "picture" in entry:
                found.pictures[entry["picture"]["name"]] = {key: entry["picture"][key] for key in PICTURE}
            elif "backend" in entry:
                found.backend = entry["backend"]
            else:
                found.ends[_place(entry["at"])] = {key: entry[key] for key in END}
    found.records = list(records.values())
    return found


def merged(journals: Iterable[Journal]) -> Journal:
    """What the parts of a cell have finished, in their order."""
    found = Journal()
    for each in journals:
        found.records += each.records
        found.pictures |= each.pictures
        found.ends |= each.ends
        found.backend = each.backend or found.backend
    return found


def record(found: Record) -> dict[str, Any]:
    """The entry of a record."""
    return {"record": dataclasses.asdict(found)}


def end(status: str, reason: str | None, at: Mapping[str, float]) -> dict[str, Any]:
    """The entry of a process that has done its part."""
    return {"end": status, "reason": reason, "at": dict(at)}


def append(path: Path, *entries: Mapping[str, Any]) -> None:
    """Add entries. Errors as of :func:`appending`."""
    with appending(path) as pen:
        for entry in entries:
            pen.add(entry)


class Pen:
    """Adds to a journal, on lines of its own, and knows what belongs there, whoever else writes into it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a", encoding="utf-8")
        self._content = path.read_bytes()
        self._busy = threading.Lock()
        self._write("\n" if self._content else "")  # a kill may have cut the last line short

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add an entry. ValueError or TypeError for what is not JSON, of which nothing is written; OSError where the
        disk refuses it.
        """
        self._write(json.dumps(legible(entry), allow_nan=False) + "\n")

    def stop(self) -> None:
        """Let nothing be added any more: who tries to waits for ever, as for the end of its process."""
        self._busy.acquire()

    def is_forged(self) -> bool:
        """Whether something else was written into the journal; it then holds what belongs there, and no more."""
        with contextlib.suppress(OSError):
            if self._path.read_bytes() == self._content:
                return False
        self._file.close()
        replace_file(self._path, self._content)
        self._file = self._path.open("a", encoding="utf-8")
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, text: str) -> None:
        with self._busy:
            self._file.write(text)
            self._file.flush()
            self._content += text.encode()


@contextlib.contextmanager
def appending(path: Path) -> Iterator[Pen]:
    """A pen, which keeps the file open meanwhile. OSError where it cannot be opened."""
    with contextlib.closing(Pen(path)) as pen:
        yield pen


def legible(data: Any, longest: int = TEXT) -> Any:
    """``data`` with every text in it valid UTF-8, what is not being escaped, and at most ``longest`` characters."""
    if isinstance(data, Mapping):
        return {legible(key, longest): legible(value, longest) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [legible(value, longest) for value in data]
    if not isinstance(data, str):
        return data
    text = data.encode(errors="backslashreplace").decode()
    said = f"… ({len(text):,} characters)"
    return text if len(text) <= longest else text[: longest - len(said)] + said


def _place(at: Mapping[str, float]) -> str:
    return json.dumps(dict(sorted(at.items())))
