"""Learned primal: learned primal-dual without networks on the data side, where only the residual is left.

Adler and Öktem 2018, doi:10.1109/TMI.2018.2799231. One iteration is

    primal <- primal + P_i(primal, gain A*(A primal[1] - y)),

from zero, with a memory of five images, of which the first is the result. A and y are divided by the norm of A. As
nothing convolves data, any operator will do: complex images are pairs of channels.

The gain, one as published, is here such that gain A* makes of white noise in the data an image of the same strength:
the norm of A over the root mean square of its singular values, zeros counted. In tomography A* A leaves little of all
but the coarsest detail, and the networks had to learn to see it first: 600 steps of one sample (Muon, rate 0.002, one
seed) on ct-ellipses-30, where the gain is 12.7, gave 27.1 dB on the validation images with a gain of 1 and 27.8, 27.9,
27.4 and 27.0 dB with 5, 10, 20 and 60. The gain is kept with the weights: those that start from others go on with
theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.learned_primal_dual import Settings, block
from recon_bench import learned
from recon_bench.core import Operator, Problem
from recon_bench.recipe import Recipe


class LearnedPrimal(nn.Module):
    """``(y, A) -> x``; an image is ``channels`` real ones."""

    gain: Tensor

    def __init__(self, settings: Settings, norm: float, gain: float, channels: int) -> None:
        super().__init__()
        self.norm, self.channels, self.memory = norm, channels, settings.memory * channels
        self.register_buffer("gain", torch.tensor(gain))
        self.primal = nn.ModuleList(
            block(self.memory + channels, settings.width, self.memory) for _ in range(settings.depth)
        )

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        primal = data.new_zeros(len(y), self.memory, *A.domain_shape)
        for update in self.primal:
            residual = operator(primal[:, self.channels : 2 * self.channels]) - data
            primal = primal + update(torch.cat([primal, self.gain * operator.adjoint(residual)], 1))
        return learned.from_channels(primal[:, : self.channels], A.dtype)


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained; depends on the problem through its operator's singular values and whether it is complex.

    ValueError for a depth below 1 or a memory below 2.
    """
    if settings.depth < 1 or settings.memory < 2:
        raise ValueError(f"expected a depth of at least 1 and a memory of at least 2, got {settings}")
    norm = learned.norm_of(problem)
    return LearnedPrimal(settings, norm, norm / rms_singular_value(problem.operator), 1 + problem.complex)


def rms_singular_value(A: Operator) -> float:
    """``sqrt(tr(A*A) / n)`` for images of n pixels, estimated from what A makes of one image of white noise."""
    noise = torch.randn(1, *A.domain_shape, dtype=A.dtype, generator=torch.Generator().manual_seed(0)).to(A.device)
    return float(A(noise).norm() / noise.norm())


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
