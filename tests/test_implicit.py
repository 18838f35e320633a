"""Equilibria under autograd: gradients are those of a long iteration, memory is that of one application."""

import pytest
import torch
from torch import nn

from recon_bench.fixed_point import Limits
from recon_bench.implicit import (
    RULES,
    SOLVED,
    Backward,
    adjoint_jacobian,
    contraction,
    equilibrium,
    jacobian_energy,
    penalised,
    pulled_back,
    watched,
)

EXACT = Limits(iterations=400, tolerance=1e-12, regularisation=1e-10)
solved = pytest.mark.parametrize("rule", SOLVED)


class Layer(nn.Module):
    """z, y ``(batch, size)`` to ``(batch, size)``; contracts with about ``factor``; in float64."""

    def __init__(self, size=20, factor=0.8):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        matrix = torch.randn(size, size, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(factor * matrix / torch.linalg.matrix_norm(matrix, 2))
        self.data = nn.Parameter(torch.randn(size, size, generator=generator, dtype=torch.float64))

    def forward(self, z, y):
        return torch.tanh(z @ self.weight + y @ self.data)


def data(count=2, size=20):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def jacobian(layer, z, y):
    return torch.autograd.functional.jacobian(lambda x: layer(x, y), z)


def gradients(layer, z, y):
    """Gradients of a loss on ``z`` with respect to weights and y."""
    loss = (z * torch.linspace(-1, 1, z.shape[1], dtype=z.dtype)).sum() + z.square().sum()
    return torch.autograd.grad(loss, [*layer.parameters(), y])


def of_equilibrium(layer, y, backward, solver="anderson", limits=EXACT):
    z = equilibrium(lambda z: layer(z, y), torch.zeros_like(y), solver, limits, backward)
    return gradients(layer, z, y)


def unrolled(layer, y, steps=300):
    z = torch.zeros_like(y)
    for _ in range(steps):
        z = layer(z, y)
    return gradients(layer, z, y)


@solved
@pytest.mark.parametrize("solver", ["picard", "anderson", "broyden"])
def test_gradient_is_that_of_a_long_unrolled_iteration(rule, solver):
    layer, y = Layer(), data().requires_grad_()
    exact = unrolled(layer, y)
    for got, expected in zip(of_equilibrium(layer, y, Backward(rule, EXACT), solver), exact):
        assert (got - expected).norm() <= 1e-5 * expected.norm()


def test_many_phantom_steps_are_exact_and_fewer_are_nearer_than_none():
    layer, y = Layer(), data().requires_grad_()
    exact = torch.cat([g.flatten() for g in unrolled(layer, y)])

    def error(backward):
        got = torch.cat([g.flatten() for g in of_equilibrium(layer, y, backward)])
        return float((got - exact).norm() / exact.norm())

    assert error(Backward("phantom", steps=200)) < 1e-5
    assert error(Backward("phantom", steps=200, damping=0.5)) < 1e-5
    free = error(Backward("jacobian-free"))
    assert error(Backward("phantom", steps=5)) < free / 2
    assert 0.01 < free < 1
    assert error(Backward("phantom", steps=1)) == pytest.approx(free)


def test_watching_tells_of_every_equilibrium_meanwhile():
    layer, y = Layer(), data()
    find = lambda: equilibrium(lambda z: layer(z, y), torch.zeros_like(y), "anderson", EXACT, Backward("phantom"))  # noqa: E731
    with torch.no_grad(), watched() as outer:
        find()
        with watched() as inner:
            value = find()
        find()
    find()
    assert (len(outer), len(inner)) == (3, 1) and inner[0] is outer[1]
    [found] = inner
    assert found.solution.converged.all() and torch.equal(found.f(found.solution.z), value)
    assert found.backward == Backward("phantom")


@pytest.mark.parametrize(
    "backward",
    [*(Backward(rule, EXACT) for rule in RULES), Backward("phantom", steps=4, damping=0.6)],
    ids=[*RULES, "damped"],
)
def test_what_a_rule_makes_of_a_gradient_is_what_autograd_gets(backward):
    layer, y = Layer(), data().requires_grad_()
    with watched() as seen:
        z = equilibrium(lambda z: layer(z, y), torch.zeros_like(y), "anderson", EXACT, backward)
    g = torch.linspace(-1, 1, y.shape[1], dtype=y.dtype).expand_as(y)
    got = torch.autograd.grad(z, y, g)[0]
    at = seen[0].solution.z.detach()
    w, products = pulled_back(adjoint_jacobian(lambda z: layer(z, y), at), g, backward)
    expected = torch.autograd.grad(layer(at, y), y, w)[0]
    assert (got - expected).norm() <= 1e-9 * expected.norm()
    if backward.rule not in SOLVED:
        assert products.tolist() == [backward.steps - 1 if backward.rule == "phantom" else 0] * 2


def test_backward_is_accelerated():
    slopes = torch.linspace(-0.9, 0.97, 20, dtype=torch.float64)
    adjoint = adjoint_jacobian(lambda z: slopes * z, data())
    limits = Limits(iterations=400, tolerance=1e-6)
    products = {rule: pulled_back(adjoint, data(), Backward(rule, limits))[1].max() for rule in SOLVED}
    assert products["anderson"] < 0.8 * products["neumann"]
    assert products["broyden"] < 0.8 * products["neumann"]


@pytest.mark.parametrize("rule", RULES)
def test_saved_for_backward_does_not_grow_with_iterations(rule):
    def saved(iterations):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
            layer, y = Layer(), data().requires_grad_()
            limits = Limits(iterations=iterations, tolerance=0.0)
            z = equilibrium(lambda z: layer(z, y), torch.zeros_like(y), "anderson", limits, Backward(rule))
            before = sum(sizes)
            z.sum().backward()
        return before

    assert saved(2) == saved(40) > 0


def test_without_gradients_it_is_one_more_application():
    layer, y = Layer(), data()
    with torch.no_grad():
        z = equilibrium(lambda z: layer(z, y), torch.zeros_like(y), "picard", Limits(3, 0.0), Backward())
        assert torch.equal(z, layer(layer(layer(torch.zeros_like(y), y), y), y))
    assert not z.requires_grad


def test_backward_twice_with_a_kept_graph_gives_the_same():
    layer, y = Layer(), data().requires_grad_()
    z = equilibrium(lambda z: layer(z, y), torch.zeros_like(y), "anderson", EXACT, Backward("anderson", EXACT))
    first = torch.autograd.grad(z.sum(), y, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(z.sum(), y)[0])


def test_second_derivatives_are_refused_where_a_rule_solves():
    layer, y = Layer(), data().requires_grad_()
    z = equilibrium(lambda z: layer(z, y), torch.zeros_like(y), "anderson", EXACT, Backward("anderson", EXACT))
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(z.sum(), y, create_graph=True)
    z = equilibrium(lambda z: layer(z, y), torch.zeros_like(y), "anderson", EXACT, Backward("phantom", steps=2))
    (first,) = torch.autograd.grad(z.sum(), y, create_graph=True)
    assert torch.autograd.grad(first.sum(), y)[0].any()


def test_two_states_are_both_differentiated():
    """Both halves of the state depend on each other and on y, as in ADMM."""
    layer, y = Layer(40), data().requires_grad_()
    f = lambda z: layer(z, torch.cat([y, torch.zeros_like(y)], 1))  # noqa: E731
    z = equilibrium(f, torch.zeros(2, 40, dtype=y.dtype), "anderson", EXACT, Backward("anderson", EXACT))
    got = gradients(layer, z[:, :20], y)
    z = torch.zeros(2, 40, dtype=y.dtype)
    for _ in range(300):
        z = f(z)
    for one, other in zip(got, gradients(layer, z[:, :20], y)):
        assert (one - other).norm() <= 1e-5 * other.norm()


@solved
def test_a_map_that_expands_gives_finite_gradients(rule):
    layer, y = Layer(factor=3.0), data().requires_grad_()
    for gradient in of_equilibrium(layer, y, Backward(rule), limits=Limits(20)):
        assert torch.isfinite(gradient).all()


@solved
def test_a_sample_that_diverges_leaves_the_gradient_of_the_others(rule):
    layer = Layer()

    def gradient(expand):
        y = data(3).requires_grad_()
        slope = torch.tensor([[0.5], [expand], [0.5]], dtype=y.dtype)
        f = lambda z: slope * z.abs() + layer(z, y)  # noqa: E731
        z = equilibrium(f, torch.zeros_like(y), "anderson", Limits(60), Backward(rule, Limits(60)))
        return torch.autograd.grad(z.sum(), y)[0]

    calm, wild = gradient(0.5), gradient(1e30)
    assert torch.equal(calm[::2], wild[::2]) and torch.isfinite(wild).all()


def test_the_energy_of_the_jacobian_is_estimated_without_bias():
    layer, y = Layer(), data()
    z = torch.zeros_like(y)
    exact = [jacobian(layer, *pair).square().sum() / 20 for pair in zip(z, y)]
    found = torch.stack([jacobian_energy(lambda z: layer(z, y), z, seed) for seed in range(300)]).mean(0)
    torch.testing.assert_close(found, torch.stack(exact), rtol=0.1, atol=0)
    scaling = jacobian_energy(lambda z: 0.7 * z, z, 0)
    torch.testing.assert_close(scaling, torch.full_like(scaling, 0.49))


def test_the_penalty_lowers_the_norm_of_the_jacobian():
    layer, y = Layer(factor=1.5), data()
    f, z = lambda z: layer(z, y), torch.zeros_like(y)
    before = contraction(f, z)
    optimiser = torch.optim.Adam(layer.parameters(), 0.01)
    for seed in range(50):
        optimiser.zero_grad()
        out = penalised(f(z).detach(), jacobian_energy(f, z, seed).mean())
        out.sum().backward()
        optimiser.step()
    assert (contraction(f, z) < 0.8 * before).all()


def test_the_penalty_leaves_values_and_adds_to_gradients():
    w = torch.ones(3, requires_grad=True)
    x = penalised(2 * w, w.square().sum())
    assert torch.equal(x, 2 * w)
    x.sum().backward()
    assert torch.equal(w.grad, torch.full((3,), 4.0))


def test_contraction_is_the_norm_of_the_jacobian():
    layer, y = Layer(), data()
    z = torch.zeros_like(y)
    exact = [torch.linalg.matrix_norm(jacobian(layer, *pair), 2) for pair in zip(z, y)]
    torch.testing.assert_close(contraction(lambda z: layer(z, y), z, 100), torch.stack(exact), rtol=1e-3, atol=0)


@pytest.mark.parametrize("wrong", [{"rule": "magic"}, {"steps": 0}, {"damping": 0.0}])
def test_backward_says_what_is_expected(wrong):
    with pytest.raises(ValueError, match="expected"):
        Backward(**wrong)


def test_an_unknown_solver_is_named():
    with pytest.raises(ValueError, match="expected a solver of picard, anderson, broyden, got 'newton'"):
        equilibrium(lambda z: z, torch.zeros(1, 1), "newton", Limits(), Backward())
