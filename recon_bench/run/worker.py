"""One cell, or one point of its curve, in a process of its own: it writes what it finishes to the cell's journal."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from recon_bench import identity, registry, weights
from recon_bench.core import NotApplicable, Operator
from recon_bench.measurement import Cell, Record
from recon_bench.rules import Rules
from recon_bench.run import journal
from recon_bench.scoring import pictures
from recon_bench.task import Task

DISK_ERROR = 74  # exit status of a worker that could not write its journal (EX_IOERR)


class CannotWrite(Exception):
    """A picture could not be written: the disk's failure, not the method's."""


@dataclass(frozen=True)
class Job:
    """What a worker is asked to measure, in plain data; task, method and kind are names or files."""

    task: str
    method: str
    kind: str
    settings: Mapping[str, Any]
    rules: Rules
    device: str
    threads: int
    folder: Path
    weights: Mapping[str, str]  # sha256 by name, as planned
    code: str = ""  # identity of a method of a file, as planned; the registered ones are imported then
    at: Mapping[str, float] = field(default_factory=dict)  # the point of a curve that this process is for

    @property
    def journal(self) -> Path:
        """Where the process notes what it has finished; beside it go its log and its pictures."""
        return self.folder / "journal.jsonl"


def work(job: Job) -> None:
    """Measure the cell, or its point, appending to its journal. Runs in a fresh process, which leads its own group."""
    os.setsid()
    _die_with_parent()
    _redirect_output(job.folder / "log.txt")
    torch.set_num_threads(job.threads)
    known = journal.read(job.journal)
    if known.end(job.at) is not None:  # finished before, but the runner died before it wrote the result
        return
    try:
        for entry in _entries(job, {record.key: record for record in known.records}):
            journal.append(job.journal, entry)
    except (OSError, CannotWrite):  # what the method itself raises never comes here
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(DISK_ERROR)


def _entries(job: Job, done: Mapping[str, Record]) -> Iterator[dict[str, Any]]:
    """Journal entries as they come; pictures are written when the measurement hands them over."""
    saved: list[dict[str, str]] = []

    def save(name: str, pixels: Any, caption: str) -> None:
        try:
            seal = pictures.save(pixels, job.folder / f"{name}.webp")
        except OSError as error:
            raise CannotWrite(str(error)) from error
        saved.append({"name": name, "sha256": seal, "caption": caption})

    method = registry.method(job.method)
    settings = registry.with_settings(method, job.settings)
    backends: set[str] = set()
    task = _noting(registry.task(job.task), backends)
    cell = Cell(task, method, settings, job.rules, torch.device(job.device), job.at)
    changed = journal.end("failed", "the method or its weights were changed during the run; run it again", job.at)
    if not _as_planned(job, cell):
        yield changed
        return
    end = journal.end("ok", None, job.at)
    try:
        for record in registry.measurement(job.kind).measure(cell, done, save):
            yield journal.record(record)
        yield from ({"picture": picture} for picture in saved)
        yield from ({"backend": name} for name in backends)
    except NotApplicable as reason:
        end = journal.end("not-applicable", str(reason), job.at)
    except CannotWrite:
        raise
    except Exception as error:
        traceback.print_exc()
        end = journal.end("failed", f"{type(error).__name__}: {error}", job.at)
    yield end if _as_planned(job, cell) else changed


def _noting(task: Task, backends: set[str]) -> Task:
    """The task, whose operators leave the name of what computes them in ``backends``."""

    def make_operator(device: torch.device, dtype: torch.dtype) -> Operator:
        operator = task.make_operator(device, dtype)
        backends.update(filter(None, [getattr(operator, "backend", None)]))
        return operator

    return dataclasses.replace(task, make_operator=make_operator)


def _as_planned(job: Job, cell: Cell) -> bool:
    """Whether code and weights are those that the run was planned with: no weights came that would be taken, either."""
    if job.code and identity.of_file(Path(cell.method.path)) != job.code:
        return False
    named = registry.measurement(job.kind).weights is not None
    taken = [] if named else weights.own(cell.method, job.task, job.rules.seeds, cell.settings)
    return weights.seals({*job.weights, *taken}) == job.weights


def _die_with_parent() -> None:
    """End with the runner, however it ends; the server that forked this process may outlive both."""
    runner = multiprocessing.parent_process()

    def watch() -> None:
        if runner is not None:
            runner.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _redirect_output(log: Path) -> None:
    """Send everything the method prints, also from C, to ``log``."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError:
        os._exit(DISK_ERROR)
    os.dup2(target, 1)
    os.dup2(target, 2)
