"""The process that a method lives in while it is measured: it has the method, its problems and what it is sent.

Truth, score, clock, journal and results stay with the process that asks. It is forked before that one has any of them,
in a session of its own, with limits; see :mod:`recon_bench.processes`. Messages are those of :mod:`.wire`.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from recon_bench import headers, processes
from recon_bench.core import Method, NotApplicable
from recon_bench.scoring import clock, wire
from recon_bench.scoring.answers import MethodError, reason
from recon_bench.scoring.guest import Guest
from recon_bench.scoring.host import SLACK, Way, in_double, problem_of
from recon_bench.scoring.named import Named, operators
from recon_bench.task import Task
from recon_bench.weights import OtherArchitecture, WeightsError

RAISED = {each.__name__: each for each in (OtherArchitecture, NotApplicable, WeightsError)}  # the first that it is
TOKEN = b"."  # that a process stands ready, may begin, has done
T = TypeVar("T")


class Gone(BaseException):
    """The process of a method has ended, and with it what was being measured; the text says how."""


class Home:
    """A process for the ``method`` that is found by this function, on problems of the ``task``.

    To be made before this process has threads. Where it ends by itself, whoever asks it anything gets :class:`Gone`.
    """

    def __init__(
        self,
        method: Callable[[], Method],
        task: Task,
        device: torch.device,
        threads: int,
        memory: int = 0,
    ) -> None:
        self._device = device
        self._child = processes.fork(partial(_serve, method, task, device, threads), memory)
        self.backends = set[str]()  # names of what computes the operators there
        self._end = ""
        self._ends = select.poll()
        self._ends.register(self._child.line, select.POLLIN)
        with contextlib.suppress(AttributeError, OSError):  # without it, the end of the line tells
            self._ends.register(os.pidfd_open(self._child.pid), select.POLLIN)

    def header(self) -> Method:
        """What the method says of itself, see :mod:`recon_bench.headers`. MethodError where it cannot be had."""
        return headers.heard(self.ask(["header"]))

    def guest(self, size: int | None = None, operator: Named | None = None, weights: str = "") -> Way:
        """The way to the method on the problem of the task, or on one that differs, see :func:`.host.problem_of`."""
        number, backend = self.ask(["guest", size, operator, weights])
        self.backends |= {backend} if isinstance(backend, str) else set()
        return _Far(self, number)

    def ask(self, request: list[Any]) -> Any:
        """What the process answers; errors as of :meth:`.host.Way.call`."""
        self._send(request)
        return self.answer()

    def timed(self, request: list[Any]) -> tuple[float, Any]:
        """As :meth:`ask`, after the seconds until it was done, counted from when the process stood ready.

        What the process does after that counts as well, beyond SLACK.
        """
        self._send(request)
        self._token()

        def run() -> None:
            self._line(self._child.line.send_bytes, TOKEN)
            self._wait()

        taken, _ = clock.seconds(run, torch.device("cpu"))
        self._token()
        late, answer = clock.seconds(self.answer, torch.device("cpu"))
        return taken + max(0.0, late - SLACK), answer

    def busy(self) -> float:
        """Seconds that the processors have spent on the process; 0 where the system does not tell."""
        with contextlib.suppress(OSError):
            return time.clock_gettime(_cpu_clock(self._child.pid))
        return 0.0

    def answer(self) -> Any:
        """The answer to what was sent."""
        self._wait()
        kind, value = self._line(wire.receive, self._child.line)
        if kind is None:
            return value
        raise RAISED[kind](value) if kind in RAISED else MethodError(value)

    def _send(self, request: list[Any]) -> None:
        self._line(wire.send, self._child.line, request)

    def _token(self) -> None:
        self._wait()
        self._line(self._child.line.recv_bytes)

    def _wait(self) -> None:
        """Wait for something to read."""
        if self._child.line.fileno() not in dict(self._ends.poll()):
            raise self._gone()

    def _line(self, use: Callable[..., T], *args: Any) -> T:
        try:
            return use(*args)
        except (EOFError, OSError):
            raise self._gone() from None

    def _gone(self) -> Gone:
        self._end = self._end or f"the process {self._child.ended()}"
        return Gone(self._end)


class _Far:
    """The way to a guest in another process, by its number there."""

    def __init__(self, home: Home, number: int) -> None:
        self._home, self._number = home, number

    def call(self, name: str, *args: Any) -> Any:
        """As of :class:`.host.Way`."""
        return self._home.ask(["call", self._number, name, list(args)])

    def timed(self, name: str, *args: Any) -> tuple[float, Any]:
        """As of :class:`.host.Way`."""
        return self._home.timed(["timed", self._number, name, list(args)])

    def busy(self) -> float:
        """As of :class:`.host.Way`."""
        return self._home.busy()

    def repeating(self, weights: str) -> Way:
        """As of :class:`.host.Way`."""
        return _Far(self._home, self._home.ask(["repeating", self._number, weights]))


def _cpu_clock(pid: int) -> int:
    """The number of the clock of a process in Linux."""
    return (~pid << 3) | 2


def _serve(
    find: Callable[[], Method],
    task: Task,
    device: torch.device,
    threads: int,
    line: Connection,
) -> None:
    """Answer until nobody asks any more."""
    torch.set_num_threads(threads)
    guests = list[Guest]()
    known = list[Method]()
    others = operators(task, device)

    def method() -> Method:
        known[:] = known or [find()]
        return known[0]

    def act(what: str, *args: Any) -> Any:
        if what == "header":
            return headers.told(method())
        if what == "guest":
            problem = problem_of(task, device, *args)
            guests.append(Guest(method(), problem, in_double(task, device), others))
            return len(guests) - 1, getattr(problem.operator, "backend", None)
        if what == "repeating":
            guests.append(guests[args[0]].repeating(args[1]))
            return len(guests) - 1
        number, name, given = args
        return getattr(guests[number], name)(*given)

    with contextlib.suppress(EOFError, OSError):
        while True:
            request = wire.receive(line)
            if timed := request[0] == "timed":
                line.send_bytes(TOKEN)
                line.recv_bytes()
            answer = _answered(act, request, device)
            if timed:
                line.send_bytes(TOKEN)
            try:
                wire.send(line, answer)
            except Exception as error:  # what it gave cannot cross
                wire.send(line, [type(error).__name__, reason(error, device)])


def _answered(act: Callable[..., Any], request: list[Any], device: torch.device) -> list[Any]:
    try:
        return [None, act(*request)]
    except tuple(RAISED.values()) as why:
        kind = next(name for name, each in RAISED.items() if isinstance(why, each))
        return [kind, str(why)]
    except BaseException as error:  # SystemExit, too, is only what a method raised
        traceback.print_exc()
        return ["error", reason(error, device)]
