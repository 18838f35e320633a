"""Plug-and-play: a network trained to take white noise out of images stands in for the proximal map of a prior.

The map is DE-Prox's (``deep_equilibrium.py``), and so is the network, of Lipschitz constant one:

    g = z - t A*(A z - y) / |A|^2,    z <- max(0, g + s R(g)),

but R never sees data: it learns to give back what is missing after Gaussian noise, of a standard deviation drawn for
each image between zero and ``noise`` times the data range. Step t and strength s are tuned (Venkatakrishnan, Bouman &
Wohlberg 2013, doi:10.1109/GlobalSIP.2013.6737048; with such networks Ryu et al. 2019, arXiv:1905.05406). There is no
objective that it minimises, hence an iterative method.

Trained by the common loop, which knows data and truth but not of noisy images: so the network in training draws images
of its own from the training split's law and adds the gradient of its denoising loss (``implicit.penalised``). The loss
that is printed is that of the quick reconstruction; the validation is that of plug-and-play itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from baselines import deq, learned, unet
from baselines.deep_equilibrium import allowed, start
from baselines.regulariser import Regulariser
from recon_bench.core import Log, Operator, Problem
from recon_bench.fixed_point import Map
from recon_bench.implicit import penalised
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """``depth`` to ``history``: of the fixed point, see ``deq.Settings``; ``step`` t, ``strength`` s, ``noise``; of R.

    ``backward``, ``steps``, ``jacobian`` are not used: nothing is trained through the fixed point.
    """

    depth: int = 100
    solver: str = "anderson"
    tolerance: float = 1e-3
    history: int = 5
    step: float = 1.0
    strength: float = 0.3
    noise: float = 0.2
    width: int = 64
    layers: int = 5
    lipschitz: float = 1.0
    backward: str = "jacobian-free"
    steps: int = 1
    jacobian: float = 0.0
    seed: int = 0
    weights: str = ""


class Denoising(nn.Module):
    """A form as in ``deq.py``."""

    def __init__(self, problem: Problem, settings: Settings) -> None:
        super().__init__()
        self.norm, self.step, self.strength = learned.norm_of(problem), settings.step, settings.strength
        self.quick = unet.quick(problem, unet.Settings())
        self.regulariser = Regulariser(1 + problem.complex, settings.width, settings.layers, settings.lipschitz)

    def begin(self, y: Tensor, A: Operator) -> tuple[Map, Tensor]:
        operator, data = learned.Scaled(A, self.norm), learned.to_channels(y) / self.norm
        kernels = self.regulariser.kernels()

        def f(z: Tensor) -> Tensor:
            g = z - self.step * operator.adjoint(operator(z) - data)
            return allowed(g + self.strength * self.regulariser(g, kernels).to(g.dtype), A)

        return f, start(self.quick, y, A)

    def image(self, state: Tensor) -> Tensor:
        return state


class PlugAndPlay(nn.Module):
    """``(y, A) -> x``; in training a denoiser and nothing else."""

    def __init__(self, problem: Problem, settings: Settings) -> None:
        super().__init__()
        self.equilibrium = deq.Equilibrium(Denoising(problem, settings), settings)
        self.problem, self.noise = problem, settings.noise

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        if not self.training:
            return self.equilibrium(y, A)
        form = self.equilibrium.form
        rng = np.random.default_rng(deq.seed_of(y))
        with learned.full_precision(y):
            clean = learned.to_channels(self._truths(rng, len(y))).to(y.device)
        level = torch.from_numpy(rng.uniform(0, self.noise, (len(y), 1, 1, 1))).to(clean)
        noisy = clean + level * torch.from_numpy(rng.standard_normal(clean.shape)).to(clean)
        missing = form.regulariser(noisy, form.regulariser.kernels())  # type: ignore[operator, union-attr]
        x = learned.from_channels(start(form.quick, y, A), A.dtype)  # type: ignore[arg-type]
        return penalised(x, (noisy + missing - clean).float().square().mean())

    def _truths(self, rng: np.random.Generator, count: int) -> Tensor:
        problem = self.problem
        if problem.fresh is not None:
            return problem.fresh(rng, count)[0] / problem.data_range
        chosen = rng.integers(len(problem.train), size=count)
        return torch.stack([problem.train[int(i)].truth for i in chosen]) / problem.data_range


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained: R is near zero."""
    return PlugAndPlay(problem, settings)


METHODS = (
    learned.method(
        "plug-and-play",
        network,
        Settings(),
        Recipe(steps=50_000, batch=1, optimiser="muon", rate=2e-3),
        title="Plug-and-play",
        family="iterative",
        summary="Gradient steps on the data misfit and a network trained to remove white noise take turns.",
        reference="Venkatakrishnan, Bouman & Wohlberg, GlobalSIP 2013, doi:10.1109/GlobalSIP.2013.6737048",
        depth="depth",
        search={"step": Log(0.5, 1.9), "strength": Log(0.03, 1.0)},
    ),
)
