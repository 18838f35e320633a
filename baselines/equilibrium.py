"""A preconditioned equilibrium, and its rival: the same map applied a fixed number of times.

The map is DE-Prox's (``deep_equilibrium.py``) with three changes that decide how fast it gets anywhere and how far:

    r = B (A x - y),    (d, h) <- R(x - 0.6 r, r, h),    x <- max(0, x - 0.6 r + d),    h <- tanh(h),

where B is filtered backprojection (for MRI the adjoint: A A* is the identity already), so that what the data see is
corrected in a few steps; R sees what was missed beside the image, and some channels h that only it reads; and R is
free: nothing bounds its Lipschitz constant, a penalty on the Jacobian keeps the equilibrium where the solver finds it.
Complex images may have any values.

R is a small U-Net without skips to its last layer, of two convolutions before and after each halving; its last layer
starts at zero. It is trained for a fixed number of steps first, through all of them, then for its equilibrium;
``--set weights=...`` joins the two. Both have the same parameters and differ in nothing but what they were trained for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines import unet
from baselines.deep_equilibrium import allowed, start
from recon_bench import deq, learned
from recon_bench.core import Operator, Problem
from recon_bench.fixed_point import Map
from recon_bench.recipe import Recipe

STEP = 0.6


@dataclass(frozen=True)
class Settings(deq.Settings):
    """Those of an equilibrium; ``width`` and ``scales`` of R, ``hidden`` channels of the state beside the image."""

    tolerance: float = 5e-4
    steps: int = 20
    jacobian: float = 1e-4
    width: int = 32
    scales: int = 3
    hidden: int = 8
    seed: int = 0
    weights: str = ""


@dataclass(frozen=True)
class UnrolledSettings:
    """``depth``: steps, each A and B; ``width``, ``scales`` and ``hidden`` as in :class:`Settings`."""

    depth: int = 8
    width: int = 32
    scales: int = 3
    hidden: int = 8
    seed: int = 0
    weights: str = ""


class Scale(nn.Module):
    """Two 3 x 3 convolutions of ``width``, between them what the scales below, of half the size each, find.

    Those have twice the width, at most ``most``.
    """

    def __init__(self, width: int, below: int, most: int) -> None:
        super().__init__()
        self.before, self.after = convolution(width, width), convolution(width, width)
        self.below = None
        if below:
            inner = Scale(min(2 * width, most), below - 1, most)
            self.below = (
                inner
                if width == most
                else nn.Sequential(convolution(width, most), nn.ReLU(), inner, convolution(most, width))
            )

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(batch, width, rows, columns)``, sides divisible by 2 ** below, to the same shape."""
        x = functional.relu(self.before(x))
        if self.below is not None:
            x = x + functional.interpolate(self.below(functional.avg_pool2d(x, 2)), scale_factor=2.0)
        return functional.relu(self.after(x))


def convolution(before: int, after: int) -> nn.Conv2d:
    """3 x 3, from so many channels to so many."""
    return nn.Conv2d(before, after, 3, padding=1)


class Corrector(nn.Module):
    """R: ``seen`` channels of any size ``(batch, seen, rows, columns)`` to ``made`` ones, on so many ``scales``."""

    def __init__(self, seen: int, made: int, width: int, scales: int) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"expected at least 1 scale, got {scales}")
        self.divisor = 2 ** (scales - 1)
        self.first = convolution(seen, width)
        self.scale = Scale(width, scales - 1, 2 * width)
        self.last = convolution(width, made)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, seen, rows, columns)`` to ``(batch, made, rows, columns)``."""
        rows, columns = x.shape[-2:]
        x = functional.pad(x, (0, -columns % self.divisor, 0, -rows % self.divisor), mode="replicate")
        x = functional.relu(self.first(x.contiguous(memory_format=torch.channels_last)))
        return self.last(self.scale(x))[..., :rows, :columns]


class Preconditioned(nn.Module):
    """The map of both: a form as in ``deq.py``."""

    def __init__(self, problem: Problem, width: int, scales: int, hidden: int) -> None:
        super().__init__()
        if hidden < 0:
            raise ValueError(f"expected hidden >= 0, got {hidden}")
        self.quick = unet.quick(problem, unet.Settings())
        self.channels, self.hidden = 1 + problem.complex, hidden
        self.corrector = Corrector(2 * self.channels + hidden, self.channels + hidden, width, scales)

    def begin(self, y: Tensor, A: Operator) -> tuple[Map, Tensor]:
        """The map of the state and where it starts, for data ``(batch, *range_shape)``."""

        def f(state: Tensor) -> Tensor:
            x, h = state.split((self.channels, self.hidden), 1)
            with learned.full_precision(y):
                missed = A(learned.from_channels(x, A.dtype)) - y
            r = start(self.quick, missed, A)
            g = x - STEP * r
            d, h = self.corrector(torch.cat((g, r, h), 1)).to(g.dtype).split((self.channels, self.hidden), 1)
            return torch.cat((allowed(g + d, A), torch.tanh(h)), 1)

        x = start(self.quick, y, A)
        return f, functional.pad(x, (0, 0, 0, 0, 0, self.hidden))

    def image(self, state: Tensor) -> Tensor:
        """The image ``(batch, *domain_shape)`` in a ``state``."""
        return state[:, : self.channels]


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained: nearly least squares."""
    return deq.Equilibrium(Preconditioned(problem, settings.width, settings.scales, settings.hidden), settings)


def unrolled(problem: Problem, settings: UnrolledSettings) -> nn.Module:
    """Untrained: steps of preconditioned gradient descent."""
    return deq.Repeated(Preconditioned(problem, settings.width, settings.scales, settings.hidden), settings.depth)


RECIPE = Recipe(steps=50_000, batch=1, optimiser="muon", rate=2e-3)
REFERENCE = "Gilton, Ongie & Willett, IEEE Trans. Comput. Imaging 7, 2021, doi:10.1109/TCI.2021.3118944"
METHODS = (
    learned.method(
        "equilibrium",
        network,
        Settings(),
        RECIPE,
        title="Preconditioned equilibrium",
        family="equilibrium",
        summary="The fixed point of a data step by filtered backprojection (MRI: the adjoint) and a small network.",
        reference=REFERENCE,
        depth="depth",
    ),
    learned.method(
        "equilibrium-unrolled",
        unrolled,
        UnrolledSettings(),
        RECIPE,
        title="Preconditioned equilibrium's map, unrolled",
        family="unrolled",
        summary="The preconditioned equilibrium's map, eight times and trained for that; the same weights in each.",
        reference=REFERENCE,
        depth="depth",
    ),
)
