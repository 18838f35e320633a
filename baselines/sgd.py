"""Stochastic gradient descent: each step uses a random part of the views; steps shrink like 1 / sqrt(1 + epoch).

An epoch visits every part once in random order, which costs one application of A and of its adjoint. The random order
is seeded and the same for all images. It stops before it fits the noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon_bench.core import Log, Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.operators import norm
from recon_bench.solvers import remember, split_data, views


@dataclass(frozen=True)
class Settings:
    """``epochs``: passes over the data; ``step``: the first, times max |A_i|^2; ``parts``: of the views; ``seed``."""

    epochs: int = 10
    step: float = 1.0
    parts: int = 30
    seed: int = 0


def sgd(
    parts: Sequence[Operator], data: Sequence[Tensor], x: Tensor, step: float, epochs: int, generator: torch.Generator
) -> Tensor:
    """``epochs`` passes from ``x`` ``(batch, *domain_shape)``, one gradient step for each part in random order."""
    for epoch in range(epochs):
        for i in torch.randperm(len(parts), generator=generator).tolist():
            x = x + step / math.sqrt(1 + epoch) * parts[i].adjoint(data[i] - parts[i](x))
    return x


def prepare(A: Operator, count: int) -> tuple[list[Operator], float]:
    """``count`` parts of A (or as many as it has views) and the largest of their norms.

    NotApplicable where it cannot be split.
    """
    if not hasattr(A, "split"):
        raise NotApplicable("needs an operator that can be split into views, columns or rows")
    parts = A.split(min(count, views(A)))
    return parts, max(norm(part) for part in parts)


prepared = remember(prepare)


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """The reconstructor starts from zero and from the same seed for every image; real or complex, any device."""
    prepared(problem.operator, settings.parts)

    def one(y: Tensor, A: Operator) -> Tensor:
        parts, scale = prepared(A, settings.parts)
        generator = torch.Generator().manual_seed(settings.seed)
        data, zero = split_data(A, y, len(parts)), y.new_zeros(1, *A.domain_shape)
        return sgd(parts, data, zero, settings.step / scale**2, settings.epochs, generator)

    # one image after another: operators lay a batch out anew for each of the many small parts
    return lambda y, A: torch.cat([one(image, A) for image in y.split(1)])


METHODS = (
    Method(
        name="sgd",
        title="Stochastic gradient descent",
        family="iterative",
        summary="Gradient steps on random parts of the views, shrinking; epochs and first step tuned.",
        reference="Robbins & Monro, Ann. Math. Statist. 22, 1951, doi:10.1214/aoms/1177729586",
        build=build,
        settings=Settings(),
        search={"epochs": Log(1, 40, integer=True), "step": Log(0.3, 1.9)},
        depth="epochs",
    ),
)
