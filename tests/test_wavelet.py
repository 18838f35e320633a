from dataclasses import replace

import pytest
import torch

from baselines import wavelet
from recon_bench.core import Noise, NotConverged, Problem, Samples
from recon_bench.operators import Identity, MaskedFourier, ParallelBeam, RayTransform, evenly
from recon_bench.operators.wavelet import Wavelet

METHODS = {method.name: method for method in wavelet.METHODS}
NOTHING = Samples(0, lambda index: pytest.fail("a method without training asked for a sample"))


def solve(name, A, y, **settings):
    method = METHODS[name]
    return method.build(Problem(A, Noise("none"), 1.0, NOTHING, NOTHING), replace(method.settings, **settings))(y, A)


@pytest.fixture(scope="module")
def ct():
    A = RayTransform(ParallelBeam(32, evenly(12), 47))
    x = torch.zeros(2, 32, 32)
    x[:, 8:-8, 10:-10] = 1
    x[1, 16:, :16] += 0.5
    y = A(x)
    return A, y + 0.3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))


def objective(A, y, x, settings):
    W = Wavelet(A.domain_shape, settings.wavelet, settings.levels, dtype=x.dtype)
    c = W(x).abs()
    c[:, : W.coarse[0], : W.coarse[1]] = 0
    w = settings.weight * A.adjoint(y).abs().amax((1, 2))
    return (0.5 * (A(x) - y).abs().square().sum((1, 2)) + w * c.sum((1, 2))).double()


@pytest.mark.parametrize("name", ["haar", "db4", "sym8"])
@pytest.mark.parametrize("shape", [(64, 64), (48, 32), (61, 37), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_transform_is_orthonormal(name, shape, dtype):
    W = Wavelet(shape, name, 4, dtype=dtype)
    x = torch.randn(3, 2, *shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    c = W(x)
    assert c.shape == x.shape and c.dtype == dtype
    torch.testing.assert_close(W.adjoint(c), x)
    torch.testing.assert_close(c.norm(), x.norm())


def test_details_of_a_constant_vanish_and_of_an_edge_are_few():
    W = Wavelet((64, 64), "db4", 3, dtype=torch.float64)
    c = W(torch.ones(64, 64, dtype=torch.float64))
    c[: W.coarse[0], : W.coarse[1]] = 0
    assert c.abs().max() < 1e-12
    edge = torch.zeros(64, 64, dtype=torch.float64)
    edge[20:40, 20:40] = 1
    assert (W(edge).abs() > 1e-10).double().mean() < 0.25


def test_only_orthogonal_wavelets():
    with pytest.raises(ValueError, match=r"orthogonal wavelet .* got bior2.2"):
        Wavelet((8, 8), "bior2.2")


def test_the_objective_of_ista_falls_at_every_step(ct):
    A, y = ct
    settings = wavelet.Settings(weight=5e-3, iterations=40, tolerance=0.0)
    W = Wavelet(A.domain_shape)
    values = []
    with pytest.warns(NotConverged):
        wavelet.minimise(
            A, y, settings, False, W, wavelet.steps(A, W), lambda i, x: values.append(objective(A, y, x, settings))
        )
    values = torch.stack(values)
    assert (values.diff(dim=0) <= 1e-6 * values[:-1]).all()


def test_fista_is_nearer_to_the_common_minimum_after_as_many_steps(ct):
    A, y = ct
    settings = wavelet.Settings(weight=5e-3)
    at = {"weight": 5e-3, "tolerance": 1e-6}
    least = objective(A, y, solve("fista", A, y, iterations=3000, **at), settings)
    slow = objective(A, y, solve("ista", A, y, iterations=8000, **at), settings)
    torch.testing.assert_close(slow, least, rtol=1e-4, atol=0)
    with pytest.warns(NotConverged):
        few = [objective(A, y, solve(name, A, y, iterations=50, **at), settings) for name in ("fista", "ista")]
    assert (few[0] < few[1]).all()


def test_no_perturbation_lowers_the_objective(ct):
    A, y = ct
    settings = wavelet.Settings(weight=5e-3)
    x = solve("fista", A, y, weight=5e-3, iterations=3000, tolerance=1e-6)
    least = objective(A, y, x, settings)
    for seed in range(5):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        for direction in (noise, -x, x.mean() - x):
            assert (objective(A, y, x + 1e-2 * direction, settings) >= least * (1 - 1e-5)).all()


def test_denoising_is_one_soft_threshold_of_the_details():
    A = Identity((32, 32))
    y = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0))
    before = y.clone()
    x = solve("fista", A, y, weight=0.2, tolerance=1e-6)
    assert (y == before).all()
    W = Wavelet((32, 32))
    c, expected = W(x), W(y)
    shrunk = expected.sign() * (expected.abs() - 0.2 * y.abs().amax((1, 2), keepdim=True)).clamp(min=0)
    shrunk[:, : W.coarse[0], : W.coarse[1]] = expected[:, : W.coarse[0], : W.coarse[1]]
    torch.testing.assert_close(c, shrunk, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_the_phase_of_complex_images_does_not_matter(name):
    A = MaskedFourier((32, 32), (*range(0, 32, 3), 31))
    y = torch.randn(2, *A.range_shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    x = solve(name, A, y, weight=0.05, iterations=2000)
    assert x.dtype == torch.complex64
    torch.testing.assert_close(solve(name, A, 1j * y, weight=0.05, iterations=2000), 1j * x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_data_without_signal_give_zero(ct, name):
    A, y = ct
    assert (solve(name, A, torch.zeros_like(y)) == 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_too_few_iterations_are_told(ct, name):
    A, y = ct
    with pytest.warns(NotConverged, match=rf"{name.upper()} stopped after 3 iterations .* raise `iterations`"):
        solve(name, A, y, iterations=3)
