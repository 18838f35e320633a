"""One cell, or one point of its curve, in a process of its own: it writes what it finishes to a journal.

The method is in another one, a child of this (:mod:`recon_bench.scoring.home`), and with it its code: here are the
truth, the score, the clock and the journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from recon_bench import identity, processes, registry, weights
from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell, Record
from recon_bench.rules import Rules
from recon_bench.run import journal
from recon_bench.run.journal import Pen
from recon_bench.scoring import answers, pictures
from recon_bench.scoring.home import Gone, Home
from recon_bench.storage import full
from recon_bench.tables.numbers import plural
from recon_bench.task import Task

Entry = Mapping[str, Any]
DISK_ERROR = 74  # exit status of a worker that had no room for what it found (EX_IOERR)
FORGED = "something else than the measurement wrote into its journal"
CHANGED = "the method or its weights were changed during the run; run it again"


class CannotWrite(BaseException):
    """There was no room for a picture: the disk's failure, which nobody may take for the method's."""


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
    memory: int = 0  # bytes that the method may take; 0 for what is free

    @property
    def journal(self) -> Path:
        """Where the process notes what it has finished; beside it go its log and its pictures."""
        return self.folder / "journal.jsonl"


def work(job: Job) -> None:
    """Measure the cell, or its point, appending to its journal. Runs in a fresh process, which leads its own group."""
    os.setsid()
    processes.adopt_orphans()
    known = journal.read(job.journal)
    if known.end(job.at) is not None:  # finished before, but the runner died before it wrote the result
        return
    _redirect_output(job.folder / "log.txt")
    home, task = home_of(job)
    torch.set_num_threads(job.threads)
    try:
        with journal.appending(job.journal) as pen:
            processes.on_end_of_starter(functools.partial(_farewell, pen))
            _note(_entries(job, home, task, {record.key: record for record in known.records}), pen, job)
            processes.end_descendants()
    except (OSError, CannotWrite) as error:  # what the method itself raises never comes here
        traceback.print_exc()
        sys.stderr.flush()
        processes.end_descendants()
        os._exit(DISK_ERROR if isinstance(error, CannotWrite) or full(error) else 1)


def home_of(job: Job) -> tuple[Home, Task]:
    """A process for the method of a job, and the task; to be made before this process has threads.

    Both processes have the operator, which is made once, here; where that fails, the measurement says why.
    """
    task = registry.task(job.task)
    task = dataclasses.replace(task, make_operator=functools.cache(task.make_operator))
    torch.set_num_threads(1)
    with contextlib.suppress(Exception):
        task.problem()
    device = torch.device(job.device)
    free = processes.free_memory() if device.type == "cpu" else 0  # drivers of others map what they never take
    find = functools.partial(registry.imported, job.method)
    return Home(find, task, device, job.threads, job.memory or free), task


def _close(pen: Pen) -> bool:
    """End the method and what it started; whether something else was written into the journal, which is then undone."""
    processes.end_descendants()
    return pen.is_forged()


def _farewell(pen: Pen) -> None:
    pen.stop()  # the end of the method, which comes now, is not its own
    _close(pen)


def _note(entries: Iterable[Entry], pen: Pen, job: Job) -> None:
    """Add the entries to the journal, up to one that cannot be written; an end when nothing can follow it."""
    for entry in entries:
        if "end" in entry and _close(pen):
            entry = journal.end("failed", FORGED, job.at)
        try:
            pen.add(entry)
        except (TypeError, ValueError) as error:
            pen.add(journal.end("failed", f"what was measured cannot be written ({error}): {entry}", job.at))
            return


def _entries(job: Job, home: Home, task: Task, done: Mapping[str, Record]) -> Iterator[Entry]:
    """Journal entries as they come; pictures are written when the measurement hands them over."""
    saved: list[dict[str, str]] = []

    def save(name: str, pixels: Any, caption: str) -> None:
        try:
            seal = pictures.save(pixels, job.folder / f"{name}.webp")
        except OSError as error:
            if full(error):
                raise CannotWrite(str(error)) from error
            raise
        saved.append({"name": name, "sha256": seal, "caption": caption})

    finished = 0
    try:
        cell = cell_of(job, home, task)
        if changed := _changed(job, cell):
            yield journal.end("failed", changed, job.at)
            return
        end = journal.end("ok", None, job.at)
        try:
            for record in registry.measurement(job.kind).measure(cell, done, save):
                finished += not record.error
                yield journal.record(record)
            yield from ({"picture": picture} for picture in saved)
            yield from ({"backend": name} for name in home.backends)
        except NotApplicable as reason:
            end = journal.end("not-applicable", str(reason), job.at)
        changed = _changed(job, cell)
        yield journal.end("failed", changed, job.at) if changed else end
    except Gone as gone:
        yield journal.end("failed", f"{gone}; {plural(len(done) + finished, 'record')} finished", job.at)
    except Exception as error:
        traceback.print_exc()
        yield journal.end("failed", answers.reason(error, torch.device(job.device)), job.at)


def cell_of(job: Job, home: Home, task: Task) -> Cell:
    """The cell of a job, whose method is in its home."""
    path = registry.split(job.method)[0] if registry.is_path(job.method) else registry.method(job.method).path
    method = dataclasses.replace(home.header(), path=path)
    settings = registry.with_settings(method, job.settings)
    return Cell(task, method, settings, job.rules, torch.device(job.device), job.at, home.guest)


def _changed(job: Job, cell: Cell) -> str | None:
    """What to say where code or weights are not those of the plan, or weights came that would be taken; else None."""
    if job.code and identity.of_file(Path(cell.method.path)) != job.code:
        return CHANGED
    named = registry.measurement(job.kind).weights is not None
    taken = [] if named else weights.own(cell.method, job.task, job.rules.seeds, cell.settings)
    return None if weights.seals({*job.weights, *taken}) == job.weights else CHANGED


def _redirect_output(log: Path) -> None:
    """Send everything the method prints, also from C, to ``log``."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError as error:
        os._exit(DISK_ERROR if full(error) else 1)
    os.dup2(target, 1)
    os.dup2(target, 2)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
