"""The reversible network: its inverse, its gradients against autograd's, and what it keeps."""

import dataclasses
from itertools import cycle, islice

import pytest
import torch

from baselines.reversible import Leap
from recon_bench import learned, registry
from recon_bench.measurement import Cell
from recon_bench.measurements import memory
from recon_bench.operators import MaskedFourier
from recon_bench.rules import FULL
from recon_bench.tables import growth
from tests.helpers_training import TOY

METHOD = registry.method("reversible")
CT = TOY.problem(dtype=torch.float64)
MRI = dataclasses.replace(CT, operator=MaskedFourier((20, 27), (3, 9, 12, 13, 14, 20), dtype=torch.float64))
both = pytest.mark.parametrize("problem", [CT, MRI], ids=["ct", "mri"])
ties = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])


def made(problem, **settings):
    """A small network with biases and PReLUs that matter, in float64."""
    settings = dataclasses.replace(METHOD.settings, **{"depth": 6, "width": 8} | settings)
    network = learned.untrained(METHOD.network, problem, settings).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 0, 0.1, generator)
    return network


def data(problem):
    generator = torch.Generator().manual_seed(1)
    truth = torch.rand(2, *problem.operator.domain_shape, generator=generator, dtype=problem.operator.dtype)
    return problem.operator(truth)


def by_autograd(network, y, A):
    """The same image and the last velocity, with all of it kept for autograd; and the leaps, start and data."""
    operator, scaled = learned.Scaled(A, network.norm), learned.to_channels(y) / network.norm
    leaps = [Leap(step, operator) for step in islice(cycle(network.steps), network.depth)]
    start = x = learned.to_channels(network.quick(y, A))
    v = torch.zeros_like(x)
    for leap in leaps:
        x, v = leap.forward(x, v, scaled)
    return x, v, leaps, start, scaled


@both
@ties
def test_going_back_from_the_last_image_and_velocity_gives_the_start_at_rest(problem, tied):
    network, y = made(problem, depth=20, tied=tied), data(problem)
    with torch.no_grad():
        x, v, leaps, start, scaled = by_autograd(network, y, problem.operator)
        assert (x - start).norm() > 0.1 * start.norm()
        for leap in reversed(leaps):
            x, v = leap.inverse(x, v, scaled)
    torch.testing.assert_close(x, start, rtol=0, atol=1e-9 * float(start.abs().max()))
    assert v.abs().max() < 1e-9 * start.abs().max()


@both
@ties
def test_gradients_are_those_of_autograd(problem, tied):
    network, A = made(problem, tied=tied), problem.operator
    found = []
    for forward in (network, lambda y, A: learned.from_channels(by_autograd(network, y, A)[0], A.dtype)):
        y = data(problem).requires_grad_()
        x = forward(y, A)
        of_y, *of_weights = torch.autograd.grad(x.abs().square().sum(), [y, *network.parameters()])
        found.append([x, of_y, torch.cat([gradient.flatten() for gradient in of_weights])])
    for ours, expected in zip(*found, strict=True):
        assert (ours - expected).norm() <= 1e-8 * expected.norm() > 0


def test_weights_that_are_frozen_leave_the_gradient_of_the_data():
    network, y = made(CT).requires_grad_(False), data(CT).requires_grad_()
    network(y, CT.operator).square().sum().backward()
    expected = data(CT).requires_grad_()
    by_autograd(network, expected, CT.operator)[0].square().sum().backward()
    torch.testing.assert_close(y.grad, expected.grad, rtol=1e-8, atol=0)


def test_under_autocast_the_way_back_is_computed_as_the_way_there():
    problem = TOY.problem()
    network, y = made(problem).float(), data(problem)
    gradients = []
    for forward in (network, lambda y, A: by_autograd(network, y, A)[0]):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            x = forward(y, problem.operator)
        x.float().square().sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in network.parameters()]))
    assert (gradients[0] - gradients[1]).norm() < 0.02 * gradients[1].norm()


def test_memory_grows_by_parameters_alone_and_not_at_all_where_steps_are_tied():
    slopes = {}
    for name, tied in (("unrolled-gradient", False), ("reversible", False), ("reversible", True)):
        method = registry.method(name)
        cell = Cell(TOY, method, dataclasses.replace(method.settings, width=16, tied=tied), FULL, torch.device("cpu"))
        points = [(depth, memory.at_depth(cell, depth).values["step"]) for depth in (10, 20, 40)]
        slopes[name, tied] = growth.fit(points).slope
    step = sum(parameter.numel() for parameter in made(CT, depth=1, width=16).parameters())
    assert slopes["reversible", False].high < 0.2 * slopes["unrolled-gradient", False].low
    assert slopes["reversible", False].value == pytest.approx(2 * 4 * step / 2**20, rel=0.05)  # and their gradients
    assert slopes["reversible", True].high == pytest.approx(0, abs=1e-6)
