"""Learned primal-dual: unrolled primal-dual iterations with small networks, each its own, as proximal maps.

Adler and Öktem 2018, doi:10.1109/TMI.2018.2799231. One iteration is

    dual   <- dual   + D_i(dual, A primal[1], y),
    primal <- primal + P_i(primal, A* dual[0]),

from zero, with five channels of memory on either side; the image is primal[0]. A and y are divided by the norm of A.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recon_bench import learned
from recon_bench.core import NotApplicable, Operator, Problem
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """``depth``: iterations, each one A and one adjoint; ``memory``: channels on each side; ``width``: hidden ones."""

    depth: int = 10
    memory: int = 5
    width: int = 32
    seed: int = 0
    weights: str = ""


def block(channels: int, width: int, out: int) -> nn.Sequential:
    """Three 3 x 3 convolutions with PReLUs (that start as ReLUs) between them; Xavier initialisation, no bias."""
    sizes = (channels, width, width, out)
    layers: list[nn.Module] = []
    for i in range(3):
        convolution = nn.Conv2d(sizes[i], sizes[i + 1], 3, padding=1)
        for parameter, start in zip(convolution.parameters(), (nn.init.xavier_uniform_, nn.init.zeros_)):
            start(parameter)
        layers += [convolution, nn.PReLU(width, init=0.0)]
    return nn.Sequential(*layers[:-1])


class PrimalDual(nn.Module):
    """``(y, A) -> x`` with real data ``(batch, views, bins)`` and images ``(batch, rows, columns)``."""

    def __init__(self, settings: Settings, norm: float) -> None:
        super().__init__()
        self.memory, self.norm = settings.memory, norm
        self.dual = nn.ModuleList(
            block(settings.memory + 2, settings.width, settings.memory) for _ in range(settings.depth)
        )
        self.primal = nn.ModuleList(
            block(settings.memory + 1, settings.width, settings.memory) for _ in range(settings.depth)
        )

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, views, bins)`` to images ``(batch, rows, columns)``."""
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        primal = data.new_zeros(len(y), self.memory, *A.domain_shape)
        dual = data.new_zeros(len(y), self.memory, *A.range_shape)
        for update_dual, update_primal in zip(self.dual, self.primal):
            dual = dual + update_dual(torch.cat([dual, operator(primal[:, 1:2]), data], 1))
            primal = primal + update_primal(torch.cat([primal, operator.adjoint(dual[:, :1])], 1))
        return learned.from_channels(primal, A.dtype)


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained; depends on the problem through the norm of its operator alone.

    NotApplicable for complex data, ValueError for a depth below 1 or a memory below 2.
    """
    if problem.complex or len(problem.operator.range_shape) != 2:
        raise NotApplicable("needs real data (views, bins)")
    if settings.depth < 1 or settings.memory < 2:
        raise ValueError(f"expected a depth of at least 1 and a memory of at least 2, got {settings}")
    return PrimalDual(settings, learned.norm_of(problem))


PRIMAL_DUAL = learned.method(
    "learned-primal-dual",
    network,
    Settings(),
    Recipe(steps=100_000, batch=5),
    title="Learned primal-dual",
    family="unrolled",
    summary="Ten unrolled primal-dual iterations with small convolutional networks in place of proximal maps.",
    reference="Adler & Öktem, IEEE Trans. Med. Imaging 37, 2018, doi:10.1109/TMI.2018.2799231",
    depth="depth",
)

METHODS = (PRIMAL_DUAL, learned.on_phantoms(PRIMAL_DUAL))
