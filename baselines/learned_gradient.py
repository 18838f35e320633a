"""Learned gradient: ten gradient steps, all by the same small network, which sees the gradients and has a memory.

Adler and Öktem 2017, doi:10.1088/1361-6420/aa9581. One iteration is

    (step, s) <- N(x, A*(A x - y), -Laplace x, s),    x <- x + step,    s <- relu(s),

where -Laplace x is the gradient of the Dirichlet energy, from filtered backprojection without a window (for MRI the
zero-filled image, whose real and imaginary part are two channels). A and y are divided by the norm of A. Weights do
not depend on the depth. The authors trained with RMSProp and a rate that falls as 1 / time; a card says how ours were.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines import unet
from baselines.learned_primal_dual import Settings
from recon_bench import learned
from recon_bench.core import Operator, Problem, Reconstructor
from recon_bench.recipe import Recipe


def dirichlet_gradient(x: Tensor) -> Tensor:
    """Gradient of half the sum of squared differences of neighbours: ``(batch, channels, rows, columns)`` to same."""
    p = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    return 4 * x - p[..., :-2, 1:-1] - p[..., 2:, 1:-1] - p[..., 1:-1, :-2] - p[..., 1:-1, 2:]


def block(channels: int, width: int, out: int) -> nn.Sequential:
    """Three 3 x 3 convolutions with ReLUs between them; Xavier-normal weights, hidden biases of 0.01.

    Those of the last are a tenth of that: the same network ten times over would start far from any image.
    """
    layers: list[nn.Module] = []
    for i, o, gain, bias in ((channels, width, 1.0, 0.01), (width, width, 1.0, 0.01), (width, out, 0.1, 0.0)):
        convolution = nn.Conv2d(i, o, 3, padding=1)
        nn.init.xavier_normal_(convolution.weight, gain)
        nn.init.constant_(convolution.bias, bias)  # type: ignore[arg-type]
        layers += [convolution, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class LearnedGradient(nn.Module):
    """``(y, A) -> x``, from the image that ``quick`` makes; images are ``channels`` real ones."""

    def __init__(self, settings: Settings, quick: Reconstructor, norm: float, channels: int) -> None:
        super().__init__()
        self.depth, self.memory, self.quick, self.norm = settings.depth, settings.memory, quick, norm
        self.channels = channels
        self.step = block(3 * channels + settings.memory, settings.width, channels + settings.memory)

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        with learned.full_precision(y):
            x = learned.to_channels(self.quick(y, A))
        memory = x.new_zeros(len(x), self.memory, *A.domain_shape)
        for _ in range(self.depth):
            misfit = operator.adjoint(operator(x) - data)
            out = self.step(torch.cat([x, misfit, dirichlet_gradient(x), memory], 1))
            x, memory = x + out[:, : self.channels], functional.relu(out[:, self.channels :])
        return learned.from_channels(x, A.dtype)


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained; depends on the problem through the filter and the norm of its operator.

    ValueError for a depth below 1.
    """
    if settings.depth < 1 or settings.memory < 0:
        raise ValueError(f"expected a depth of at least 1 and a memory of at least 0, got {settings}")
    quick = unet.quick(problem, unet.Settings(filter="ram-lak", cutoff=1.0))
    return LearnedGradient(settings, quick, learned.norm_of(problem), 1 + problem.complex)


METHODS = (
    learned.method(
        "learned-gradient",
        network,
        Settings(),
        Recipe(steps=100_000, batch=20),
        title="Learned gradient",
        family="unrolled",
        summary="Ten unrolled gradient steps by one small network with a memory, from filtered backprojection.",
        reference="Adler & Öktem, Inverse Problems 33, 2017, doi:10.1088/1361-6420/aa9581",
        depth="depth",
    ),
)
