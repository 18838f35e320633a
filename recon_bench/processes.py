"""Processes that foreign code runs in: where they are forked, what they may take, and how all of them are ended.

What is not known outside of Linux (limits by data size, orphans, the death of a parent) is left out there. Imports
nothing of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import multiprocessing.util
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ForkServer
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOADED = ["recon_bench.run.worker", "recon_bench.run.preload"]
LONGEST = 60  # bytes of a temporary folder below which sockets have a place
SHORT = "/tmp"
FILES = 1024  # descriptors that foreign code may have open
USABLE = 0.9  # of the memory that is available; without the rest programs are read from the disk again and again
PATIENCE = 5.0  # seconds in which processes that were killed have to be gone
ASK = signal.SIGUSR1  # to end: SIGTERM may be for a whole job of a cluster, whose processes then do not hear it
PROC = Path("/proc")
_FORKED: list[int] = []  # children of this process that :func:`fork` made and nobody has waited for
_DEATH_OF_PARENT, _ADOPT = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX
_MOST = 2**31 - 1


def server() -> ForkServerContext:
    """The server of this process that forks others, with all imported that they need: a start takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) > LONGEST and os.access(SHORT, os.W_OK):  # paths of sockets have about 100 bytes
        tempfile.tempdir = SHORT
        try:
            multiprocessing.util.get_temp_dir()  # made once, then used for all sockets
        finally:
            tempfile.tempdir = usual
    return context


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes that new processes can have while the machine stays responsive; 0 where it does not tell."""
    with contextlib.suppress(OSError):
        for line in (PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(USABLE * 1024 * int(line.split()[1]))
    return 0


def keep_freed_memory() -> None:
    """Have this process keep up to 2 GiB that it has freed, where glibc allocates; else nothing.

    As it comes, glibc gives large tensors back to the system and asks for them anew in every step, whose pages then
    have to be made again: 18 to 39 % of the time of a forward and backward pass, where it was measured (three networks,
    one core of an AMD EPYC). No value changes; timings would.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _MOST)


@dataclass
class Child:
    """A process with a session of its own, and the ``line`` to it."""

    pid: int
    line: Connection

    def ended(self) -> str:
        """Waits until it has ended; how it did, for a reader."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        _FORKED.remove(self.pid)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        return how + " (out of memory?)" * (code == -signal.SIGKILL)


def fork(work: Callable[[Connection], None], memory: int = 0) -> Child:
    """A child that does ``work`` at its end of a line and ends, with this process at the latest.

    It has no other file of this process but its output, and may take ``memory`` bytes more than it is born with, all
    there is unless given. To be called before this process has threads.
    """
    ours, theirs = multiprocessing.Pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        _FORKED.append(pid)
        theirs.close()
        return Child(pid, ours)
    status = 1
    try:
        _FORKED.clear()
        ours.close()
        _confine(parent, theirs.fileno(), memory)
        work(theirs)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _confine(parent: int, line: int, memory: int) -> None:
    os.setsid()
    _prctl(_DEATH_OF_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    for number in _open_files():
        if number > 2 and number != line:
            with contextlib.suppress(OSError):
                os.close(number)
    ForkServer.__init__(forkserver._forkserver)  # it starts processes of its own, not by the runner's server
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if memory and (born_with := _data_bytes()):
        resource.setrlimit(resource.RLIMIT_DATA, (born_with + memory,) * 2)


def _open_files() -> list[int]:
    try:
        return [int(path.name) for path in Path("/dev/fd").iterdir()]
    except OSError:
        return list(range(3, FILES))


def _data_bytes() -> int:
    with contextlib.suppress(OSError):
        for line in (PROC / "self" / "status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def adopt_orphans() -> None:
    """Have what descendants leave behind become children of this process, so that :func:`end_descendants` finds it."""
    _prctl(_ADOPT, 1)


def end_descendants() -> None:
    """End all that this process has started and adopted, whatever sessions it made for itself."""
    until = time.monotonic() + PATIENCE
    while _FORKED:
        os.kill(_FORKED[-1], signal.SIGKILL)
        os.waitpid(_FORKED.pop(), 0)  # what it leaves behind is a child of this process by then
    while _has_children() and time.monotonic() < until:
        _kill(descendants(os.getpid()))
        time.sleep(0.001)


def end(process: BaseProcess) -> None:
    """Have one that called :func:`on_end_of_starter` end itself and all it started; what it leaves is ended here."""
    if process.pid and process.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, ASK)
        process.join(2 * PATIENCE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it may have been stopped
        process.kill()
    process.join()
    if process.exitcode:
        _end_orphans()


def _end_orphans() -> None:
    """End what a process that was killed left behind: its children are those of the server by now."""
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    until, empty = time.monotonic() + PATIENCE, 0
    while server and empty < 2 and time.monotonic() < until:  # one look may miss who is just forking
        known = {process.pid for process in multiprocessing.active_children()}
        orphans = _children().get(server, set()) - known
        empty = 0 if orphans else empty + 1
        _kill(orphans.union(*map(descendants, orphans)))
        time.sleep(0.001)


def _kill(found: set[int]) -> None:
    for sign in (signal.SIGSTOP, signal.SIGKILL):  # what is stopped starts no more
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, sign)


def _has_children() -> bool:
    """Whether there are children, after those that have ended are forgotten."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def descendants(root: int) -> set[int]:
    """Processes that ``root`` and its descendants have started; those it has adopted are among them."""
    children = _children()
    found, todo = set[int](), [root]
    while todo:
        more = children.get(todo.pop(), set())
        found |= more
        todo += more
    return found


def _children() -> dict[int, set[int]]:
    """All processes by their parent."""
    children: dict[int, set[int]] = {}
    for path in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended since it was listed
            fields = path.read_text(errors="replace").rpartition(")")[2].split()  # behind a name of any kind
            children.setdefault(int(fields[1]), set()).add(int(path.parent.name))
    return children


def on_end_of_starter(farewell: Callable[[], None]) -> None:
    """Call ``farewell`` and exit as soon as the process that started this one has ended, or asks for it by ASK.

    Also by SIGTERM, unless that is ignored here. Whatever this one is doing then: it is told in a thread, also where
    Python is waiting for an operation.
    """
    starter = multiprocessing.parent_process()
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    for number in (ASK, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(tell)

    def watch() -> None:
        connection.wait([told] if starter is None else [told, starter.sentinel])
        try:
            farewell()
        finally:
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
