"""The only timer: synchronised, so that what is timed is what ran.

``seconds`` times one call; a GPU is synchronised before and after. Warm-up and repeats are the caller's, by the rules.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def synchronise(device: torch.device) -> None:
    """Wait until everything queued on ``device`` has run; a CPU has no queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Wall-clock seconds of ``call()``, with all that it queued on ``device``, and what it returned."""
    synchronise(device)
    start = time.perf_counter()
    result = call()
    synchronise(device)
    return time.perf_counter() - start, result


def peak_bytes(device: torch.device) -> int:
    """The most memory in use so far, in bytes: allocated by torch on a GPU, else resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Deadline:
    """A time on the wall clock, so many ``seconds`` from now on."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() > self.end
