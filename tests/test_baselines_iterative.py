"""Iterative methods and Tikhonov: what they converge to, warm starts, seeds, batches, complex data."""

import dataclasses
import warnings

import pytest
import torch

from baselines import cgls, kaczmarz, landweber, sgd, tikhonov
from recon_bench.core import NotConverged
from recon_bench.operators import MaskedFourier, Matrix, ParallelBeam, RayTransform, evenly, norm
from recon_bench.solvers import conjugate_gradients, dot, split_data, views
from tests.test_baselines_direct import problem

METHODS = {m.name: m for module in (landweber, cgls, kaczmarz, sgd, tikhonov) for m in module.METHODS}


def ray(dtype=torch.float32):
    return RayTransform(ParallelBeam(16, evenly(9, offset=0.1), 25), dtype=dtype)


def mri():
    return MaskedFourier((16, 16), (1, 4, 6, 7, 8, 9, 12))


def matrix(rows=30, columns=20):
    """Well-posed: singular values between 1 and 2."""
    generator = torch.Generator().manual_seed(3)
    U, _, Vt = torch.linalg.svd(torch.randn(rows, columns, generator=generator, dtype=torch.float64), False)
    s = torch.linspace(2, 1, min(rows, columns)).double()
    return Matrix(U @ torch.diag(s) @ Vt, (columns,), (rows,))


def noise(operator, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *operator.range_shape, generator=generator, dtype=operator.dtype)


def least_squares(A, y):
    return torch.linalg.lstsq(A.matrix, y.T).solution.T


def test_cgls_and_landweber_reach_the_least_squares_solution():
    A = matrix()
    y = noise(A)
    assert torch.allclose(cgls.cgls(A, y, 20), least_squares(A, y), atol=1e-8)
    step = 1 / norm(A) ** 2
    x = landweber.landweber(A, y, torch.zeros(2, 20).double(), step, 200)
    assert torch.allclose(x, least_squares(A, y), atol=1e-8)


def test_cgls_decreases_the_misfit_more_than_landweber():
    A = ray()
    y = noise(A)
    zero = torch.zeros(2, 16, 16)
    previous = y.norm()
    for k in (1, 3, 6):
        misfit = (A(cgls.cgls(A, y, k)) - y).norm()
        assert misfit < previous
        assert misfit < (A(landweber.landweber(A, y, zero, 1.9 / norm(A) ** 2, k)) - y).norm() * 1.0001
        previous = misfit


def test_warm_start_is_one_long_run():
    A = ray(torch.float64)
    y = noise(A)
    zero = torch.zeros(2, 16, 16).double()
    step = 1 / norm(A) ** 2
    once = landweber.landweber(A, y, zero, step, 7)
    assert torch.equal(once, landweber.landweber(A, y, landweber.landweber(A, y, zero, step, 3), step, 4))
    built = landweber.build(problem(A), landweber.Settings(iterations=7, relaxation=1.0))
    assert torch.allclose(built(y, A), once)
    parts, scales = kaczmarz.prepare(A)
    data = split_data(A, y, len(parts))
    first = kaczmarz.kaczmarz(parts, scales, data, zero, 0.5, 2)
    twice = kaczmarz.kaczmarz(parts, scales, data, first, 0.5, 3)
    assert torch.equal(twice, kaczmarz.kaczmarz(parts, scales, data, zero, 0.5, 5))


def test_kaczmarz_solves_consistent_equations():
    A = matrix(12, 20)
    x = torch.randn(2, 20, dtype=torch.float64)
    solve = kaczmarz.build(problem(A), kaczmarz.Settings(sweeps=100, relaxation=1.0))
    assert torch.allclose(A(solve(A(x), A)), A(x), atol=1e-6)
    A = ray()
    image = torch.rand(2, 16, 16)
    solve = kaczmarz.build(problem(A), kaczmarz.Settings(sweeps=100, relaxation=1.0))
    assert (A(solve(A(image), A)) - A(image)).norm() < 5e-3 * A(image).norm()


def test_kaczmarz_with_full_relaxation_fills_orthonormal_rows_in_one_sweep():
    A = mri()
    y = noise(A)
    x = kaczmarz.build(problem(A), kaczmarz.Settings(sweeps=1, relaxation=1.0))(y, A)
    assert torch.allclose(x, A.adjoint(y), atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 9, 143, 50])
def test_kaczmarz_visits_every_view_once(n):
    assert sorted(kaczmarz.order(n)) == list(range(n))


@pytest.mark.parametrize("operator", [ray(), mri(), matrix()], ids=["ray", "mri", "matrix"])
def test_split_data_are_the_data_of_the_parts(operator):
    x = torch.randn(3, *operator.domain_shape, dtype=operator.dtype)
    n = views(operator)
    for part, data in zip(operator.split(n), split_data(operator, operator(x), n)):
        assert torch.allclose(part(x), data, atol=1e-4)


@pytest.mark.parametrize("name", ["tikhonov", "tikhonov-gradient"])
def test_tikhonov_solves_its_normal_equations(name):
    A = ray(torch.float64)
    y = noise(A)
    settings = tikhonov.Settings(weight=0.02)
    x = METHODS[name].build(problem(A), settings)(y, A)
    penalty = x if name == "tikhonov" else tikhonov.laplacian(x)
    left = A.adjoint(A(x)) + 0.02 * norm(A) ** 2 * penalty
    assert (left - A.adjoint(y)).norm() <= 2e-4 * A.adjoint(y).norm()


def test_laplacian_is_the_energy_of_neighbouring_differences():
    x = torch.randn(2, 7, 5, dtype=torch.float64)
    energy = x.diff(dim=-2).square().sum((-2, -1)) + x.diff(dim=-1).square().sum((-2, -1))
    assert torch.allclose((x * tikhonov.laplacian(x)).sum((-2, -1)), energy)
    assert tikhonov.laplacian(torch.ones(4, 4)).abs().max() == 0


def test_tikhonov_that_stops_early_says_so():
    A = ray()
    solve = METHODS["tikhonov"].build(problem(A), tikhonov.Settings(weight=1e-3, iterations=2))
    with pytest.warns(NotConverged, match="after 2 iterations"):
        solve(noise(A), A)


def test_conjugate_gradients_leave_finished_images_alone():
    A = ray()
    easy, hard = torch.zeros(1, 16, 16), A.adjoint(noise(A, 1))
    b = torch.cat([easy, hard, A.adjoint(A(hard))])
    x, residual = conjugate_gradients(lambda x: A.adjoint(A(x)) + x, b, 2, 50, 1e-4)
    assert (residual <= 1e-4).all()
    assert x[0].abs().max() == 0
    single = torch.cat([conjugate_gradients(lambda x: A.adjoint(A(x)) + x, one[None], 2, 50, 1e-4)[0] for one in b])
    assert torch.allclose(x, single, atol=1e-5 * float(single.abs().max()))


def test_dot_is_real_and_keeps_dimensions():
    a = torch.randn(2, 3, 4, dtype=torch.complex64)
    assert dot(a, a, 2).shape == (2, 1, 1)
    assert torch.allclose(dot(a, a, 2).flatten(), a.abs().square().sum((1, 2)))


def test_sgd_is_repeatable_and_its_seed_matters():
    A = ray()
    y = noise(A)
    results = [sgd.build(problem(A), sgd.Settings(epochs=3, parts=5, seed=seed))(y, A) for seed in (0, 0, 1)]
    assert torch.equal(results[0], results[1])
    assert not torch.allclose(results[0], results[2])
    again = sgd.build(problem(A), sgd.Settings(epochs=3, parts=5))
    assert torch.equal(again(y, A), again(y, A))


def test_sgd_approaches_the_solution_of_consistent_equations():
    A = matrix()
    x = torch.randn(2, 20, dtype=torch.float64)
    solved = sgd.build(problem(A), sgd.Settings(epochs=200))(A(x), A)
    assert (solved - x).norm() < 1e-2 * x.norm()


@pytest.mark.parametrize("operator", [ray(torch.float64), mri()], ids=["real", "complex"])
@pytest.mark.parametrize("name", METHODS)
def test_a_batch_gives_what_single_images_give(name, operator):
    y = noise(operator, 3)
    reconstruct = METHODS[name].build(problem(operator), METHODS[name].settings)
    together = reconstruct(y, operator)
    assert together.shape == (3, *operator.domain_shape)
    assert together.dtype == operator.dtype
    single = torch.cat([reconstruct(image[None], operator) for image in y])
    assert torch.allclose(together, single, atol=2e-4 * float(single.abs().max()))


@pytest.mark.parametrize("name", ["landweber", "kaczmarz", "sgd", "tikhonov"])
def test_methods_are_linear(name):
    A = ray()
    settings = METHODS[name].settings
    if name == "tikhonov":
        settings = dataclasses.replace(settings, tolerance=1e-6)
    reconstruct = METHODS[name].build(problem(A), settings)
    y, z = noise(A), noise(A, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)  # the rounding of float32 is near this tolerance
        combined, parts = reconstruct(2 * y - z, A), 2 * reconstruct(y, A) - reconstruct(z, A)
    assert torch.allclose(combined, parts, atol=1e-3 * float(parts.abs().max()))


@pytest.mark.parametrize("name", METHODS)
def test_methods_use_the_operator_they_are_given(name):
    """The operator may differ from the problem's: norms and parts must follow it."""
    A, scaled = matrix(), Matrix(3 * matrix().matrix, (20,), (30,))
    if name == "tikhonov-gradient":
        A, scaled = ray(), RayTransform(dataclasses.replace(ray().geometry, pixel=3.0, spacing=3.0))
    y = noise(A)
    method = METHODS[name]
    moved = method.build(problem(A), method.settings)(y, scaled)
    direct = method.build(problem(scaled), method.settings)(y, scaled)
    assert torch.allclose(moved, direct, atol=1e-5)


def test_more_iterations_than_it_takes_do_no_harm():
    for A in (mri(), matrix(12, 20)):
        y = noise(A)
        assert torch.allclose(cgls.cgls(A, y, 40), cgls.cgls(A, y, 14), atol=1e-5)
