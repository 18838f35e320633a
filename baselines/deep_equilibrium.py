"""DE-Grad, DE-Prox and DE-ADMM: classical iterations with a network in the place of the prior, at their fixed points.

Gilton, Ongie and Willett 2021, doi:10.1109/TCI.2021.3118944. With A and y divided by the norm of A, a step size t, and
a network R that is to give what is missing in an image:

- Grad: z <- z + t (R(z) - A*(A z - y));
- Prox: g = z - t A*(A z - y), z <- g + R(g);
- ADMM: x = argmin |A x - y|^2 + a |x - (z - u)|^2, z <- x + u + R(x + u), u <- u + t (x - z), where the new z is meant;
    both z and u are states of the iteration, and both are differentiated.

Where images are real, negative values of z become zero. Nothing but R is learned: the fixed points of Grad and ADMM do
not even depend on t. R has Lipschitz constant one (``regulariser.py``) and is the same network as in
``plug_and_play.py``, trained as a denoiser there; ``--set weights=TASK/plug-and-play`` starts from it, as the authors
do. Unlike theirs it has five layers of 32 instead of 17 of 64, and x of ADMM comes from a few steps of conjugate
gradients from z - u.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines import unet
from baselines.modl import consistent
from recon_bench import deq, learned
from recon_bench.core import Operator, Problem, Reconstructor
from recon_bench.fixed_point import Map
from recon_bench.recipe import Recipe
from recon_bench.regulariser import Regulariser


@dataclass(frozen=True)
class Settings(deq.Settings):
    """Those of an equilibrium; ``step`` t; the others of R."""

    step: float = 1.0
    width: int = 32
    layers: int = 5
    lipschitz: float = 1.0
    seed: int = 0
    weights: str = ""


@dataclass(frozen=True)
class AdmmSettings(Settings):
    """As the others; ``weight`` a; the map takes 1 + ``inner`` applications of the pair, of ``depth`` at most."""

    depth: int = 200
    inner: int = 4
    step: float = 0.5
    weight: float = 0.05


class Parts(nn.Module):
    """What the three have in common: R, t, the scaled data and where to start."""

    def __init__(self, problem: Problem, settings: Settings) -> None:
        super().__init__()
        self.norm = learned.norm_of(problem)
        self.quick = unet.quick(problem, unet.Settings())
        self.regulariser = Regulariser(1 + problem.complex, settings.width, settings.layers, settings.lipschitz)
        self.step = settings.step

    def prepare(self, y: Tensor, A: Operator, strength: float = 1.0) -> tuple[learned.Scaled, Tensor, Map, Tensor]:
        """The scaled operator and data, x -> x + strength R(x), and the quick reconstruction."""
        kernels = self.regulariser.kernels()
        denoise: Map = lambda x: x + strength * self.regulariser(x, kernels).to(x.dtype)  # noqa: E731
        return learned.Scaled(A, self.norm), learned.to_channels(y) / self.norm, denoise, start(self.quick, y, A)


class Grad(nn.Module):
    """A step of gradient descent, R in the place of the prior's gradient."""

    def __init__(self, problem: Problem, settings: Settings) -> None:
        super().__init__()
        self.parts = Parts(problem, settings)

    def begin(self, y: Tensor, A: Operator) -> tuple[Map, Tensor]:
        """The map of the state and where it starts, for data ``(batch, *range_shape)``."""
        operator, data, denoise, first = self.parts.prepare(y, A)
        t = self.parts.step
        return lambda z: allowed(z + t * (denoise(z) - z - operator.adjoint(operator(z) - data)), A), first

    def image(self, state: Tensor) -> Tensor:
        """The image ``(batch, *domain_shape)`` in a ``state``."""
        return state


class Prox(nn.Module):
    """A step of gradient descent on the data fit, then R in the place of the prior's proximal map."""

    def __init__(self, problem: Problem, settings: Settings, strength: float = 1.0) -> None:
        super().__init__()
        self.parts, self.strength = Parts(problem, settings), strength

    def begin(self, y: Tensor, A: Operator) -> tuple[Map, Tensor]:
        """The map of the state and where it starts, for data ``(batch, *range_shape)``."""
        operator, data, denoise, first = self.parts.prepare(y, A, self.strength)
        t = self.parts.step
        return lambda z: allowed(denoise(z - t * operator.adjoint(operator(z) - data)), A), first

    def image(self, state: Tensor) -> Tensor:
        """The image ``(batch, *domain_shape)`` in a ``state``."""
        return state


class Admm(nn.Module):
    """A step of ADMM; states are z and u, one after the other in the channels."""

    def __init__(self, problem: Problem, settings: AdmmSettings) -> None:
        super().__init__()
        self.parts, self.inner, self.weight = Parts(problem, settings), settings.inner, settings.weight

    def begin(self, y: Tensor, A: Operator) -> tuple[Map, Tensor]:
        """The map of the state and where it starts, for data ``(batch, *range_shape)``."""
        operator, data, denoise, first = self.parts.prepare(y, A)
        t, weight = self.parts.step, torch.tensor(self.weight).to(data)

        def f(state: Tensor) -> Tensor:
            z, u = state.chunk(2, 1)
            x = consistent(operator, data, z - u, weight, self.inner)
            z = allowed(denoise(x + u), A)
            return torch.cat([z, u + t * (x - z)], 1)

        return f, torch.cat([first, torch.zeros_like(first)], 1)

    def image(self, state: Tensor) -> Tensor:
        """The image ``(batch, *domain_shape)`` in a ``state``."""
        return state.chunk(2, 1)[0]


def start(quick: Reconstructor, y: Tensor, A: Operator) -> Tensor:
    """The quick reconstruction on channels."""
    with learned.full_precision(y):
        return learned.to_channels(quick(y, A))


def allowed(z: Tensor, A: Operator) -> Tensor:
    """The nearest image: real ones are not negative."""
    return z if A.dtype.is_complex else z.relu()


def network(form: Callable[[Problem, Settings], nn.Module]) -> learned.Network:
    """Untrained, with R near zero: nearly without a prior."""
    return lambda problem, settings: deq.Equilibrium(form(problem, settings), settings)


def admm(problem: Problem, settings: AdmmSettings) -> nn.Module:
    """Untrained."""
    if settings.inner < 1 or settings.depth < 1 + settings.inner:
        raise ValueError(f"expected inner >= 1 and depth >= 1 + inner, got {settings}")
    return deq.Equilibrium(Admm(problem, settings), settings, applications=1 + settings.inner)


METHODS = tuple(
    learned.method(
        name,
        made,
        settings,
        Recipe(steps=50_000, batch=1, optimiser="muon", rate=2e-3),
        title=title,
        family="equilibrium",
        summary=f"The fixed point of {summary}, with a network of Lipschitz constant one in the place of the prior.",
        reference="Gilton, Ongie & Willett, IEEE Trans. Comput. Imaging 7, 2021, doi:10.1109/TCI.2021.3118944",
        depth="depth",
    )
    for name, title, made, settings, summary in (
        ("de-grad", "DE-Grad", network(Grad), Settings(step=0.5), "gradient descent"),
        ("de-prox", "DE-Prox", network(Prox), Settings(), "proximal gradient descent"),
        ("de-admm", "DE-ADMM", admm, AdmmSettings(), "ADMM"),
    )
)
