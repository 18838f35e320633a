"""What a method may not touch: the data, the operator, and what belongs to the whole process.

It is looked at before and after each call, what was changed is put back, and what was seen is said in a few words.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon_bench.core import Operator


@dataclass(frozen=True)
class Shared:
    """What belongs to the whole process: threads, default type, and the states of the global random numbers."""

    threads: int
    dtype: torch.dtype
    torch: Tensor
    numpy: Any
    python: Any

    @staticmethod
    def now() -> Shared:
        """As it is."""
        numbers = torch.get_rng_state(), np.random.get_state(), random.getstate()
        return Shared(torch.get_num_threads(), torch.get_default_dtype(), *numbers)

    def restored(self) -> list[str]:
        """What has changed since, for a reader; all is as it was again."""
        now = Shared.now()
        seen = list(self._differences(now))
        if now.threads != self.threads:
            torch.set_num_threads(self.threads)
        torch.set_default_dtype(self.dtype)
        torch.set_rng_state(self.torch)
        np.random.set_state(self.numpy)
        random.setstate(self.python)
        return seen

    def _differences(self, now: Shared) -> Iterator[str]:
        if now.threads != self.threads:
            yield f"set {now.threads} threads where there were {self.threads}"
        if now.dtype != self.dtype:
            yield f"set the default type to {str(now.dtype).removeprefix('torch.')}"
        used = {
            "torch": not torch.equal(now.torch, self.torch),
            "numpy": now.numpy[2:] != self.numpy[2:] or not np.array_equal(now.numpy[1], self.numpy[1]),
            "Python": now.python != self.python,
        }
        if any(used.values()):
            yield f"used or set the global random numbers of {', '.join(name for name, is_so in used.items() if is_so)}"


class Answer:
    """What an ``operator`` says to one question each way, to see whether it still says it."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.said = self._ask()

    def changed(self) -> list[str]:
        """What has changed, for a reader."""
        return [] if all(map(torch.equal, self.said, self._ask())) else ["changed the operator"]

    def _ask(self) -> tuple[Tensor, Tensor]:
        A, generator = self.operator, torch.Generator().manual_seed(0)
        x, y = (
            torch.randn(shape, generator=generator, dtype=A.dtype).to(A.device)
            for shape in (A.domain_shape, A.range_shape)
        )
        with torch.no_grad():
            return A(x), A.adjoint(y)
