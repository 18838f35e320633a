"""What became of a cell: its status, its reason and its result, from what its process left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from recon_bench import weights
from recon_bench.core import Record
from recon_bench.measurements import tuning
from recon_bench.results import Result
from recon_bench.run import provenance, worker
from recon_bench.run.plan import Planned
from recon_bench.storage import REPOSITORY


@dataclass
class Running:
    """A cell under way."""

    cell: Planned
    settings: dict[str, Any]
    tuned: list[str]
    folder: Path
    process: BaseProcess
    started: float = field(default_factory=time.time)

    @property
    def overdue(self) -> bool:
        return time.time() - self.started > 60 * self.cell.setup.rules.cell_minutes


def result(item: Running, late: bool, command: str) -> tuple[Result, list[str]]:
    """The result of a cell that has ended (``late``: was stopped), and the names of the pictures in its folder."""
    cell, setup = item.cell, item.cell.setup
    records, made, end = worker.read(item.folder / "journal.jsonl")
    status, reason = _status(item, records, end, late)
    settings, tuned = item.settings, item.tuned
    if cell.kind.name == "tuning" and status in ("ok", "timeout"):
        chosen = tuning.chosen(cell.method, records)
        settings, tuned = settings | chosen, sorted(chosen)
    found = Result(
        kind=cell.kind.name,
        task={"name": cell.task.name, "version": cell.task.version, "hash": cell.task.hash},
        method=_method(cell, settings, tuned),
        rules=dataclasses.asdict(setup.rules) | {"hash": setup.rules.hash},
        measurement={
            "version": cell.kind.version,
            "hash": cell.kind.hash,
            "title": cell.kind.title,
            "metrics": [dataclasses.asdict(metric) for metric in cell.kind.metrics],
        },
        status=status,
        reason=reason,
        provenance=_provenance(item, command),
        images={},
        records=[dataclasses.asdict(record) for record in records],
    )
    images = {
        name: {"file": f"{found.stem}-{name}.webp", "sha256": picture["sha256"], "caption": picture["caption"]}
        for name, picture in made.items()
    }
    return dataclasses.replace(found, images=images), list(made)


def _method(cell: Planned, settings: dict[str, Any], tuned: list[str]) -> dict[str, Any]:
    path = Path(cell.method.path).resolve()
    inside = path.is_relative_to(REPOSITORY)
    names = ("name", "title", "family", "summary", "reference", "depth")
    return {
        **{name: getattr(cell.method, name) for name in names},
        "file": str(path.relative_to(REPOSITORY) if inside else path.name),
        "hash": cell.identity,
        "settings": settings,
        "tuned": tuned,
        **({"weights": dict(cell.weights)} if cell.weights else {}),
        **_training(cell),
    }


def _training(cell: Planned) -> dict[str, Any]:
    """How the weights were trained, where they are one and have a card that can be read."""
    with contextlib.suppress(weights.WeightsError):
        return {"training": weights.facts(*cell.weights)} if len(cell.weights) == 1 else {}
    return {}


def _provenance(item: Running, command: str) -> dict[str, Any]:
    setup = item.cell.setup
    commit, clean = provenance.commit()
    return {
        "started": datetime.fromtimestamp(item.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(time.time() - item.started, 3),
        "machine": provenance.machine(setup.device),
        "device": setup.device,
        "threads": setup.threads,
        "python": sys.version.split()[0],
        "packages": provenance.packages(),
        "commit": commit,
        "clean": clean,
        "seeds": list(setup.rules.seeds),
        "command": command,
    }


def _status(item: Running, records: Sequence[Record], end: dict[str, Any] | None, late: bool) -> tuple[str, str | None]:
    failed = [record for record in records if record.error]
    if late:
        minutes = item.cell.setup.rules.cell_minutes
        return "timeout", f"stopped after {minutes:g} minutes; {len(records) - len(failed)} records were finished"
    if end is None:
        code = item.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return "failed", f"the process {how}{hint}; {len(records) - len(failed)} records were finished"
    if end["end"] != "ok":
        return end["end"], end["reason"]
    if failed and len(failed) == len(records):
        return "failed", failed[0].error
    if failed and item.cell.kind.name != "tuning":  # a setting that fails is one more evaluation in the ledger
        return "partial", f"{len(failed)} of {len(records)} failed: {failed[0].error}"
    return "ok", None
