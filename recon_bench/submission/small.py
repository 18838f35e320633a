"""A small version of a task, on which a method takes a moment: the same scan of the same images, in coarser pixels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recon_bench.core import NotApplicable, Operator, Problem, Sample, Samples
from recon_bench.scoring import sizes

SIDE = 32  # pixels
NOISE = 0.01  # of the largest datum, standard deviation


def small(problem: Problem) -> Problem:
    """The problem for images averaged to SIDE x SIDE pixels; as it is where its operator has one size."""
    try:
        A: Operator = sizes.at_size(problem.operator, SIDE)
    except NotApplicable:
        return problem

    def samples(split: Samples) -> Samples:
        def make(index: int) -> Sample:
            truth, data = measured(split[index].truth[None], A, index)
            return Sample(f"small-{index}", truth[0], data[0])

        return Samples(len(split), make)

    def drawn(draw: Any, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
        return measured(draw(rng, n)[0], A, 0)

    return replace(
        problem,
        operator=A,
        train=samples(problem.train),
        validation=samples(problem.validation),
        fresh=problem.fresh and partial(drawn, problem.fresh),
        phantoms=problem.phantoms and partial(drawn, problem.phantoms),
    )


def measured(truth: Tensor, A: Operator, seed: int) -> tuple[Tensor, Tensor]:
    """Images (batch, rows, columns) averaged to the size of A, and their data with a little noise, on the CPU."""
    parts = torch.view_as_real(truth).movedim(-1, 0) if truth.is_complex() else truth[None]
    parts = functional.interpolate(parts, size=tuple(A.domain_shape), mode="area")
    averaged = torch.complex(*parts) if truth.is_complex() else parts[0]
    data = A(averaged.to(A.device, A.dtype)).cpu()
    generator = torch.Generator().manual_seed(seed)
    return averaged, data + NOISE * data.abs().max() * torch.randn(data.shape, generator=generator, dtype=data.dtype)
