"""Runs jobs as processes of this machine, forked from a server that has imported everything once: a start takes
milliseconds. The executor of a run is anything with these three functions; a cluster has one on each of its nodes
(``cluster.py``)."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
import os
import signal
import tempfile
from collections.abc import Callable
from typing import Any, Protocol

from recon_bench.run.worker import Job, work

LONGEST = 60  # bytes of a temporary folder below which sockets have a place
SHORT = "/tmp"


class Executor(Protocol):
    """Starts jobs, says whether they have ended, and ends them."""

    def start(self, job: Job) -> Any:
        """Begin a job; what it gives stands for the job from now on."""

    def poll(self, started: Any) -> int | None:
        """The exit status of a job that has ended, negative for the signal that ended it; None while it runs."""

    def kill(self, started: Any) -> None:
        """End a job and all that it started, and wait until it has; nothing where it has ended."""


class Local:
    """Processes on this machine."""

    def __init__(self, work: Callable[[Job], None] = work) -> None:
        self._work = work
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["recon_bench.run.worker", "recon_bench.run.preload"])

    def start(self, job: Job) -> Any:
        """A process that leads a group of its own."""
        _short_folder()
        process = self._context.Process(target=self._work, args=(job,))
        process.start()
        return process

    def poll(self, started: Any) -> int | None:
        """As of the operating system."""
        return None if started.is_alive() else started.exitcode

    def kill(self, started: Any) -> None:
        """End the process and all it started, by its group."""
        if started.is_alive() and started.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(started.pid, signal.SIGKILL)
            started.kill()
        started.join()


def _short_folder() -> None:
    """Have multiprocessing keep its sockets where their paths are short enough for the system, about 100 bytes."""
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) > LONGEST and os.access(SHORT, os.W_OK):
        tempfile.tempdir = SHORT
        try:
            multiprocessing.util.get_temp_dir()  # made once, then used for all sockets
        finally:
            tempfile.tempdir = usual
