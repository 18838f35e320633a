"""Learned PDHG: the primal-dual hybrid gradient method with small networks, the same in each iteration, as its maps.

Adler and Öktem 2018, doi:10.1109/TMI.2018.2799231, after Chambolle and Pock 2011, doi:10.1007/s10851-010-0251-1. With
x' ahead of x, one iteration is

    u <- u + D(u + sigma A x', y),
    d = P(x - tau A* u),    x <- x + d,    x' = x + theta d,

from zero. sigma, tau and theta are learned too. A and y are divided by the norm of A. Weights do not depend on the
depth. This is the scheme of the authors' program, 20,133 parameters, but for where the lengths start, which matters
because D and P see A x' and A* u only in sums: 300 steps of one sample (Muon, rate 0.002, one seed) on ct-ellipses-30
gave 18.9 dB on eight validation images from sigma = tau = 0.5, 23.6 from tau = 12 and 24.8 from sigma = 2, tau = 12.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.learned_primal_dual import block
from recon_bench import learned
from recon_bench.core import NotApplicable, Operator, Problem
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """``depth``: iterations, each A and its adjoint; ``width``: hidden channels."""

    depth: int = 10
    width: int = 32
    seed: int = 0
    weights: str = ""


class LearnedPDHG(nn.Module):
    """``(y, A) -> x`` with real data ``(batch, views, bins)`` and images ``(batch, rows, columns)``."""

    def __init__(self, settings: Settings, norm: float) -> None:
        super().__init__()
        self.depth, self.norm = settings.depth, norm
        self.dual, self.primal = block(2, settings.width, 1), block(1, settings.width, 1)
        starts = {"sigma": 2.0, "tau": 12.0, "theta": 1.0}
        self.lengths = nn.ParameterDict({name: nn.Parameter(torch.tensor(start)) for name, start in starts.items()})

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        u = torch.zeros_like(data)
        x = ahead = data.new_zeros(len(y), 1, *A.domain_shape)
        for _ in range(self.depth):
            u = u + self.dual(torch.cat([u + self.lengths["sigma"] * operator(ahead), data], 1))
            update = self.primal(x - self.lengths["tau"] * operator.adjoint(u))
            x = x + update
            ahead = x + self.lengths["theta"] * update
        return learned.from_channels(x, A.dtype)


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained; depends on the problem through the norm of its operator alone.

    NotApplicable for complex data, ValueError for a depth below 1.
    """
    if problem.complex or len(problem.operator.range_shape) != 2:
        raise NotApplicable("needs real data (views, bins)")
    if settings.depth < 1:
        raise ValueError(f"expected a depth of at least 1, got {settings}")
    return LearnedPDHG(settings, learned.norm_of(problem))


METHODS = (
    learned.method(
        "learned-pdhg",
        network,
        Settings(),
        Recipe(steps=100_000, batch=5),
        title="Learned PDHG",
        family="unrolled",
        summary="Ten primal-dual iterations with one learned map for images, one for data, and learned step lengths.",
        reference="Adler & Öktem, IEEE Trans. Med. Imaging 37, 2018, doi:10.1109/TMI.2018.2799231",
        depth="depth",
    ),
)
