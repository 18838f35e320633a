"""Learned primal: learned primal-dual without networks on the data side, where only the residual is left.

Adler and Öktem 2018, doi:10.1109/TMI.2018.2799231. One iteration is

    primal <- primal + P_i(primal, A*(A primal[1] - y)),

from zero, with a memory of five images, of which the first is the result. A and y are divided by the norm of A. As
nothing convolves data, any operator will do: complex images are pairs of channels.

Unlike the published one, a network sees the image of the residual multiplied by a gain. In tomography A* A leaves
little of all but the coarsest detail, and the networks had to learn to see it first: 600 steps from random weights on
ct-ellipses-30 gave 27.1 dB with a gain of 1, 27.4 to 27.9 with 5 to 20.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines import learned
from baselines.learned_primal_dual import Settings, block
from recon_bench.core import Operator, Problem
from recon_bench.recipe import Recipe

# The norm of A over the root mean square of its singular values on ct-ellipses-30 and mri-brain-4x. Not computed for
# each operator: weights start better on another task of the same kind with the gain that they are used to.
TOMOGRAPHY, MRI = 12.74, 2.0


class LearnedPrimal(nn.Module):
    """``(y, A) -> x``; an image is ``channels`` real ones."""

    def __init__(self, settings: Settings, norm: float, gain: float, channels: int) -> None:
        super().__init__()
        self.norm, self.gain = norm, gain
        self.channels, self.memory = channels, settings.memory * channels
        self.primal = nn.ModuleList(
            block(self.memory + channels, settings.width, self.memory) for _ in range(settings.depth)
        )

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        primal = data.new_zeros(len(y), self.memory, *A.domain_shape)
        for update in self.primal:
            residual = operator(primal[:, self.channels : 2 * self.channels]) - data
            primal = primal + update(torch.cat([primal, self.gain * operator.adjoint(residual)], 1))
        return learned.from_channels(primal[:, : self.channels], A.dtype)


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained; depends on the problem through the norm of its operator alone."""
    if settings.depth < 1 or settings.memory < 2:
        raise ValueError(f"expected a depth of at least 1 and a memory of at least 2, got {settings}")
    gain = MRI if problem.complex else TOMOGRAPHY
    return LearnedPrimal(settings, learned.norm_of(problem), gain, 1 + problem.complex)


METHODS = (
    learned.method(
        "learned-primal",
        network,
        Settings(),
        Recipe(steps=100_000, batch=5),
        title="Learned primal",
        family="unrolled",
        summary="Ten unrolled iterations with small networks on images alone; the data enter by their residual.",
        reference="Adler & Öktem, IEEE Trans. Med. Imaging 37, 2018, doi:10.1109/TMI.2018.2799231",
        depth="depth",
    ),
)
