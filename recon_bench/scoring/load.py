"""How busy a machine is with other things while something is timed on it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from recon_bench.scoring import clock

T = TypeVar("T")
PROC = Path("/proc")
SHORTEST = 0.5  # seconds: the system counts in steps of 0.01 s, which tell nothing over the time of a fast method


@dataclass(frozen=True)
class Load:
    """``others``: processors that other processes, and other guests of the host, kept busy for ``seconds`` on average,
    of those available here; None where the system does not tell. ``average``: the load average of the last minute.
    """

    seconds: float
    others: float | None
    average: float

    def __str__(self) -> str:
        return f"others used {self.others:.2f} cores"


def during(call: Callable[[], T]) -> tuple[T, Load]:
    """What ``call()`` returned, and the load meanwhile, watched for SHORTEST seconds at least."""
    before = _others()
    taken, result = clock.seconds(call, torch.device("cpu"))
    time.sleep(max(0.0, SHORTEST - taken))
    after, watched = _others(), max(SHORTEST, taken)
    used = None if before is None or after is None else max(0.0, (after - before) / watched)
    return result, Load(watched, used, os.getloadavg()[0])


def _others() -> float | None:
    """Processor seconds that everything but this process and its descendants has used; None but on Linux."""
    try:
        text = (PROC / "stat").read_text()
    except OSError:
        return None
    here = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    rows = [line.split() for line in text.splitlines()]
    busy = sum(sum(_busy(row[1:])) for row in rows if row and row[0] in here)
    return (busy - _own()) / os.sysconf("SC_CLK_TCK")


def _busy(row: list[str]) -> list[int]:
    """Of user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice those that keep it from others."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, row)  # user and nice hold those of guests
    return [user, nice, system, irq, softirq, steal]


def _own() -> int:
    """Ticks of this process, of its descendants, and of those of them that have ended."""
    found: dict[int, tuple[int, int]] = {}
    for path in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended since it was listed
            fields = path.read_text().rpartition(")")[2].split()  # from the state on, behind a name of any kind
            found[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    tree = {os.getpid()}
    while more := {pid for pid, (parent, _) in found.items() if parent in tree} - tree:
        tree |= more
    return sum(found[pid][1] for pid in tree if pid in found)
