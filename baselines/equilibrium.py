"""A preconditioned equilibrium, and its rival: the same map applied a fixed number of times.

The map is DE-Prox's (``deep_equilibrium.py``) with two changes that decide how fast it gets anywhere and how far:

    g = x - 0.6 B (A x - y),    x <- max(0, g + R(g)),

where B is filtered backprojection (for MRI the adjoint: A A* is the identity already), so that what the data see is
corrected in a few steps, and R is free: nothing bounds its Lipschitz constant, a penalty on the Jacobian keeps the
equilibrium where the solver finds it. Complex images may have any values.

R is a small U-Net (Ronneberger, Fischer & Brox 2015, doi:10.1007/978-3-319-24574-4_28): 3 x 3 convolutions on the image
at full size and on two smaller scales, half the size each, by average pooling down and nearest neighbours up, and with
sums in the place of concatenations. Its last layer starts at zero. The map is trained for a fixed number of steps
first, through all of them, then for its equilibrium; ``--set weights=...`` joins the two. Both have the same parameters
and differ in nothing but what they were trained for.
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
    """Those of an equilibrium; ``width`` and ``scales`` of R."""

    tolerance: float = 5e-4
    steps: int = 20
    jacobian: float = 1e-4
    width: int = 32
    scales: int = 3
    seed: int = 0
    weights: str = ""


@dataclass(frozen=True)
class UnrolledSettings:
    """``depth``: steps, each A and B; ``width`` and ``scales`` of R."""

    depth: int = 8
    width: int = 32
    scales: int = 3
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
    """R: images ``(batch, channels, rows, columns)`` of any size to their correction, by convolutions on ``scales``."""

    def __init__(self, channels: int, width: int, scales: int) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"expected at least 1 scale, got {scales}")
        self.divisor = 2 ** (scales - 1)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.scale = Scale(width, scales - 1, 2 * width)
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(batch, channels, rows, columns)`` to their correction, in the same shape."""
        rows, columns = x.shape[-2:]
        x = functional.pad(x, (0, -columns % self.divisor, 0, -rows % self.divisor), mode="replicate")
        x = functional.relu(self.first(x.contiguous(memory_format=torch.channels_last)))
        return self.last(self.scale(x))[..., :rows, :columns]


class Preconditioned(nn.Module):
    """The map of both: a form as in ``deq.py``."""

    def __init__(self, problem: Problem, width: int, scales: int) -> None:
        super().__init__()
        self.quick = unet.quick(problem, unet.Settings())
        self.corrector = Corrector(1 + problem.complex, width, scales)

    def begin(self, y: Tensor, A: Operator) -> tuple[Map, Tensor]:
        """The map of the state and where it starts, for data ``(batch, *range_shape)``."""

        def f(x: Tensor) -> Tensor:
            with learned.full_precision(y):
                missed = A(learned.from_channels(x, A.dtype)) - y
            g = x - STEP * start(self.quick, missed, A)
            return allowed(g + self.corrector(g).to(g.dtype), A)

        return f, start(self.quick, y, A)

    def image(self, state: Tensor) -> Tensor:
        """The image ``(batch, *domain_shape)`` in a ``state``."""
        return state


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained: nearly least squares."""
    return deq.Equilibrium(Preconditioned(problem, settings.width, settings.scales), settings)


def unrolled(problem: Problem, settings: UnrolledSettings) -> nn.Module:
    """Untrained: steps of preconditioned gradient descent."""
    return deq.Repeated(Preconditioned(problem, settings.width, settings.scales), settings.depth)


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
