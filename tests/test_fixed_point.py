"""Solvers of z = f(z): they agree, accelerate, stop for each sample alone, and never give what is not finite."""

import dataclasses

import pytest
import torch

from recon_bench import fixed_point
from recon_bench.fixed_point import SOLVERS, Limits, anderson, broyden, picard

EXACT = Limits(iterations=500, tolerance=1e-10, history=5, regularisation=1e-10)
every = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


def contraction(count=3, size=40, factor=0.95):
    """A nonlinear map of ``(count, size)``, each sample with its own matrix of that norm, in float64."""
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(count, size, size, generator=generator, dtype=torch.float64)
    matrices = matrices + matrices.mT
    matrices = factor * matrices / torch.linalg.matrix_norm(matrices, 2)[:, None, None]
    shift = torch.randn(count, size, generator=generator, dtype=torch.float64)
    return lambda z: torch.tanh((matrices @ z[..., None])[..., 0] + shift) + 0.1 * shift


def start(count=3, size=40):
    return torch.zeros(count, size, dtype=torch.float64)


@every
def test_finds_the_fixed_point_and_tells_how(solver):
    f = contraction()
    found = solver(f, start(), EXACT)
    assert found.converged.all() and (found.residual <= 1e-10).all() and not found.lost.any()
    torch.testing.assert_close(f(found.z), found.z, rtol=0, atol=1e-9)
    assert ((found.evaluations > 1) & (found.evaluations < 500)).all()


@pytest.mark.parametrize("solver", [anderson, broyden])
def test_acceleration_takes_half_the_evaluations_of_plain_steps(solver):
    matrix = torch.linspace(-0.9, 0.97, 40, dtype=torch.float64)
    f = lambda z: matrix * z + 0.1 * torch.sin(z).roll(1, 1) * (1 - matrix.abs()) + 1  # noqa: E731
    plain = picard(f, start(1), EXACT)
    found = solver(f, start(1), EXACT)
    assert found.converged.all()
    assert found.evaluations.item() < plain.evaluations.item() / 2


@every
def test_shapes_are_those_of_the_start_and_the_limit_is_kept(solver):
    calls = []
    z = torch.zeros(2, 1, 4, 5)
    f = lambda z: calls.append(1) or torch.cos(z + torch.arange(5))  # noqa: E731
    found = solver(f, z, Limits(iterations=4, tolerance=0.0))
    assert found.z.shape == z.shape and found.z.dtype == z.dtype
    assert len(calls) == 4 and found.evaluations.tolist() == [4, 4]
    assert not z.any()
    none = solver(lambda z: z + 1, z, Limits(iterations=0))
    assert none.evaluations.tolist() == [0, 0] and none.residual.isinf().all() and (none.z == z).all()


@every
def test_a_sample_that_is_done_stays_and_the_slow_one_goes_on(solver):
    factor = torch.tensor([[0.0], [0.1], [0.97]], dtype=torch.float64)
    f = lambda z: factor * z + torch.linspace(1, 2, 40, dtype=torch.float64)  # noqa: E731
    quick, slow = (dataclasses.replace(EXACT, iterations=n, tolerance=1e-6) for n in (10, 500))
    few, many = solver(f, start(), quick), solver(f, start(), slow)
    assert few.converged.tolist()[:2] == [True, True]
    assert torch.equal(few.z[:2], many.z[:2]) and torch.equal(few.evaluations[:2], many.evaluations[:2])


@every
@pytest.mark.parametrize("bad", ["grows", "nan", "overflows"])
def test_a_sample_that_diverges_changes_nothing_for_the_others(solver, bad):
    f = contraction()

    def broken(z):
        value = f(z)
        second = {"grows": 3 * z[1].abs() + 1, "nan": value[1] * torch.nan, "overflows": 1e200 * (z[1] + 1) ** 3}[bad]
        return torch.stack([value[0], second, value[2]])

    good, other = solver(f, start(), EXACT), solver(broken, start(), EXACT)
    for name in ("z", "evaluations", "residual", "converged"):
        whole, part = getattr(good, name), getattr(other, name)
        assert torch.equal(whole[::2], part[::2]), name
    assert not other.converged[1] and torch.isfinite(other.z).all()


@every
def test_nan_on_the_way_goes_back_to_the_best_and_on_from_there(solver):
    f, calls = contraction(), []

    def broken(z):
        calls.append(1)
        return f(z) if len(calls) != 4 else z * torch.nan

    found = solver(broken, start(), EXACT)
    assert found.converged.all() and found.lost.tolist() == [1, 1, 1]
    torch.testing.assert_close(found.z, solver(f, start(), EXACT).z, rtol=0, atol=1e-8)


@every
def test_nan_from_the_start_gives_the_start(solver):
    found = solver(lambda z: z * torch.nan, start() + 1, EXACT)
    assert (found.z == 1).all() and found.residual.isinf().all() and not found.converged.any()
    assert found.evaluations.tolist() == [1, 1, 1]


@every
def test_a_map_that_expands_gives_its_shortest_step(solver):
    f = lambda z: 1 + z * torch.tensor([2.0, -1.5, 30.0], dtype=torch.float64)[:, None]  # noqa: E731
    found = solver(f, start(), EXACT)
    lengths = (f(found.z) - found.z).norm(dim=1)
    assert torch.isfinite(found.z).all() and (lengths <= f(start()).norm(dim=1)).all()
    if solver is picard:
        assert not found.converged.any()


def test_acceleration_finds_fixed_points_that_repel():
    f = lambda z: 1 + z * torch.tensor([2.0, -1.5, 30.0], dtype=torch.float64)[:, None]  # noqa: E731
    for solver in (anderson, broyden):
        assert solver(f, start(), EXACT).converged.all()


@pytest.mark.parametrize("regularisation", [0.0, 1e-4])
def test_anderson_survives_singular_systems(regularisation):
    limits = dataclasses.replace(EXACT, regularisation=regularisation)
    onedimensional = lambda z: 0.5 * z + 1  # noqa: E731  (all steps are parallel: any two make the system singular)
    assert anderson(onedimensional, start(), limits).converged.all()
    same = anderson(lambda z: z + 1, start(), dataclasses.replace(limits, iterations=30))  # all steps are the same
    assert torch.isfinite(same.z).all() and not same.converged.any()


@pytest.mark.parametrize("regularisation", [0.0, 1e-4])
def test_a_singular_system_is_regularised_until_it_is_solved_and_others_keep_theirs(regularisation):
    steps = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    alone = fixed_point._weights([steps[0], steps[1]], regularisation)
    steps[1, 1] = steps[0, 1]  # of the second sample, all steps are the same: any weights are as good
    found = fixed_point._weights([steps[0], steps[1]], regularisation)
    assert found[1].tolist() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert torch.equal(found[0], alone[0]) and not torch.equal(found[1], alone[1])


def test_weights_of_a_hopeless_system_are_a_plain_step():
    steps = [torch.zeros(1, 8), torch.zeros(1, 8)]
    assert fixed_point._weights(steps, 1e-4).tolist() == [[0.0, 1.0]]


@every
def test_a_tolerance_that_cannot_be_met_takes_all_iterations_and_gives_the_best(solver):
    f, generator, lengths = contraction(), torch.Generator().manual_seed(0), []

    def noisy(z):
        value = f(z) + 1e-3 * torch.randn(z.shape, generator=generator, dtype=z.dtype)
        lengths.append((value - z).norm(dim=1) / value.norm(dim=1))
        return value

    found = solver(noisy, start(), dataclasses.replace(EXACT, iterations=60))
    assert found.evaluations.tolist() == [60] * 3 and not found.converged.any()
    assert (found.residual < 1e-2).all() and torch.isfinite(found.z).all()
    shortest = torch.stack(lengths).min(0).values
    torch.testing.assert_close(found.residual, shortest, rtol=1e-2, atol=0)


@every
def test_damping_takes_a_part_of_the_step(solver):
    f = lambda z: -1.5 * z + 1  # noqa: E731  (repels by plain steps)
    assert solver(f, start(), dataclasses.replace(EXACT, damping=0.4)).converged.all()


@pytest.mark.parametrize(("solver", "items"), [(anderson, 2), (broyden, 2)])
def test_history_grows_as_it_is_used_and_not_beyond(solver, items, monkeypatch):
    longest = []
    append = fixed_point._append

    def counted(*arguments):
        append(*arguments)
        longest.append(len(arguments[0]))

    monkeypatch.setattr(fixed_point, "_append", counted)
    solver(contraction(), start(), dataclasses.replace(EXACT, iterations=3))
    assert max(longest) <= 3
    solver(contraction(), start(), EXACT)
    assert max(longest) == EXACT.history


def test_single_precision_and_half_precision_maps():
    f = contraction()
    for solver in SOLVERS.values():
        found = solver(lambda z: f(z.double()).bfloat16(), start().float(), Limits(tolerance=0.02))
        assert found.z.dtype == torch.float32 and found.converged.all()


@pytest.mark.parametrize(
    "wrong", [{"iterations": -1}, {"history": 0}, {"damping": 0.0}, {"damping": 1.5}, {"tolerance": -1.0}]
)
def test_limits_say_what_is_expected(wrong):
    with pytest.raises(ValueError, match="expected"):
        Limits(**wrong)
