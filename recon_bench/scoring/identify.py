"""A parameter of the operator from data alone: the value with which an image explains the data best.

For each value tried there is a misfit |A x - y| / |y|, by default of the image after a few conjugate gradients on the
normal equations: so few that what the parameter does wrong cannot be explained away. The range is searched on a grid,
then more and more finely around the least; the result is the vertex of the last parabola. Unless the misfit doubles
towards both ends of the range the parameter is not identified: pixels and iterations that fit some values better than
others change it by less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from recon_bench.core import Operator
from recon_bench.solvers import conjugate_gradients


@dataclass(frozen=True)
class Search:
    """``coarse`` values over the range, at least 3; ``rounds`` of half the step around the least; ``iterations`` of
    conjugate gradients; ``sharp``: the part of the misfit at the lower end that must be gone."""

    coarse: int = 9
    rounds: int = 3
    iterations: int = 10
    sharp: float = 0.5


@dataclass(frozen=True)
class Estimate:
    """The ``value``, the misfit by each value ``tried``, and which part of that at the lower end is
    gone at the least.

    ``identified``: whether that is enough.
    """

    value: float
    tried: Mapping[float, float]
    sharpness: float
    identified: bool


def estimate(misfit: Callable[[float], float], low: float, high: float, search: Search) -> Estimate:
    """The value from ``low`` to ``high`` of least ``misfit``; ValueError for an empty range or less than 3 values."""
    if not low < high or search.coarse < 3:
        raise ValueError(f"expected low < high and at least 3 values, got {low}, {high} and {search.coarse}")
    step = (high - low) / (search.coarse - 1)
    tried = {value: misfit(value) for value in (low + step * i for i in range(search.coarse))}
    ends = min(tried[low], tried[max(tried)])
    for _ in range(search.rounds):
        step /= 2
        best = min(tried, key=lambda value: tried[value])
        for value in (best - step, best + step):
            if low <= value <= high:
                tried[value] = misfit(value)
    best = min(tried, key=lambda value: tried[value])
    sharpness = 1 - tried[best] / ends if ends else 0.0
    vertex = _vertex([(value, tried[value]) for value in (best - step, best, best + step) if value in tried])
    return Estimate(vertex, dict(sorted(tried.items())), sharpness, sharpness >= search.sharp)


def _vertex(points: list[tuple[float, float]]) -> float:
    """Where the parabola through three evenly spaced points is least; the lowest of fewer, or of a straight line."""
    if len(points) == 3:
        (_, left), (middle, least), (right, after) = points
        if 0 < (bend := left - 2 * least + after) < math.inf:
            return middle + (right - middle) * (left - after) / (2 * bend)
    return min(points, key=lambda point: point[1])[0]


def explained(A: Operator, y: Tensor, iterations: int) -> float:
    """Mean misfit of data ``y`` (batch, *range_shape) after ``iterations`` of conjugate gradients."""
    dims = len(A.domain_shape)
    data = y.to(A.device, A.dtype)
    x, _ = conjugate_gradients(lambda z: A.adjoint(A(z)), A.adjoint(data), dims, iterations)
    return relative(A(x), data)


def relative(found: Tensor, y: Tensor) -> float:
    """Mean of |found - y| / |y| over the first dimension."""
    missed, size = (torch.linalg.vector_norm(each.flatten(1), dim=1) for each in (found - y, y))
    return float((missed / size).mean())
