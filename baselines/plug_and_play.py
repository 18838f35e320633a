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
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from baselines import deep_equilibrium
from baselines.deep_equilibrium import Parts, Prox, start
from recon_bench import deq, learned
from recon_bench.core import Log, Operator, Problem
from recon_bench.implicit import penalised
from recon_bench.recipe import Recipe


@dataclass(frozen=True)
class Settings(deep_equilibrium.Settings):
    """As for DE-Prox; ``strength`` s, ``noise``. No gradient goes through the fixed point: its settings lie idle."""

    depth: int = 100
    tolerance: float = 1e-4
    step: float = 1.9
    strength: float = 0.02
    noise: float = 0.2


def network(problem: Problem, settings: Settings) -> nn.Module:
    """Untrained: R is near zero."""
    form = Prox(problem, settings, settings.strength)
    return deq.Equilibrium(form, settings, learning=partial(denoising, problem, settings.noise, form.parts))


def denoising(problem: Problem, noise: float, parts: Parts, y: Tensor, A: Operator) -> Tensor:
    """The quick reconstruction of ``y``, with the gradient of the denoising loss of as many images."""
    rng = np.random.default_rng(deq.seed_of(y))
    with learned.full_precision(y):
        clean = learned.to_channels(truths(problem, rng, len(y))).to(y.device)
    level = torch.from_numpy(rng.uniform(0, noise, (len(y), 1, 1, 1))).to(clean)
    noisy = clean + level * torch.from_numpy(rng.standard_normal(clean.shape)).to(clean)
    missing = parts.regulariser(noisy, parts.regulariser.kernels())
    x = learned.from_channels(start(parts.quick, y, A), A.dtype)
    return penalised(x, (noisy + missing - clean).float().square().mean())


def truths(problem: Problem, rng: np.random.Generator, count: int) -> Tensor:
    """Images ``(count, *domain_shape)`` of the law of the training split, or of the split itself."""
    if problem.fresh is not None:
        return problem.fresh(rng, count)[0] / problem.data_range
    chosen = rng.integers(len(problem.train), size=count)
    return torch.stack([problem.train[int(i)].truth for i in chosen]) / problem.data_range


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
        search={"step": Log(0.5, 1.9), "strength": Log(0.002, 0.5)},
    ),
)
