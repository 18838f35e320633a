"""What became of a cell: its status, its reason and its result, from what its processes left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recon_bench import results, weights
from recon_bench.measurement import Record
from recon_bench.results import Result
from recon_bench.results.traits import TRAITS
from recon_bench.run import journal, provenance
from recon_bench.run.journal import Journal
from recon_bench.run.planned import Planned
from recon_bench.run.worker import CHANGED
from recon_bench.scoring import tuner
from recon_bench.storage import REPOSITORY, digest
from recon_bench.tables.numbers import plural

LINE = 20_000  # characters of a command that are kept


@dataclass
class Part:
    """What one process measures of a cell: all of it, or the point ``at`` of its curve, in a ``folder`` of its own."""

    at: Mapping[str, float]
    folder: Path
    process: Any = None  # the executor's
    begun: float = 0.0  # when the process was started, on the monotonic clock
    spent: float = 0.0  # seconds of the processes that have ended
    tries: int = 0  # processes that were started for it

    @property
    def journal(self) -> Path:
        """Where its process notes what it has finished."""
        return self.folder / "journal.jsonl"


@dataclass
class Running:
    """A cell under way, in ``parts``: those ``waiting`` for a process, and those ``going`` on."""

    cell: Planned
    settings: dict[str, Any]
    tuned: list[str]
    folder: Path
    parts: list[Part] = field(default_factory=list)
    waiting: list[Part] = field(default_factory=list)
    going: list[Part] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def divide(self, points: Sequence[Mapping[str, float]]) -> None:
        """Have a part for each of these places of its curve, or one for all of it, which is the place {}.

        ValueError where two are the same.
        """
        self.parts = [Part(at, self.folder / digest([dict(at)]) if at else self.folder) for at in points]
        if len({part.folder for part in self.parts}) < len(self.parts):
            raise ValueError(f"expected points that differ, got {[dict(at) for at in points]}")
        self.waiting = list(self.parts)

    @property
    def proven(self) -> bool:
        """Whether one of its parts has ended."""
        return len(self.waiting) + len(self.going) < len(self.parts)

    @property
    def log(self) -> Path:
        """What its processes printed: a file, or the folder of theirs."""
        return self.parts[0].folder / "log.txt" if len(self.parts) == 1 else self.folder

    def overdue(self, part: Part) -> bool:
        """Whether the process of a part has had its time."""
        return time.monotonic() - part.begun > 60 * self.cell.setup.rules.cell_minutes

    def forget(self) -> None:
        """Let the next run begin anew."""
        for path in self.folder.rglob("journal.jsonl"):
            path.unlink()


def close_point(item: Running, part: Part, exit_status: int | None, late: bool) -> None:
    """Give a point whose process failed a record that says why."""
    end = journal.read(part.journal).end(part.at)
    if end is not None and end["end"] != "failed":
        return
    reason = _ended(item, part, exit_status, late) if end is None else end["reason"]
    journal.append(part.journal, journal.record(Record(at=part.at, error=reason)), journal.end("ok", None, part.at))


def not_applicable(part: Part) -> bool:
    """Whether a part has said that the cell cannot be measured."""
    return any(end["end"] == "not-applicable" for end in journal.read(part.journal).ends.values())


def result(
    item: Running, last: Part, exit_status: int | None, late: bool, command: str, root: Path
) -> tuple[Result, dict[str, Path]]:
    """The result of a cell whose ``last`` part has ended (``late``: was stopped), and its pictures by name.

    It has a name of its own among the results in ``root``.
    """
    cell = item.cell
    found_in = [(part, journal.read(part.journal)) for part in item.parts]
    known = journal.merged([each for _, each in found_in])
    status, reason = _status(item, last, known, exit_status, late)
    settings, tuned = item.settings, item.tuned
    if cell.kind.ledger and status in ("ok", "timeout"):
        chosen = tuner.best_settings(cell.method, known.records)
        settings, tuned = settings | chosen, sorted(chosen)
    found = results.unused(_result(item, known, status, reason, _method(cell, settings, tuned), command), root)
    images = {
        name: {"file": f"{found.stem}-{name}.webp", "sha256": picture["sha256"], "caption": picture["caption"]}
        for name, picture in known.pictures.items()
    }
    pictures = {name: part.folder / f"{name}.webp" for part, each in found_in for name in each.pictures}
    return dataclasses.replace(found, images=images), pictures


def failed(item: Running, reason: str, command: str, root: Path) -> Result:
    """The row of a cell that cannot be run or whose result cannot be written; settings that are not JSON are quoted."""
    settings = {name: value if _is_json(value) else repr(value) for name, value in item.settings.items()}
    method = {name: value for name, value in _method(item.cell, settings, item.tuned).items() if _is_json(value)}
    return results.unused(_result(item, Journal(), "failed", reason, method, command), root)


def _is_json(value: Any) -> bool:
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        return bool(json.dumps(value, allow_nan=False))
    return False


def _result(
    item: Running, known: Journal, status: str, reason: str | None, method: dict[str, Any], command: str
) -> Result:
    cell, setup = item.cell, item.cell.setup
    return Result(
        kind=cell.kind.name,
        task={"name": cell.task.name, "version": cell.task.version, "hash": cell.task.hash},
        method=method,
        rules=dataclasses.asdict(setup.rules) | {"hash": setup.rules.hash},
        measurement={
            "version": cell.kind.version,
            "hash": cell.kind.hash,
            "title": cell.kind.title,
            "metrics": [dataclasses.asdict(metric) for metric in cell.kind.metrics],
            "protocol": dataclasses.asdict(cell.kind.protocol) if cell.kind.protocol else None,
            "traits": {name: getattr(cell.kind, name) for name in TRAITS} | {"hidden": list(cell.kind.hidden)},
        },
        status=status,
        reason=journal.legible(reason),
        provenance={**_provenance(item, command), "backend": known.backend},
        images={},
        records=[dataclasses.asdict(record) for record in known.records],
    )


def _place(path: Path) -> str:
    """Where a reader finds a file: below the repository, or with ``./`` where it was measured; else its name alone."""
    if path.is_relative_to(REPOSITORY):
        return str(path.relative_to(REPOSITORY))
    return f"./{path.relative_to(Path.cwd())}" if path.is_relative_to(Path.cwd()) else path.name


def _method(cell: Planned, settings: dict[str, Any], tuned: list[str]) -> dict[str, Any]:
    path = Path(cell.method.path).resolve()
    names = ("name", "title", "family", "summary", "reference", "depth")
    header = {
        **{name: getattr(cell.method, name) for name in names},
        "file": _place(path),
        "hash": cell.identity,
        "settings": settings,
        "tuned": tuned,
        **({"weights": dict(cell.weights)} if cell.weights else {}),
    }
    return {**journal.legible(header), **_training(cell)}


def _training(cell: Planned) -> dict[str, Any]:
    """How the weights were trained, where they are one and have a card that can be read."""
    with contextlib.suppress(weights.WeightsError):
        return {"training": weights.facts(*cell.weights)} if len(cell.weights) == 1 else {}
    return {}


def _provenance(item: Running, command: str) -> dict[str, Any]:
    setup = item.cell.setup
    commit, clean = provenance.commit()
    return {
        "started": item.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(sum(part.spent for part in item.parts), 3),
        "machine": provenance.machine(setup.device),
        "device": setup.device,
        "threads": setup.threads,
        "python": sys.version.split()[0],
        "packages": provenance.packages(),
        "commit": commit,
        "clean": clean,
        "seeds": list(setup.rules.seeds),
        "command": journal.legible(command, LINE),
    }


def _ended(item: Running, part: Part, exit_status: int | None, late: bool) -> str:
    """Why a process left no end."""
    if late:
        return f"stopped after {plural(item.cell.setup.rules.cell_minutes, 'minute')}" + ", twice" * (part.tries > 1)
    code = exit_status or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
    return f"the process {how}" + " (out of memory?)" * (code == -signal.SIGKILL)


def _status(item: Running, last: Part, known: Journal, exit_status: int | None, late: bool) -> tuple[str, str | None]:
    records = known.records
    failed = [record for record in records if record.error]
    ends = list(known.ends.values())
    if item.cell.changed:
        return "failed", CHANGED
    if late or not ends:
        finished = f"{plural(len(records) - len(failed), 'record')} finished"
        return "timeout" if late else "failed", f"{_ended(item, last, exit_status, late)}; {finished}"
    for end in ends:
        if end["end"] != "ok":
            return end["end"], end["reason"]
    if failed and len(failed) == len(records):
        return "failed", failed[0].error
    if failed and not item.cell.kind.ledger:  # a setting that fails is one more evaluation in the ledger
        return "partial", f"{len(failed)} of {len(records)} failed: {failed[0].error}"
    return "ok", None
