"""Runs cells, each in a process of its own or one for each point of its curve, and writes one result file per cell.

As many processes as there are jobs go on at a time: one for each cell, more for the points of a cell where others are
idle.

Time limits are enforced from outside by ending a process and all that it started. Whatever happens to a cell, a crash
included, becomes a result with a status and a reason; what it had finished is kept. An interrupted run leaves journals
in ``<results>/.partial`` from which the next run goes on.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recon_bench import registry, results
from recon_bench.measurements import small_features
from recon_bench.results import DiskFull, Result, ResultError
from recon_bench.rules import Rules
from recon_bench.run import announce, outcome, provenance, task_cards, worker
from recon_bench.run.local import LOOK, Executor, Local
from recon_bench.run.outcome import Part, Running
from recon_bench.run.plan import WHOLE, Shard, aside, asked_for, newest, undone, within
from recon_bench.run.planned import Planned, RunSetup
from recon_bench.run.rows import Rows
from recon_bench.storage import REPOSITORY, digest, full, locked

PARTIAL = ".partial"
SHIPPED = REPOSITORY / "results"


def run(
    tasks: Sequence[str],
    methods: Sequence[str],
    kinds: Sequence[str],
    rules: Rules,
    results_folder: Path,
    device: str = "cpu",
    threads: int = 1,
    jobs: int = 1,
    overrides: dict[str, dict[str, str]] | None = None,
    budget: float | None = None,
    force: bool = False,
    dry_run: bool = False,
    memory: int = 0,
    command: str = "",
    executor: Executor | None = None,
    shard: Shard = WHOLE,
) -> int:
    """Run what is asked for and not done yet; gives the number of cells that ended badly.

    Empty lists mean everything, but for learned methods that have no weights yet. ``budget``: seconds of estimated
    work after which the costliest cells are left out; ``memory``: bytes that a method may take, 0 for what is free. A
    file that holds no method is a row. Raises UnknownName, also for a setting, ValueError for a task
    without its data, and ResultError where results cannot be written.
    """
    check_overrides(overrides, results_folder)
    # What is imported may change the working directory.
    results_folder = results_folder.absolute()
    tasks, methods, kinds = ([*map(registry.absolute, names)] for names in (tasks, methods, kinds))
    provenance.commit()  # of the code that is imported now, whatever is edited while it runs
    wanted = asked_for(tasks, methods, kinds, RunSetup(rules, device, threads, overrides or {}, memory), shard)
    others = aside(wanted)
    known = known_in(results_folder, others)
    elsewhere = results_folder.resolve() != SHIPPED.resolve() and SHIPPED.is_dir()
    shipped = results.load(SHIPPED, others)[0] if elsewhere else []
    timed = newest(shipped or known, device)  # the same at every run: of a second one within the budget nothing is left
    todo, later = (cells if force else undone(cells, known, shipped) for cells in within(wanted, timed, budget))
    announce.forecast(wanted, todo, later, timed, jobs)
    if not force:
        announce.spared(todo, known, results_folder)
    if dry_run:
        for cell in todo:
            print(f"  {cell}")
        return 0
    with alone(results_folder):
        rows = Rows(results_folder, known, command)
        _Run(rows, shipped, jobs, executor or Local()).all(_with_cards(todo, results_folder))
    announce.left_over(later)
    return rows.bad


def check_overrides(overrides: Mapping[str, Mapping[str, str]] | None, root: Path) -> None:
    """ValueError where settings are changed that the committed results hold."""
    if overrides and root.resolve() == SHIPPED.resolve():
        raise ValueError("--set is for trying things out: the committed results hold tuned settings; add --results DIR")


def known_in(root: Path, without: Collection[str] = ()) -> list[Result]:
    """The results in ``root`` ``without`` those of some kinds; what cannot be read is named on stderr and left out."""
    known, problems = results.load(root, without)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return known


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """One run at a time in a results folder: two would write the same journals."""
    folder = root / PARTIAL
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{folder}: cannot be made ({error.strerror}); choose another with --results") from error
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder, wait=False))
        except BlockingIOError:
            text = "another run is writing there; wait for it or choose another --results"
            raise ResultError(f"{root}: {text}") from None
        yield


def _with_cards(todo: Sequence[Planned], root: Path) -> list[Planned]:
    """The cells whose tasks have, or now get, a card; a task that cannot be read is left out with the reason."""
    broken: dict[str, str] = {}
    limited = {cell.task.name for cell in todo if cell.kind.name == small_features.MEASUREMENT.name}
    for task in {cell.task.name: cell.task for cell in todo}.values():
        try:
            task_cards.write(task, root, limits=task.name in limited)
        except (ValueError, ResultError, OSError) as error:  # damaged data, or a card that cannot be written
            if isinstance(error, DiskFull) or (isinstance(error, OSError) and full(error)):
                raise
            broken[task.name] = str(error)
            print(f"without {task.name}: {error}", file=sys.stderr)
    return [cell for cell in todo if cell.task.name not in broken]


@dataclass
class _Run:
    """The processes under way and the results so far."""

    rows: Rows
    shipped: list[Result]
    jobs: int
    executor: Executor
    running: list[Running] = field(default_factory=list)
    ended: int = 0

    def all(self, todo: Sequence[Planned]) -> None:
        with tqdm(total=len(todo), unit="cell", disable=None) as self.bar:
            try:
                for cell in todo:
                    while self.running and not self._may_start(cell):
                        self._wait()
                    self._start(cell)
                while self.running:
                    self._wait()
            finally:
                for item in self.running:
                    self._stop(item)
        with contextlib.suppress(OSError):
            (self.rows.root / PARTIAL).rmdir()

    def _stop(self, item: Running) -> None:
        """End what is going on of a cell."""
        for part in item.going:
            self.executor.kill(part.process)
        item.going.clear()

    @property
    def _free(self) -> bool:
        """Whether there is room for one more process."""
        return sum(len(item.going) for item in self.running) < self.jobs

    def _may_start(self, cell: Planned) -> bool:
        """Whether there is room beside what runs: some kinds run alone, a method is tuned before it is scored."""
        others = [item.cell for item in self.running]
        alone = any(cell.kind.alone or other.kind.alone for other in others)
        same = any((cell.task.name, cell.method.name) == (other.task.name, other.method.name) for other in others)
        return self._free and not alone and not same

    def _start(self, cell: Planned) -> None:
        settings, tuned = cell.settings([*self.rows.known, *self.shipped])
        item = Running(cell, settings, tuned, self.rows.root / PARTIAL)
        if cell.broken:
            self.rows.failed(item, cell.broken)
            self._show(cell)
            return
        try:
            item.folder = self._folder(cell, settings)
            item.divide(cell.points(settings))
        except Exception as error:  # settings that are not JSON, or what a measurement raises
            self.rows.failed(item, f"cannot be run: {type(error).__name__}: {error}")
            self._show(cell)
            return
        self.running.append(item)
        if self._take(item, partial(self._next, item)):
            self._done(item)

    def _done(self, item: Running) -> None:
        """Have one cell less under way."""
        self.running.remove(item)
        self._show(item.cell)

    def _take(self, item: Running, step: Callable[[], object]) -> bool:
        """Take a ``step`` of a cell; whether the cell has ended with it, also because it could not be taken."""
        try:
            step()
            return not item.going
        except DiskFull:
            raise
        except Exception as error:  # of the disk, or a process that cannot be started with this
            self._stop(item)
            if isinstance(error, OSError) and full(error):
                raise results.refused(item.folder, error) from error
            self.rows.failed(item, f"cannot go on: {type(error).__name__}: {error}")
            return True

    def _folder(self, cell: Planned, settings: dict[str, Any]) -> Path:
        """The folder of a cell's journals, the same at every run that asks for just this."""
        asked = [cell.task.hash, cell.method.name, cell.identity, cell.kind.hash, cell.setup.rules.hash]
        used = [settings, dict(cell.weights), cell.setup.device, cell.setup.threads]
        folder = self.rows.root / PARTIAL / digest([*asked, *used])
        if cell.kind.alone:  # half of a timing is no timing
            shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _spread(self) -> None:
        """Use free processes for more points of the cells under way, once a first one has shown that they can be
        measured."""
        for item in list(self.running):
            while item.waiting and item.proven and not item.cell.kind.alone and self._free:
                if self._take(item, partial(self._next, item)):
                    self._done(item)
                    break

    def _next(self, item: Running) -> None:
        """Start the process of the next point of a cell; most cells have one, and no points."""
        part = item.waiting.pop(0)
        try:
            part.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise results.refused(part.folder, error) from error
        self._launch(item, part)

    def _launch(self, item: Running, part: Part) -> None:
        part.begun, part.tries = time.monotonic(), part.tries + 1
        part.process = self.executor.start(item.cell.job(item.settings, part.folder, part.at))
        item.going.append(part)
        self.bar.set_postfix_str("; ".join(dict.fromkeys(str(other.cell) for other in self.running)))

    def _wait(self) -> None:
        self._spread()
        self.executor.wait([part.process for item in self.running for part in item.going], LOOK)
        for item in list(self.running):
            if any(self._look(item, part) for part in list(item.going)):
                self._done(item)

    def _look(self, item: Running, part: Part) -> bool:
        """Go on with a cell where the process of this part has ended or has had its time; whether the cell is done."""
        status = self.executor.poll(part.process)
        late = status is None and item.overdue(part)
        if status is None and not late:
            return False
        self.executor.kill(part.process)
        item.going.remove(part)
        part.spent += time.monotonic() - part.begun
        if status == worker.DISK_ERROR:
            raise DiskFull(
                f"{part.folder}: could not be written, see {part.folder / 'log.txt'}. Free some space there or "
                "choose another folder with --results; what was finished is kept and reused."
            )
        if late and item.cell.kind.alone and part.tries == 1:  # the machine may have been busy with something else
            part.journal.unlink(missing_ok=True)  # half of a timing is no timing
            return self._take(item, partial(self._launch, item, part))
        return self._take(item, partial(self._go_on, item, part, status, late))

    def _show(self, cell: Planned) -> None:
        """Show that a cell has ended: on the bar, or in a line where there is none, in a log."""
        self.ended += 1
        self.bar.update()
        if self.bar.disable:
            print(f"{self.ended} of {self.bar.total}: {cell}", flush=True)

    def _go_on(self, item: Running, part: Part, status: int | None, late: bool) -> None:
        """Start the next point of a cell of which a part has ended, or finish the cell where nothing goes on."""
        if part.at:
            outcome.close_point(item, part, status, late)
        if outcome.not_applicable(part):
            self._drop(item)
        if item.waiting:
            self._next(item)
        if not item.going:
            self.rows.finish(item, part, status, late and not part.at)

    def _drop(self, item: Running) -> None:
        """Measure no more of a cell, and forget what is going on of it."""
        dropped = list(item.going)
        self._stop(item)
        item.waiting.clear()
        for part in dropped:
            part.journal.unlink(missing_ok=True)
