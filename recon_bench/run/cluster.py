"""A run on a Slurm cluster: one job for each task and method, in an array, each an ordinary run on its node.

A job measures all that is asked of its method on its task, into a results folder of its own which begins with what is
known of the two: so tunings come before scores, a machine is that of the node, and a job that is started again goes on
where it was. When it has ended its results are merged. Whatever ends this process, jobs stay in the queue: the same
command finds them there.
"""

from __future__ import annotations

import contextlib
import multiprocessing.forkserver
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recon_bench import registry, results, slurm
from recon_bench.results import Result, confirmations
from recon_bench.results.merge import copy, merge
from recon_bench.rules import Rules
from recon_bench.run import outcome, runner
from recon_bench.run.local import Executor, Local
from recon_bench.run.outcome import Running
from recon_bench.run.plan import WHOLE, Shard, asked_for, undone
from recon_bench.run.planned import Planned, RunSetup
from recon_bench.slurm import Job
from recon_bench.storage import replace_file
from recon_bench.tables.numbers import plural


@dataclass(frozen=True)
class Element:
    """A job: ``asked`` are arguments of :func:`runner.run`; gives the number of cells that ended badly.

    One kind after the other, and what it ended with is noted: a job that is started again repeats none that failed.
    """

    asked: Mapping[str, Any]
    kinds: Sequence[str]

    def __call__(self) -> int:
        """Measure what is asked for, on the node."""
        executor = Local()
        with slurm.sheltered():
            multiprocessing.forkserver.ensure_running()
        return sum(self._once(number, executor) for number in range(len(self.kinds)))

    def _once(self, number: int, executor: Executor) -> int:
        ended = self.asked["results_folder"].with_name(f"ended-{number}")
        if not ended.exists():
            bad = runner.run(**self.asked, kinds=[self.kinds[number]], executor=executor)
            replace_file(ended, str(bad).encode())
        return int(ended.read_text())

    def checkpoint(self) -> Any:
        """The job to requeue; whatever is done is on disk."""
        return slurm.again(self)


@dataclass
class _Order:
    """What is asked of a method on a task, and its folder."""

    cells: list[Planned]
    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def name(self) -> str:
        return f"{self.cells[0].task.name} · {self.cells[0].method.name}"


def run(
    tasks: Sequence[str],
    methods: Sequence[str],
    kinds: Sequence[str],
    rules: Rules,
    results_folder: Path,
    options: Mapping[str, slurm.Options],
    device: str = "cpu",
    threads: int | None = None,
    jobs: int | None = None,
    overrides: dict[str, dict[str, str]] | None = None,
    force: bool = False,
    dry_run: bool = False,
    command: str = "",
    shard: Shard = WHOLE,
) -> int:
    """As :func:`runner.run`, on the cluster; ``jobs`` at a time, by default as many as it takes.

    ``options`` of sbatch for everything ("") and for methods by name; CPUs of a job are its threads. ValueError also
    where Slurm or submitit is not there or refuses. Timings count as done on the kind of machine they were taken on,
    so their jobs are submitted and find that out.
    """
    runner.check_overrides(overrides, results_folder)
    root = results_folder.absolute()
    tasks, methods, kinds = ([*map(registry.absolute, names)] for names in (tasks, methods, kinds))
    wanted = asked_for(tasks, methods, kinds, RunSetup(rules, device, threads or 1, overrides or {}), shard)
    if unknown := options.keys() - {"", *(cell.method.name for cell in wanted)}:
        raise ValueError(f"--slurm: {', '.join(sorted(unknown))} is no method of this run")
    here = root / runner.PARTIAL / "slurm"

    def job(order: _Order) -> Job:
        cpus = {"cpus-per-task": str(threads)} if threads else {}
        chosen = {"cpus-per-task": "1", **options.get("", {}), **options.get(order.cells[0].method.name, {}), **cpus}
        task, method, _ = order.cells[0].asked
        changes = {order.cells[0].method.name: order.cells[0].overrides()}
        asked: dict[str, Any] = {"tasks": [task], "methods": [method], "rules": rules, "device": device}
        asked |= {"threads": int(chosen["cpus-per-task"])}
        asked |= {"results_folder": order.results, "overrides": changes, "command": command}
        return Job(order.name, Element(asked, [cell.asked[2] for cell in order.cells]), chosen, order.folder / "job")

    with contextlib.nullcontext() if dry_run else runner.alone(root):
        merge(list(here.glob("*/results")), root)  # what an interrupted run left there
        todo = _orders(wanted if force else _undone(wanted, root), here)
        print(f"{plural(len(todo), 'job')} for {plural(sum(len(order.cells) for order in todo), 'cell')}")
        if dry_run:
            for order in todo:
                print(f"  {order.name}: {', '.join(cell.kind.name for cell in order.cells)}")
            return 0
        return _measured({order.name: order for order in todo}, job, root, here, force, jobs)


def _undone(wanted: Sequence[Planned], root: Path) -> list[Planned]:
    """The cells without a result in ``root``; of timings the node knows."""
    known = runner.known_in(root)
    todo = undone([cell for cell in wanted if not cell.kind.alone], known, [])
    return [cell for cell in wanted if cell.kind.alone or cell in todo]


def _orders(cells: Sequence[Planned], here: Path) -> list[_Order]:
    orders: dict[tuple[str, str], list[Planned]] = {}
    for cell in cells:
        orders.setdefault((cell.task.name, cell.method.name), []).append(cell)
    return [_Order(some, here / "--".join(names)) for names, some in orders.items()]


def _measured(
    orders: dict[str, _Order], job: Callable[[_Order], Job], root: Path, here: Path, force: bool, at_a_time: int | None
) -> int:
    """Have every order measured and its results in ``root``; the number of cells that ended badly."""
    bad, logs = 0, here / "log"
    with tqdm(total=len(orders), unit="job", disable=None) as bar:
        while orders:
            jobs = {name: job(order) for name, order in orders.items()}
            found = slurm.adopt(jobs.values())
            known = runner.known_in(root)
            for name in jobs.keys() - found:
                _prepare(orders[name], known, root, force)
            slurm.submit([item for name, item in jobs.items() if name not in found], logs, at_a_time)
            for item in slurm.finished(list(jobs.values()), logs, at_a_time):
                bad += _close(orders[item.name], item, root, slurm.log(item, logs), bar)
            rest = _undone([cell for name in found for cell in orders[name].cells], root)  # asked for by this run alone
            orders, force = {order.name: order for order in _orders(rest, here)}, False
    if not bad:
        shutil.rmtree(here, ignore_errors=True)
        with contextlib.suppress(OSError):
            here.parent.rmdir()
    return bad


def _prepare(order: _Order, known: Sequence[Result], root: Path, force: bool) -> None:
    """The folder of an order, with what is known of its method on its task and is not to be measured again."""
    if force:
        shutil.rmtree(order.folder, ignore_errors=True)
    order.results.mkdir(parents=True, exist_ok=True)
    for ended in order.folder.glob("ended-*"):
        ended.unlink()
    again = {cell.kind.name for cell in order.cells} if force else set()
    task, method = order.cells[0].task, order.cells[0].method
    mine = [r for r in known if (r.task["name"], r.method["name"]) == (task.name, method.name) and r.kind not in again]
    copy(mine, order.results)
    if (confirmed := root / confirmations.NAME).exists():
        shutil.copyfile(confirmed, order.results / confirmations.NAME)


def _close(order: _Order, job: Job, root: Path, log: Path, bar: Any) -> int:
    """Merge what a job has found; the number of cells that ended badly."""
    new = merge([order.results], root)
    for result in new:
        if result.status not in ("ok", "not-applicable"):
            bar.write(f"{order.name} · {result.kind}: {result.status}: {result.reason}")
    if job.problem:
        bar.write(f"{order.name}: {job.problem} (log: {log})")
        if not job.cancelled:
            _give_up([cell for cell in order.cells if cell.kind.name not in {r.kind for r in new}], job, root)
    bar.update()
    if not (job.problem or job.result):
        shutil.rmtree(order.folder)
    return len(order.cells) if job.problem else int(job.result)


def _give_up(cells: Sequence[Planned], job: Job, root: Path) -> None:
    """Rows that say why there is no result of these cells; the same command tries them again."""
    known = runner.known_in(root)
    for cell in cells:
        if cell.kind.alone and any(cell.was_measured_by(result) for result in known):  # it may have been done
            continue
        settings, tuned = cell.settings(known)
        results.write(outcome.failed(Running(cell, settings, tuned, job.file.parent), job.problem, "", root), root)
