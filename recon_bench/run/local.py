"""Runs jobs as processes of this machine, forked from a server that has imported everything once: a start takes
milliseconds. The executor of a run is anything with these four functions; a cluster has one on each of its nodes
(``cluster.py``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing import connection
from typing import Any, Protocol

from recon_bench import processes
from recon_bench.run.worker import Job, work

LOOK = 0.1  # seconds after which running jobs are looked at again: one may be overdue


class Executor(Protocol):
    """Starts jobs, says whether they have ended, and ends them."""

    def start(self, job: Job) -> Any:
        """Begin a job; what it gives stands for the job from now on."""

    def poll(self, started: Any) -> int | None:
        """The exit status of a job that has ended, negative for the signal that ended it; None while it runs."""

    def wait(self, started: Sequence[Any], seconds: float) -> None:
        """Until one of these jobs may have ended, or so many seconds have gone by."""

    def kill(self, started: Any) -> None:
        """End a job and all that it started, and wait until it has; nothing where it has ended."""


class Local:
    """Processes on this machine."""

    def __init__(self, work: Callable[[Job], None] = work) -> None:
        self._work = work

    def start(self, job: Job) -> Any:
        """A process that leads a group of its own."""
        process = processes.server().Process(target=self._work, args=(job,))
        process.start()
        return process

    def poll(self, started: Any) -> int | None:
        """As of the operating system."""
        return None if started.is_alive() else started.exitcode

    def wait(self, started: Sequence[Any], seconds: float) -> None:
        """As the operating system tells."""
        connection.wait([process.sentinel for process in started], seconds)

    def kill(self, started: Any) -> None:
        """As :func:`recon_bench.processes.end`."""
        processes.end(started)
