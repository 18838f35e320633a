"""Files that only grow, line by line.

A line is an entry with a seal, the sha256 of the seal before it and of the content of the entry as canonical JSON, so
that an entry that was edited or taken out is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from recon_bench.storage import locked, replace_file, sha256

CHANGED = "was changed, or a line before it was taken out"


def append(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Add entries at the end of the file, all or none. OSError where the disk refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        text += "\n" * bool(text and not text.endswith("\n"))
        for entry in entries:
            content = json.dumps(entry, sort_keys=True, allow_nan=False)
            text += json.dumps({"seal": sha256((_last_seal(text) + content).encode()), "entry": json.loads(content)})
            text += "\n"
        replace_file(path, text.encode())


def lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None, str | None]]:
    """Number, entry and problem of each line, up to one that is no entry; nothing where there is no file."""
    seal = ""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            data = json.loads(line)
            content = json.dumps(data["entry"], sort_keys=True, allow_nan=False)
            expected, seal, entry = sha256((seal + content).encode()), data["seal"], dict(data["entry"].items())
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            yield number, None, no_entry(error)
            return
        yield number, entry, None if seal == expected else CHANGED


def no_entry(error: Exception) -> str:
    """What to say of a line that cannot be understood."""
    return f"is no entry ({type(error).__name__}: {error}); restore the file from git"


def _last_seal(text: str) -> str:
    found = text.splitlines()
    return str(json.loads(found[-1])["seal"]) if found else ""
