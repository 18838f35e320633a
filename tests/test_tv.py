from dataclasses import replace

import pytest
import torch

from baselines import tv
from recon_bench.core import Noise, NotApplicable, NotConverged, Problem, Samples
from recon_bench.operators import Identity, MaskedFourier, ParallelBeam, RayTransform, evenly

SETTINGS = tv.Settings(weight=2e-3, iterations=1500, tolerance=1e-6)
METHODS = {method.name: method for method in tv.METHODS}
NOTHING = Samples(0, lambda index: pytest.fail("a method without training asked for a sample"))


def problem(A):
    return Problem(A, Noise("none"), 1.0, NOTHING, NOTHING)


def solve(name, A, y, **settings):
    method = METHODS[name]
    return method.build(problem(A), replace(method.settings, **settings))(y, A)


def phantom(size):
    x = torch.zeros(2, size, size)
    x[:, size // 4 : -size // 4, size // 3 : -size // 3] = 1
    x[1, size // 2 :, : size // 2] += 0.5
    return x


@pytest.fixture(scope="module")
def ct():
    A = RayTransform(ParallelBeam(32, evenly(12), 47))
    y = A(phantom(32))
    return A, y + 0.3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def mri():
    A = MaskedFourier((32, 32), tuple(range(0, 32, 3)) + (31,))
    u = torch.linspace(0, 2, 32)
    y = A(phantom(32) * torch.exp(1j * (u[:, None] + u**2)))
    return A, y + 0.02 * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))


def variation(x, isotropic=True):
    down, along = torch.zeros_like(x), torch.zeros_like(x)
    down[:, :-1], along[:, :, :-1] = x.diff(dim=1), x.diff(dim=2)
    size = (down.abs() ** 2 + along.abs() ** 2).sqrt() if isotropic else down.abs() + along.abs()
    return size.sum((1, 2))


def objective(A, y, x, weight, isotropic=True):
    w = weight * A.adjoint(y).abs().amax((1, 2))
    return (0.5 * (A(x) - y).abs().square().sum((1, 2)) + w * variation(x, isotropic)).double()


@pytest.mark.parametrize("name", METHODS)
def test_no_perturbation_lowers_the_objective(ct, name):
    A, y = ct
    isotropic, nonneg = "anisotropic" not in name, "nonneg" in name
    x = solve(name, A, y, weight=2e-3, iterations=3000, tolerance=1e-5)
    least = objective(A, y, x, 2e-3, isotropic)
    assert (x >= 0).all() == nonneg
    for seed in range(5):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        for direction in (noise, -x, x.mean() - x, phantom(32) - x):
            for step in (1e-3, 1e-2, 0.1):
                other = x + step * direction
                other = other.clamp(min=0) if nonneg else other
                assert (objective(A, y, other, 2e-3, isotropic) >= least * (1 - 1e-5)).all()


def test_the_gap_falls_and_the_default_tolerance_is_near_the_minimum(ct):
    A, y = ct
    metric = tv.precondition(A)
    seen = {}
    x = tv.minimise(A, y, SETTINGS, True, False, metric, lambda i, x: seen.update({i: x.clone()}))
    least = objective(A, y, x, SETTINGS.weight)
    gaps = [float((objective(A, y, seen[i], SETTINGS.weight) / least - 1).max()) for i in (10, 40, 160)]
    assert gaps[0] > gaps[1] > gaps[2]
    usual = solve("tv-isotropic", A, y, weight=SETTINGS.weight)
    assert (objective(A, y, usual, SETTINGS.weight) <= 1.002 * least).all()
    assert float((usual - x).norm() / x.norm()) < 0.01


def test_with_and_without_preconditioner_the_minimum_is_the_same(ct):
    A, y = ct
    settings = replace(SETTINGS, iterations=20000)
    fast, slow = (tv.minimise(A, y, settings, True, True, tv.precondition(A, filtered)) for filtered in (True, False))
    torch.testing.assert_close(objective(A, y, slow, 2e-3), objective(A, y, fast, 2e-3), rtol=1e-4, atol=0)
    assert float((fast - slow).norm() / fast.norm()) < 5e-3


def test_a_huge_weight_gives_the_best_constant():
    A = RayTransform(ParallelBeam(16, evenly(8), 23))
    y = A(phantom(16))
    x = solve("tv-isotropic", A, y, weight=3.0, iterations=4000, tolerance=1e-5)
    ones = A(torch.ones(1, 16, 16))
    best = (ones * y).sum((1, 2)) / (ones * ones).sum()
    torch.testing.assert_close(x, best[:, None, None].expand_as(x), rtol=1e-2, atol=1e-2)


def test_a_vanishing_weight_fits_the_data():
    A = RayTransform(ParallelBeam(32, evenly(12), 47))
    y = A(phantom(32))
    x = solve("tv-isotropic", A, y, weight=1e-5, iterations=3000)
    assert float((A(x) - y).norm() / y.norm()) < 1e-3


def test_complex_images(mri):
    A, y = mri
    x = solve("tv-isotropic", A, y, weight=2e-3, iterations=3000, tolerance=1e-5)
    assert x.dtype == torch.complex64
    least = objective(A, y, x, 2e-3)
    for seed in range(5):
        noise = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(seed))
        assert (objective(A, y, x + 1e-2 * noise, 2e-3) >= least).all()
    turned = solve("tv-isotropic", A, 1j * y, weight=2e-3, iterations=3000, tolerance=1e-5)
    torch.testing.assert_close(turned, 1j * x, rtol=0, atol=1e-3)


def test_non_negative_complex_images_are_not_applicable(mri):
    with pytest.raises(NotApplicable, match="complex"):
        METHODS["tv-isotropic-nonneg"].build(problem(mri[0]), tv.Settings())


def test_scaled_data_give_the_scaled_image(ct):
    A, y = ct
    x = solve("tv-isotropic-nonneg", A, y)
    torch.testing.assert_close(solve("tv-isotropic-nonneg", A, 100 * y), 100 * x, rtol=1e-2, atol=0.1)


def test_data_without_signal_give_zero(ct):
    A, y = ct
    assert (solve("tv-isotropic", A, torch.zeros_like(y)) == 0).all()


def test_denoising_leaves_the_data_alone():
    A = Identity((32, 32))
    y = phantom(32) + 0.1 * torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0))
    before = y.clone()
    x = solve("tv-isotropic", A, y, weight=0.05)
    assert (y == before).all()
    assert (x - phantom(32)).norm() < 0.5 * (y - phantom(32)).norm()


def test_too_few_iterations_are_told(ct):
    A, y = ct
    with pytest.warns(NotConverged, match=r"after 3 iterations .* raise `iterations`"):
        solve("tv-isotropic", A, y, iterations=3)
