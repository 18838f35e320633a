"""The only timer: synchronised, so that what is timed is what ran.

``seconds`` times one call; a GPU is synchronised before and after. Warm-up and repeats are the caller's, by the rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def synchronise(device: torch.device) -> None:
    """Wait until everything queued on ``device`` has run."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Wall-clock seconds of ``call()`` and what it returned."""
    synchronise(device)
    start = time.perf_counter()
    result = call()
    synchronise(device)
    return time.perf_counter() - start, result
