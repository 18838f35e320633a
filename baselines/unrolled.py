"""Unrolled projected gradients and unrolled ISTA: a fixed number of steps of a classical method, with learned parts.

From a quick reconstruction (filtered backprojection; for MRI the zero-filled image), which takes an adjoint more than
the steps, a step gives x from the last x and the gradient of the data fit there, g = A*(A x - y). A and y are divided
by the norm of A, so that step sizes start at one.

- Gradient: u = x - step g, then x = u + C(u): instead of projecting onto x >= 0, or another proximal map, a small
  convolutional network C (Adler and Öktem 2017, doi:10.1088/1361-6420/aa9581, without their memory and gradients).
- ISTA in two layers, x = W2 soft(W1 x + b(y)): W1 = F - G A*A filters, b(y) = G A* y is a bias given by the data, soft
  thresholding is the nonlinearity (Gregor and LeCun 2010, https://icml.cc/Conferences/2010/papers/449.pdf). F, G, W2
  are learned convolutions, and every filter learns its threshold. At first F = G = W, a random tight frame, and W2 is
  its inverse: ISTA itself.

Each step has its own parameters, or all share those of one (tied): then the depth can be changed after training.
Parameters of ten steps: gradient 99,220 (tied 9,922; complex images 104,990 and 10,499), ISTA 17,920 (tied 1,792;
complex images 35,200 and 3,520).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines import unet
from baselines.learned_primal_dual import block
from recon_bench import learned
from recon_bench.core import Operator, Problem, Reconstructor
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class GradientSettings:
    """``depth``: steps, each A and its adjoint; ``width``: hidden channels of C; ``tied``: all steps are the same."""

    depth: int = 10
    width: int = 32
    tied: bool = False
    seed: int = 0
    weights: str = ""


@dataclass(frozen=True)
class IstaSettings:
    """``depth``: steps, each A and its adjoint; ``kernel``: odd side of the ``filters``; ``tied``: all are the same."""

    depth: int = 10
    filters: int = 64
    kernel: int = 3
    tied: bool = False
    seed: int = 0
    weights: str = ""


def proximal(channels: int, width: int) -> nn.Sequential:
    """Three convolutions of learned primal-dual, the last with a tenth of its weights, so that x + C(x) is near x."""
    layers = block(channels, width, channels)
    with torch.no_grad():
        layers[-1].weight.mul_(0.1)  # type: ignore[operator]
    return layers


class GradientStep(nn.Module):
    """Images and gradients, both ``(batch, channels, rows, columns)``, to images."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.ones(()))
        self.proximal = proximal(channels, width)

    def forward(self, x: Tensor, gradient: Tensor) -> Tensor:
        """``x`` and ``gradient`` ``(batch, channels, rows, columns)`` to the next image, of the same shape."""
        u = x - self.step * gradient
        return u + self.proximal(u)


class IstaStep(nn.Module):
    """Images and gradients, both ``(batch, channels, rows, columns)``, to images."""

    def __init__(self, channels: int, filters: int, kernel: int) -> None:
        super().__init__()
        padding = kernel // 2
        self.log_threshold = nn.Parameter(torch.full((filters, 1, 1), math.log(0.003)))
        self.analysis = nn.Conv2d(2 * channels, filters, kernel, padding=padding, bias=False)  # F and -G
        self.synthesis = nn.Conv2d(filters, channels, kernel, padding=padding, bias=False)  # W2
        frame = nn.init.orthogonal_(torch.empty(filters, channels, kernel, kernel)) / kernel
        with torch.no_grad():
            self.analysis.weight.copy_(torch.cat([frame, -frame], 1))
            self.synthesis.weight.copy_(frame.transpose(0, 1).flip(-2, -1))

    def forward(self, x: Tensor, gradient: Tensor) -> Tensor:
        """``x`` and ``gradient`` ``(batch, channels, rows, columns)`` to the next image, of the same shape."""
        threshold = self.log_threshold.exp()
        coefficients = self.analysis(torch.cat([x, gradient], 1)) / threshold
        return self.synthesis(functional.softshrink(coefficients, 1.0) * threshold)


class Unrolled(nn.Module):
    """``(y, A) -> x``: ``depth`` steps, those of ``steps`` over and over, from the image that ``quick`` makes."""

    def __init__(self, steps: list[nn.Module], depth: int, quick: Reconstructor, norm: float) -> None:
        super().__init__()
        self.steps, self.depth, self.quick, self.norm = nn.ModuleList(steps), depth, quick, norm

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        with learned.full_precision(y):
            x = learned.to_channels(self.quick(y, A))
        for step in islice(cycle(self.steps), self.depth):
            x = step(x, operator.adjoint(operator(x) - data))
        return learned.from_channels(x, A.dtype)


def gradient(problem: Problem, settings: GradientSettings) -> nn.Module:
    """Untrained unrolled projected gradients. ValueError for a depth below 1."""
    return _unrolled(problem, settings, lambda channels: GradientStep(channels, settings.width))


def ista(problem: Problem, settings: IstaSettings) -> nn.Module:
    """Untrained unrolled ISTA. ValueError for kernels of an even side or for filters too few to be a frame."""
    if settings.kernel % 2 == 0:
        raise ValueError(f"expected filters with an odd side, got a kernel of {settings.kernel}")
    if settings.filters < (least := (1 + problem.complex) * settings.kernel**2):
        raise ValueError(f"expected at least {least} filters, which can be a tight frame, got {settings.filters}")
    return _unrolled(problem, settings, lambda channels: IstaStep(channels, settings.filters, settings.kernel))


def _unrolled(
    problem: Problem, settings: GradientSettings | IstaSettings, step: Callable[[int], nn.Module]
) -> Unrolled:
    if settings.depth < 1:
        raise ValueError(f"expected a depth of at least 1, got {settings.depth}")
    steps = [step(1 + problem.complex) for _ in range(1 if settings.tied else settings.depth)]
    return Unrolled(steps, settings.depth, unet.quick(problem, unet.Settings()), learned.norm_of(problem))


METHODS = tuple(
    learned.method(
        name + "-tied" * tied,
        network,
        settings(tied=tied),
        Recipe(steps=100_000, batch=5),
        title=title + ", tied" * tied,
        family="unrolled",
        summary=f"{summary}; {'ten times the same step' if tied else 'ten steps with parameters of their own'}.",
        reference=reference,
        depth="depth",
    )
    for name, network, settings, title, summary, reference in (
        (
            "unrolled-gradient",
            gradient,
            GradientSettings,
            "Unrolled projected gradient",
            "Gradient steps with a small convolutional network in place of the projection",
            "Adler & Öktem, Inverse Problems 33, 2017, doi:10.1088/1361-6420/aa9581",
        ),
        (
            "unrolled-ista",
            ista,
            IstaSettings,
            "Unrolled ISTA",
            "Learned filters, a bias from the data and learned soft thresholds, as two layers of a network",
            "Gregor & LeCun, ICML 2010, https://icml.cc/Conferences/2010/papers/449.pdf",
        ),
    )
    for tied in (False, True)
)
