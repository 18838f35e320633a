"""A problem at another size of image: the same scan over the same field of view, with finer or coarser pixels.

For measurements that do not depend on values, such as memory: images are random and data without noise.
"""

from __future__ import annotations

import dataclasses
from functools import singledispatch
from typing import Any

import torch

from recon_bench.core import NotApplicable, Problem, Sample, Samples
from recon_bench.operators import MaskedFourier, RayTransform

SAMPLES = 1000


def resized(problem: Problem, size: int) -> Problem:
    """The problem for images of ``size`` x ``size`` pixels; NotApplicable where its operator is of another kind."""
    operator = at_size(problem.operator, size)

    def make(index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        truth = problem.data_range * torch.rand(operator.domain_shape, generator=generator, dtype=operator.dtype)
        return Sample(f"random-{index}", truth, operator(truth.to(operator.device)).cpu())

    samples = Samples(SAMPLES, make)
    return dataclasses.replace(problem, operator=operator, train=samples, validation=samples, fresh=None, phantoms=None)


@singledispatch
def at_size(operator: Any, size: int) -> Any:
    """The operator for images of ``size`` x ``size`` pixels; NotApplicable for one of another kind than those below."""
    raise NotApplicable(f"its operator, {type(operator).__name__}, is not known at other sizes of the image")


@at_size.register
def _(operator: RayTransform, size: int) -> RayTransform:
    """As many views; bins as wide in pixels as they were, up to rounding."""
    old = operator.geometry
    bins = max(1, round(old.bins * size / old.size))
    pixel, spacing = old.pixel * old.size / size, old.spacing * old.bins / bins
    geometry = dataclasses.replace(old, size=size, pixel=pixel, bins=bins, spacing=spacing)
    return RayTransform(geometry, operator.device, operator.dtype)


@at_size.register
def _(operator: MaskedFourier, size: int) -> MaskedFourier:
    """The same mask, stretched: as large a part of the columns, up to rounding."""
    kept, width = set(operator.columns), operator.shape[1]
    columns = tuple(column for column in range(size) if column * width // size in kept)
    return MaskedFourier((size, size), columns, operator.device, operator.dtype)
