"""Operators by name, as they are told to the process of a method: both sides make them of the task that both have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch

from recon_bench.core import Operator
from recon_bench.task import Task

KEPT = 2  # operators of a task that are not made again, beside its own


@dataclass(frozen=True)
class Named:
    """One operator of a task: A1 of the ``shift`` of this name, or what its parameter has with this ``value``; that of
    a ``rate``; A0 without any of these."""

    shift: str = ""
    value: float | None = None
    rate: float | None = None

    def operator(self, task: Task, device: torch.device) -> Operator:
        """The operator in float32; ValueError where the task has none of this name."""
        if self.rate is not None:
            if self.rate not in task.rates:
                raise ValueError(f"expected a rate of {task.name}, one of {sorted(task.rates)}, got {self.rate}")
            return task.rates[self.rate].make_operator(device, torch.float32)
        if not self.shift:
            return task.make_operator(device, torch.float32)
        shifts = {shift.name: shift for shift in task.shifts}
        if self.shift not in shifts:
            raise ValueError(f"expected a shift of {task.name}, one of {sorted(shifts)}, got {self.shift!r}")
        shift = shifts[self.shift]
        if self.value is None:
            return shift.make_operator(device, torch.float32)
        if shift.parameter is None:
            raise ValueError(f"expected a shift with a parameter, {self.shift!r} of {task.name} has none")
        return shift.parameter.make_operator(self.value, device, torch.float32)


def operators(task: Task, device: torch.device) -> Callable[[Named], Operator]:
    """What makes the operators of a task, of which the last few are kept."""
    return lru_cache(KEPT)(partial(Named.operator, task=task, device=device))
