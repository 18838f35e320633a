"""Runs cells, each in a process of its own or one for each point of its curve, and writes one result file per cell.

Time limits are enforced from outside by ending a process and all that it started. Whatever happens to a cell, a crash
included, becomes a result with a status and a reason; what it had finished is kept. An interrupted run leaves journals
in ``<results>/.partial`` from which the next run goes on.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recon_bench import registry, results
from recon_bench.results import DiskFull, Result, ResultError
from recon_bench.rules import Rules
from recon_bench.run import announce, outcome, provenance, task_cards, worker
from recon_bench.run.local import LOOK, Executor, Local
from recon_bench.run.outcome import Running
from recon_bench.run.plan import WHOLE, Shard, aside, asked_for, newest, undone, within
from recon_bench.run.planned import Planned, RunSetup
from recon_bench.storage import REPOSITORY, digest, full, locked, replace_file

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
    timed = newest(shipped or known)  # the same at every run: a second one within the budget has nothing left to do
    chosen, later = within(wanted, timed, budget)
    todo = chosen if force else undone(chosen, known, shipped)
    later = undone(later, known, shipped)
    announce.forecast(wanted, todo, later, timed, jobs)
    announce.spared(todo, known, results_folder)
    if dry_run:
        for cell in todo:
            print(f"  {cell}")
        return 0
    with alone(results_folder):
        going = _Run(results_folder, known, shipped, jobs, command, executor or Local())
        bad = going.all(_with_cards(todo, results_folder))
    announce.left_over(later)
    return bad


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
    for task in {cell.task.name: cell.task for cell in todo}.values():
        try:
            task_cards.write(task, root)
        except (ValueError, ResultError, OSError) as error:  # damaged data, or a card that cannot be written
            if isinstance(error, DiskFull) or (isinstance(error, OSError) and full(error)):
                raise
            broken[task.name] = str(error)
            print(f"without {task.name}: {error}", file=sys.stderr)
    return [cell for cell in todo if cell.task.name not in broken]


@dataclass
class _Run:
    """The processes under way and the results so far."""

    root: Path
    known: list[Result]
    shipped: list[Result]
    jobs: int
    command: str
    executor: Executor
    running: list[Running] = field(default_factory=list)
    ended: int = 0
    bad: int = 0

    def all(self, todo: Sequence[Planned]) -> int:
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
                    self.executor.kill(item.process)
        with contextlib.suppress(OSError):
            (self.root / PARTIAL).rmdir()
        return self.bad

    def _may_start(self, cell: Planned) -> bool:
        """Whether there is room beside what runs: some kinds run alone, a method is tuned before it is scored."""
        others = [item.cell for item in self.running]
        alone = any(cell.kind.alone or other.kind.alone for other in others)
        same = any((cell.task.name, cell.method.name) == (other.task.name, other.method.name) for other in others)
        return len(others) < self.jobs and not alone and not same

    def _start(self, cell: Planned) -> None:
        settings, tuned = cell.settings([*self.known, *self.shipped])
        item = Running(cell, settings, tuned, self.root / PARTIAL)
        if cell.broken:
            self._failed(item, cell.broken)
            self._ended(cell)
            return
        try:
            item.folder = self._folder(cell, settings)
            item.points = cell.points(settings)
            self._next(item)
        except DiskFull:
            raise
        except Exception as error:  # settings that are not JSON, or what a measurement raises
            self._failed(item, f"cannot be run: {type(error).__name__}: {error}")
            self._ended(cell)
            return
        self.running.append(item)

    def _folder(self, cell: Planned, settings: dict[str, Any]) -> Path:
        """The folder of a cell's journal, the same at every run that asks for just this."""
        asked = [cell.task.hash, cell.method.name, cell.identity, cell.kind.hash, cell.setup.rules.hash]
        used = [settings, dict(cell.weights), cell.setup.device, cell.setup.threads]
        folder = self.root / PARTIAL / digest([*asked, *used])
        if cell.kind.alone:  # half of a timing is no timing
            shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise results.refused(folder, error) from error
        return folder

    def _next(self, item: Running) -> None:
        """Start the process of the next point of a cell; most cells have one, and no points."""
        item.at, item.tries = item.points.pop(0), 0
        self._launch(item)

    def _launch(self, item: Running) -> None:
        item.begun, item.tries = time.monotonic(), item.tries + 1
        item.process = self.executor.start(item.cell.job(item.settings, item.folder, item.at))
        self.bar.set_postfix_str("; ".join(dict.fromkeys(str(other.cell) for other in [*self.running, item])))

    def _wait(self) -> None:
        self.executor.wait([item.process for item in self.running], LOOK)
        for item in list(self.running):
            status = self.executor.poll(item.process)
            late = status is None and item.overdue
            if status is None and not late:
                continue
            self.executor.kill(item.process)
            if status == worker.DISK_ERROR:
                raise DiskFull(
                    f"{item.folder}: could not be written, see {item.folder / 'log.txt'}. Free some space there or "
                    "choose another folder with --results; what was finished is kept and reused."
                )
            if late and item.cell.kind.alone and item.tries == 1:  # the machine may have been busy with something else
                if not item.at:  # half of a timing is no timing
                    item.journal.unlink(missing_ok=True)
                self._launch(item)
                continue
            try:
                done = self._go_on(item, status, late)
            except OSError as error:
                if full(error):
                    raise results.refused(item.folder, error) from error
                self._failed(item, f"cannot go on: {error}")
                done = True
            if done:
                self.running.remove(item)
                self._ended(item.cell)

    def _ended(self, cell: Planned) -> None:
        """Show that a cell has ended: on the bar, or in a line where there is none, in a log."""
        self.ended += 1
        self.bar.update()
        if self.bar.disable:
            print(f"{self.ended} of {self.bar.total}: {cell}", flush=True)

    def _go_on(self, item: Running, status: int | None, late: bool) -> bool:
        """Start the next point of a cell whose process has ended, or finish the cell; whether it is done."""
        if item.at:
            outcome.close_point(item, status, late)
        if item.points and not outcome.not_applicable(item):
            self._next(item)
            return False
        self._finish(item, status, late and not item.at)
        return True

    def _finish(self, item: Running, status: int | None, late: bool) -> None:
        result, made = outcome.result(item, status, late, self.command, self.root)
        try:
            for name in made:
                self._keep(item.folder / f"{name}.webp", result.folder(self.root) / f"{result.stem}-{name}.webp")
            path = results.write(result, self.root)
        except DiskFull:
            raise
        except ResultError as error:
            item.journal.unlink(missing_ok=True)
            self._failed(item, str(error))
            return
        self.known.append(result)
        if result.status in ("ok", "not-applicable"):
            shutil.rmtree(item.folder, ignore_errors=True)
        else:
            item.journal.unlink(missing_ok=True)
            self._tell(item, f"{result.status}: {result.reason} (log: {item.folder / 'log.txt'}; row: {path})")

    def _keep(self, picture: Path, target: Path) -> None:
        """Copy a picture to beside its result, which may be on another disk."""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, picture.read_bytes())
        except OSError as error:
            raise results.refused(target, error) from error

    def _failed(self, item: Running, reason: str) -> None:
        """Write the row of a cell whose result there cannot be; where not even that can be written, say so."""
        result = outcome.failed(item, reason, self.command, self.root)
        try:
            where = f"row: {results.write(result, self.root)}"
            self.known.append(result)
        except DiskFull:
            raise
        except ResultError as error:
            where = f"there is no row of it: {error}"
        self._tell(item, f"{result.status}: {result.reason} ({where})")

    def _tell(self, item: Running, what: str) -> None:
        self.bad += 1
        self.bar.write(f"{item.cell}: {what}")
