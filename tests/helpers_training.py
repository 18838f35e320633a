"""A toy task and its networks: discs on 32 x 32 pixels, twelve views, data range 2. Everything trains in seconds."""

from __future__ import annotations

import dataclasses
import signal
from functools import partial

import numpy as np
import torch

from recon_bench import learned, registry
from recon_bench.core import Noise
from recon_bench.operators import ParallelBeam, RayTransform, evenly
from recon_bench.recipe import Recipe
from recon_bench.task import Task, Truth

GEOMETRY = ParallelBeam(32, evenly(12), 47)
A = RayTransform(GEOMETRY)
RECIPE = Recipe(steps=60, batch=4, rate=3e-3, validate=20, validation_images=3)


def fresh(rng, n):
    grid = np.arange(32) - 15.5
    x, y, radius, value = rng.uniform((-8, -8, 3, 0.5), (8, 8, 7, 2), (n, 4)).T[..., None, None]
    truth = torch.from_numpy(value * ((grid - x) ** 2 + (grid[:, None] - y) ** 2 <= radius**2)).float()
    return truth, A(truth) + torch.from_numpy(0.2 * rng.standard_normal((n, *A.range_shape))).float()


def draw(split, index):
    truth, data = fresh(np.random.default_rng([len(split), index]), 1)
    return Truth(truth[0].numpy(), source=data[0].numpy())


TOY = Task(
    name="toy",
    version=1,
    family="ct",
    title="Discs",
    description="Discs.",
    make_operator=partial(RayTransform, GEOMETRY),
    draw=draw,
    measure=lambda truth, rng: truth.source,
    seed=0,
    sizes={"train": 6, "validation": 3, "test": 3},
    noise=Noise("gaussian", 0.05),
    data_range=2.0,
    card={},
    fingerprint=lambda: "",
    fresh=fresh,
)


def method(name, network, settings):
    """A learned method with the toy's recipe."""
    facts = {"title": name, "family": "unrolled", "summary": "A toy.", "reference": "none", "depth": None}
    return learned.method(name, network, settings, RECIPE, **facts)


def method_of(name, **settings):
    """The registered method of that name, with the toy's recipe and a small network by default."""
    found = registry.method(name)
    return method(name, found.network, dataclasses.replace(found.settings, **settings))


UNET = method_of("unet", width=4, scales=2)
PRIMAL_DUAL = method_of("learned-primal-dual", depth=2, memory=2, width=4)


def reconstruct(method, task=TOY, **settings):
    """The reconstruction of the toy's first test image by the trained method."""
    problem = task.problem()
    chosen = dataclasses.replace(method.settings, **settings)
    return method.build(problem, chosen)(task.samples("test")[0].data[None], problem.operator)


class Failing(torch.nn.Module):
    """A network that misbehaves as told: "nan" in its loss or a "stop" after some calls, or too large for "memory"."""

    def __init__(self, trouble):
        super().__init__()
        self.trouble, self.calls = trouble, 0
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, y, A):
        self.calls += self.training
        if self.trouble == "memory" and len(y) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.trouble == "stop" and self.calls == 25:
            signal.raise_signal(signal.SIGINT)
        x = self.weight * learned.Scaled(A, 1000.0).adjoint(y)
        return x * torch.nan if self.trouble == "nan" and self.calls > 25 else x


def failing(trouble):
    """A method with such a network."""
    return method("failing", lambda problem, settings: Failing(trouble), PRIMAL_DUAL.settings)
