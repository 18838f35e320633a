"""How often a method applies its operator."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass
class Counting:
    """An operator that counts its applications; everything else is the operator's own.

    ``weight`` is the part of the whole that one application is: the parts of ``split(n)`` weigh 1/n.
    """

    operator: Any
    weight: float = 1.0
    tally: list[float] = dataclasses.field(default_factory=lambda: [0.0])

    def __call__(self, x: Tensor) -> Tensor:
        """Images ``(..., *domain_shape)`` to data ``(..., *range_shape)``, which counts as half a pair."""
        self.tally[0] += self.weight / 2
        return self.operator(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Data ``(..., *range_shape)`` to images ``(..., *domain_shape)``, which counts as half a pair."""
        self.tally[0] += self.weight / 2
        return self.operator.adjoint(y)

    def __getattr__(self, name: str) -> Any:
        if name == "operator":  # not set yet, as while unpickling
            raise AttributeError(name)
        value = getattr(self.operator, name)
        if name == "split":  # of operators that can be
            return lambda n: [Counting(part, self.weight / n, self.tally) for part in value(n)]
        return value

    @property
    def pairs(self) -> float:
        """Applications of the pair (A, adjoint) so far; one of either counts half."""
        return self.tally[0]
