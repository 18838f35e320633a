"""The toy measured by other operators too, and a network of one parameter that fits any of them."""

import dataclasses

import torch
from torch import nn

from recon_bench.core import Method
from recon_bench.data import shifts
from recon_bench.operators import RayTransform
from recon_bench.solvers import conjugate_gradients
from tests.helpers_training import GEOMETRY, TOY


def measure_on(geometry):
    """As the toy's images are, with noise of one seed."""
    return lambda truth, rng: (
        RayTransform(geometry)(torch.from_numpy(truth.image)).numpy()
        + 0.05 * rng.standard_normal((len(geometry.angles), geometry.bins))
    )


class Gain(nn.Module):
    """A few conjugate gradients, times a number that should be one."""

    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, y, A):
        x, _ = conjugate_gradients(lambda z: A.adjoint(A(z)), A.adjoint(y), 2, 8)
        return self.gain * x


def network(gain=0.5):
    """A method whose network has one parameter."""

    def build(problem, settings):
        module = Gain(gain).requires_grad_(False)
        return lambda y, A: module(y, A)

    facts = ("gain", "Gain", "unrolled", "Conjugate gradients, times a number.", "none")
    return Method(*facts, build, None, network=lambda *_: Gain(gain))


METHODS = (network(),)
TASKS = (
    dataclasses.replace(
        TOY,
        measure=measure_on(GEOMETRY),
        shifts=shifts.rays(GEOMETRY, measure_on),
        rates=shifts.views(GEOMETRY, measure_on),
    ),
)
