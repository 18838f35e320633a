"""MoDL: a denoising network and conjugate gradients for the data fit take turns.

Aggarwal, Mani and Jacob 2019, doi:10.1109/TMI.2018.2865356. One block is

    z = x + D(x),    x = argmin |A x - y|^2 + lambda |x - z|^2,

the same D and the same learned lambda in all of them; A and y are divided by the norm of A. The first has z = 0. The
minimum comes from conjugate gradients that start at z, and autograd goes through them. For single-coil MRI A A* = I, so
the first of their steps is exact and they stop; for CT a few steps leave a remainder to the next block.

D has five convolutions of width 64: 113,155 parameters with lambda, 112,002 for real images. Unlike the authors' it has
no batch normalisation, whose running statistics would mix all blocks, and its last layer starts at zero. As the weights
do not depend on the depth, a deep network can start from a shallow one (`--set weights=...`), as theirs did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from recon_bench import learned
from recon_bench.core import Operator, Problem
from recon_bench.recipe import Recipe
from recon_bench.solvers import conjugate_gradients


@dataclass(frozen=True)
class Settings:
    """``depth``: limits applications of A and its adjoint: each block has one and one more for each of ``inner`` steps.

    There are depth // (1 + inner) blocks; ``layers`` and ``width`` are those of the denoiser.
    """

    depth: int = 20
    inner: int = 4
    layers: int = 5
    width: int = 64
    seed: int = 0
    weights: str = ""


def denoiser(channels: int, width: int, layers: int) -> nn.Sequential:
    """``layers`` 3 x 3 convolutions with ReLUs between them, the last of zeros."""
    sizes = [channels, *[width] * (layers - 1), channels]
    parts: list[nn.Module] = []
    for i, o in pairwise(sizes):
        parts += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU(inplace=True)]
    for parameter in parts[-2].parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(*parts[:-1])


def consistent(A: learned.Scaled, y: Tensor, z: Tensor, weight: Tensor, steps: int) -> Tensor:
    """Minimise |A x - y|^2 + weight |x - z|^2 by so many steps of conjugate gradients from z, all on channels."""
    with learned.full_precision(z):
        residual = A.adjoint(y - A(z))
        return z + conjugate_gradients(lambda p: A.adjoint(A(p)) + weight * p, residual, 3, steps)[0]


class Modl(nn.Module):
    """``(y, A) -> x``, in ``blocks`` of at most 1 + ``inner`` applications of the pair."""

    def __init__(self, channels: int, settings: Settings, norm: float) -> None:
        super().__init__()
        self.blocks, self.inner, self.norm = settings.depth // (1 + settings.inner), settings.inner, norm
        self.log_weight = nn.Parameter(torch.tensor(math.log(0.05)))
        self.denoiser = denoiser(channels, settings.width, settings.layers)

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        weight = self.log_weight.exp()
        zero = data.new_zeros(len(y), 1 + y.is_complex(), *A.domain_shape)
        x = consistent(operator, data, zero, weight, self.inner)
        for _ in range(self.blocks - 1):
            x = consistent(operator, data, x + self.denoiser(x), weight, self.inner)
        return learned.from_channels(x, A.dtype)


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained: iterated Tikhonov regularisation. Depends on the problem through the norm of its operator alone.

    ValueError for a depth that no block fits into.
    """
    if settings.inner < 1 or settings.depth < 1 + settings.inner or settings.layers < 2:
        raise ValueError(f"expected inner >= 1, depth >= 1 + inner and layers >= 2, got {settings}")
    return Modl(1 + problem.complex, settings, learned.norm_of(problem))


METHODS = (
    learned.method(
        "modl",
        network,
        Settings(),
        Recipe(steps=50_000, batch=2),
        title="MoDL",
        family="unrolled",
        summary="A small denoising network and conjugate gradients for the data fit take turns, always with equal "
        "weights.",
        reference="Aggarwal, Mani & Jacob, IEEE Trans. Med. Imaging 38, 2019, doi:10.1109/TMI.2018.2865356",
        depth="depth",
    ),
)
