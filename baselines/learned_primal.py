"""Learned primal: learned primal-dual without networks on the data side, where only the residual is left.

Adler and Öktem 2018, doi:10.1109/TMI.2018.2799231. One iteration is

    primal <- primal + P_i(primal, A*(A primal[1] - y)),

from zero, with a memory of five images, of which the first is the result. A and y are divided by the norm of A, and A*
by the root mean square of its singular values instead, so that it leaves noise as strong as it was. Divided by the
norm, as published, the residual of tomography arrives so faint that the networks learn to see it first: 600 steps from
random weights on ct-ellipses-30 gave 27.1 dB, now 27.9. As nothing convolves data, any operator will do: complex images
are pairs of channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines import learned
from baselines.learned_primal_dual import Settings, block
from recon_bench.core import Operator, Problem
from recon_bench.recipe import Recipe


def rms_singular_value(A: Operator) -> float:
    """``sqrt(tr(A*A) / n)`` for images of n pixels, estimated from what A makes of one image of white noise."""
    noise = torch.randn(1, *A.domain_shape, dtype=A.dtype, generator=torch.Generator().manual_seed(0)).to(A.device)
    return float(A(noise).norm() / noise.norm())


class LearnedPrimal(nn.Module):
    """``(y, A) -> x``; an image is ``channels`` real ones; singular values are around ``typical``, up to ``norm``."""

    def __init__(self, settings: Settings, norm: float, typical: float, channels: int) -> None:
        super().__init__()
        self.norm, self.gain = norm, norm / typical
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
    """Untrained; depends on the problem through the singular values of its operator alone."""
    if settings.depth < 1 or settings.memory < 2:
        raise ValueError(f"expected a depth of at least 1 and a memory of at least 2, got {settings}")
    typical = rms_singular_value(problem.operator)
    return LearnedPrimal(settings, learned.norm_of(problem), typical, 1 + problem.complex)


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
