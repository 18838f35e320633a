"""A preconditioned equilibrium, and its rival: the same map applied a fixed number of times.

The map is DE-Prox's (``deep_equilibrium.py``) with two changes that decide how fast it gets anywhere and how far:

    g = x - 0.6 B (A x - y),    x <- max(0, g + R(g)),

where B is filtered backprojection (for MRI the adjoint: A A* is the identity already), so that what the data see is
corrected in a few steps, and R is free: nothing bounds its Lipschitz constant, a penalty on the Jacobian keeps the
equilibrium where the solver finds it. Complex images may have any values.

R works on an image of half the size, its pixels of 2 x 2 as channels (as in FFDNet, Zhang, Zuo & Zhang 2018,
doi:10.1109/TIP.2018.2839891): the same number of weights sees twice as far in a quarter of the time. Its last layer
starts at zero. It is trained for a fixed number of steps first, through all of them, then for its equilibrium;
``--set weights=...`` joins the two. Both have the same parameters and differ in nothing but what they were trained for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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
class Settings:
    """``depth`` to ``jacobian``: of the equilibrium, see ``deq.Settings``; ``width`` and ``layers`` of R."""

    depth: int = 50
    solver: str = "anderson"
    tolerance: float = 5e-4
    history: int = 5
    backward: str = "anderson"
    steps: int = 20
    jacobian: float = 1e-4
    width: int = 64
    layers: int = 6
    seed: int = 0
    weights: str = ""


@dataclass(frozen=True)
class UnrolledSettings:
    """``depth``: steps, each A and B; ``width`` and ``layers`` of R."""

    depth: int = 8
    width: int = 64
    layers: int = 6
    seed: int = 0
    weights: str = ""


class Corrector(nn.Module):
    """R: images ``(batch, channels, rows, columns)`` of any size to their correction, by convolutions at half of it."""

    def __init__(self, channels: int, width: int, layers: int) -> None:
        super().__init__()
        if layers < 2:
            raise ValueError(f"expected at least 2 layers, got {layers}")
        sizes = [4 * channels, *[width] * (layers - 1), 4 * channels]
        self.layers = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(sizes))
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(batch, channels, rows, columns)`` to their correction, in the same shape."""
        rows, columns = x.shape[-2:]
        x = functional.pad(x, (0, columns % 2, 0, rows % 2), mode="replicate")
        x = functional.pixel_unshuffle(x, 2)
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x), inplace=True)
        return functional.pixel_shuffle(self.layers[-1](x), 2)[..., :rows, :columns]


class Preconditioned(nn.Module):
    """The map of both: a form as in ``deq.py``."""

    def __init__(self, problem: Problem, width: int, layers: int) -> None:
        super().__init__()
        self.quick = unet.quick(problem, unet.Settings())
        self.corrector = Corrector(1 + problem.complex, width, layers)

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
    return deq.Equilibrium(Preconditioned(problem, settings.width, settings.layers), settings)


def unrolled(problem: Problem, settings: UnrolledSettings) -> nn.Module:
    """Untrained: steps of preconditioned gradient descent."""
    return deq.Repeated(Preconditioned(problem, settings.width, settings.layers), settings.depth)


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
