"""A reversible unrolled network: its backward pass computes every image again from the next one, and none is kept.

Steps are those of the unrolled gradient, with the same regulariser C and as many parameters, but each moves two states,
the image x and its velocity v, by additive coupling (leapfrog: Chang et al. 2018, arXiv:1709.03698):

    v <- v + F(x),    x <- x + v,    F(x) = -step g + C(x - step g),    g = A*(A x - y),

from a quick reconstruction at rest. It is undone by x <- x - v, v <- v - F(x), so that the last x and v are all that is
kept, whatever the depth. What grows with it are parameters and their gradients, or nothing where steps are tied; each
step is computed twice. What rounding costs in float32, untrained on ct-ellipses-30: from the end of 10 steps the start
comes back to 3e-7 of itself, of 80 to 3e-5, and gradients are off by 2e-7 and 7e-4 where float32 by itself is off by
3e-4 and 9e-4. It grows with C: last layers three times as large, 80 steps, make it 2e-3, 2e-2 and 4e-3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from baselines import unrolled
from recon_bench import learned
from recon_bench.core import Operator, Problem
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """``depth``: steps, each A and its adjoint; ``width`` and ``tied`` as of the unrolled gradient."""

    depth: int = 10
    width: int = 32
    tied: bool = False
    seed: int = 0
    weights: str = ""


@dataclass(frozen=True)
class Leap:
    """One step of image and velocity, both ``(batch, channels, *domain_shape)``, and its inverse.

    ``step`` as of the unrolled gradient; ``data``: ``(batch, channels, *range_shape)``.
    """

    step: nn.Module
    operator: learned.Scaled

    def forward(self, x: Tensor, v: Tensor, data: Tensor) -> tuple[Tensor, Tensor]:
        """The next image and velocity."""
        v = v + self._force(x, data)
        return x + v, v

    def inverse(self, x: Tensor, v: Tensor, data: Tensor) -> tuple[Tensor, Tensor]:
        """The image and the velocity before, up to rounding."""
        x = x - v
        return x, v - self._force(x, data)

    def _force(self, x: Tensor, data: Tensor) -> Tensor:
        moved: Tensor = self.step(x, self.operator.adjoint(self.operator(x) - data))
        return moved - x


class Chain(torch.autograd.Function):
    """``apply(leaps, x, data, *parameters)``: the image after all ``leaps`` from ``x`` at rest.

    The backward pass undoes one after the other, under the autocast of the forward pass.
    """

    @staticmethod
    def forward(ctx: Any, leaps: Sequence[Leap], x: Tensor, data: Tensor, *parameters: Tensor) -> Tensor:
        """The last image, of the shape of ``x``."""
        device = x.device.type
        ctx.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        ctx.leaps, ctx.parameters = leaps, parameters
        v = torch.zeros_like(x)
        for leap in leaps:
            x, v = leap.forward(x, v, data)
        ctx.save_for_backward(x, v, data)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_x: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, data and parameters; None where none is wanted."""
        x, v, data = ctx.saved_tensors
        of_v = torch.zeros_like(of_x)
        data = data.detach().requires_grad_(ctx.needs_input_grad[2])
        totals: dict[int, Tensor] = {}
        for leap in reversed(ctx.leaps):
            with torch.enable_grad(), torch.autocast(*ctx.autocast):
                x, v = leap.inverse(x.detach().requires_grad_(), v.detach(), data)
            of_v = of_v + of_x
            wanted = [tensor for tensor in (data, *leap.step.parameters()) if tensor.requires_grad]
            of_force, *parts = torch.autograd.grad(v, [x, *wanted], -of_v)  # v has minus the force
            of_x = of_x + of_force
            for tensor, part in zip(wanted, parts):
                totals[id(tensor)] = totals[id(tensor)] + part if id(tensor) in totals else part
        return None, of_x, *(totals.get(id(tensor)) for tensor in (data, *ctx.parameters))


class Reversible(nn.Module):
    """``(y, A) -> x``: the steps of a ``plain`` unrolled network, as leaps."""

    def __init__(self, plain: unrolled.Unrolled) -> None:
        super().__init__()
        self.steps, self.depth, self.quick, self.norm = plain.steps, plain.depth, plain.quick, plain.norm

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        operator = learned.Scaled(A, self.norm)
        data = learned.to_channels(y) / self.norm
        with learned.full_precision(y):
            x = learned.to_channels(self.quick(y, A))
        leaps = [Leap(step, operator) for step in islice(cycle(self.steps), self.depth)]
        x = Chain.apply(leaps, x, data, *self.steps.parameters())
        return learned.from_channels(x, A.dtype)


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained; ValueError for a depth below 1."""
    same = unrolled.GradientSettings(settings.depth, settings.width, settings.tied, settings.seed)
    plain = unrolled.gradient(problem, same)
    assert isinstance(plain, unrolled.Unrolled)
    return Reversible(plain)


METHODS = (
    learned.method(
        "reversible",
        network,
        Settings(),
        Recipe(steps=100_000, batch=5),
        title="Reversible unrolled gradient",
        family="unrolled",
        summary="Ten gradient steps on an image and its velocity, each undone by the backward pass, which keeps none.",
        reference="Chang, Meng, Haber, Ruthotto, Begert & Holtham, AAAI 2018, arXiv:1709.03698",
        depth="depth",
    ),
)
