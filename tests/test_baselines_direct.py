"""Filtered backprojection, truncated SVD and zero-filling: scale, alignment, linearity, limits."""

import math

import pytest
import torch

from baselines import fbp, tsvd, zero_filled
from recon_bench.core import Noise, NotApplicable, Problem, Samples
from recon_bench.operators import Identity, MaskedFourier, Matrix, ParallelBeam, RayTransform, evenly


def problem(operator):
    nothing = Samples(0, lambda index: None)
    return Problem(operator, Noise("none"), 1.0, nothing, nothing)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_BENCH_CACHE", str(tmp_path))


def disc_data(g, x, y, radius):
    """Exact line integrals of a disc of value 1."""
    angles = torch.tensor(g.angles)[:, None]
    s = (torch.arange(g.bins) - (g.bins - 1) / 2) * g.spacing + g.shift
    return 2 * (radius**2 - (s - x * angles.cos() - y * angles.sin()) ** 2).clamp(min=0).sqrt()


def distance(g, x, y):
    """Of every pixel centre to the point (x, y)."""
    grid = (torch.arange(g.size) - (g.size - 1) / 2) * g.pixel
    return torch.hypot(grid[None, :] - x, -grid[:, None] - y)


def ramlak(A, y):
    return fbp.build(problem(A), fbp.Settings("ram-lak", 1.0))(y[None], A)[0]


SCANS = {
    "plain": ParallelBeam(96, evenly(240), 140),
    "odd size": ParallelBeam(95, evenly(240), 139),
    "fine bins": ParallelBeam(96, evenly(240), 280, spacing=0.5),
    "wide bins": ParallelBeam(96, evenly(240), 70, spacing=2.0),
    "moved detector": ParallelBeam(96, evenly(240), 150, shift=3.3),
    "small unit": ParallelBeam(96, evenly(240), 140, spacing=0.01, pixel=0.01),
    "whole turn": ParallelBeam(96, evenly(240, stop=2 * math.pi), 140),
    "uneven views": ParallelBeam(96, tuple(math.pi * (i / 300 + (i / 300) ** 2) / 2 for i in range(300)), 140),
}


@pytest.mark.parametrize("name", SCANS)
def test_fbp_gives_a_disc_its_value_and_its_place(name):
    g = SCANS[name]
    x, y, radius = 10.3 * g.pixel, -15.2 * g.pixel, 22 * g.pixel
    image = ramlak(RayTransform(g), disc_data(g, x, y, radius))
    away = distance(g, x, y)
    inside = image[away < radius - 3 * g.pixel]
    outside = image[(away > radius + 3 * g.pixel) & (away < 44 * g.pixel)]
    assert inside.mean() == pytest.approx(1, abs=0.01)
    assert abs(outside.mean()) < 0.01
    grid = (torch.arange(g.size) - (g.size - 1) / 2) * g.pixel
    centre = torch.stack([(image * grid[None, :]).sum(), (image * -grid[:, None]).sum()]) / image.sum()
    assert torch.allclose(centre, torch.tensor([x, y]), atol=0.1 * g.pixel)


def test_fbp_of_a_limited_range_weighs_each_view_by_its_own_step():
    weights = fbp.view_weights(evenly(60, stop=math.pi / 2))
    assert torch.allclose(weights, torch.full_like(weights, math.pi / 120))
    assert fbp.view_weights(evenly(50, start=1.0, stop=1 + 2 * math.pi)).sum() == pytest.approx(math.pi)
    assert fbp.view_weights((0.3,)).tolist() == pytest.approx([math.pi])


def test_ramp_is_the_absolute_frequency_and_windows_fall_from_one_to_their_end():
    response = fbp.ramp(100, 0.5)
    frequency = torch.linspace(0, 1, len(response)).double()  # 1 is Nyquist, 1 / (2 spacing)
    assert torch.allclose(response[5:], frequency[5:], rtol=0.02)
    assert 0 < response[0] < 0.01  # not 0: that would lose the mean
    for name in fbp.FILTERS:
        window = fbp.window(name, 0.5, frequency)
        assert window[0] == pytest.approx(1)
        assert (window[frequency > 0.5] == 0).all()
        assert (window.diff() <= 1e-12).all()


def test_fbp_says_what_is_wrong_with_its_settings_and_tasks():
    A = RayTransform(ParallelBeam(16, evenly(8), 24))
    with pytest.raises(ValueError, match="expected a filter"):
        fbp.build(problem(A), fbp.Settings("hanning"))
    with pytest.raises(ValueError, match="cutoff"):
        fbp.build(problem(A), fbp.Settings("hann", 1.5))
    with pytest.raises(
        NotApplicable, match="needs a parallel-beam ray transform, this task measures with MaskedFourier"
    ):
        fbp.build(problem(MaskedFourier((16, 16), (7, 8, 9))), fbp.Settings())


def operators():
    ray = RayTransform(ParallelBeam(20, evenly(9, offset=0.1), 30))
    moved = RayTransform(ParallelBeam(20, evenly(9), 30, shift=0.4))
    return {"ray": (fbp, ray), "ray svd": (tsvd, ray), "moved": (tsvd, moved), "mri": (zero_filled, mri())}


def mri():
    return MaskedFourier((20, 20), tuple(range(0, 20, 3)))


@pytest.mark.parametrize("name", ["ray", "ray svd", "moved", "mri"])
def test_direct_methods_are_linear_and_treat_a_batch_as_single_images(name):
    module, A = operators()[name]
    reconstruct = module.build(problem(A), module.Settings())
    y, z = torch.randn(2, 3, *A.range_shape, dtype=A.dtype)
    together = reconstruct(2 * y - 3 * z, A)
    scale = together.abs().max()
    assert torch.allclose(together, 2 * reconstruct(y, A) - 3 * reconstruct(z, A), atol=1e-4 * scale)
    single = torch.cat([reconstruct(image[None], A) for image in y])
    assert torch.allclose(reconstruct(y, A), single, atol=1e-4 * scale)


def test_full_rank_svd_inverts_and_a_truncated_one_projects():
    torch.manual_seed(0)
    U, V = (torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64))[0] for _ in range(2))
    s = torch.linspace(3, 1, 12).double()
    A = Matrix(U @ torch.diag(s) @ V.T, (12,), (12,))
    x = torch.randn(4, 12, dtype=torch.float64)
    full = tsvd.build(problem(A), tsvd.Settings(rank=12))
    assert torch.allclose(full(A(x), A), x, atol=1e-10)
    truncated = tsvd.build(problem(A), tsvd.Settings(rank=5))
    assert torch.allclose(truncated(A(x), A), x @ V[:, :5] @ V[:, :5].T, atol=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.4])
@pytest.mark.parametrize("bins", [30, 31])
def test_singular_values_of_the_ray_transform_are_those_of_its_matrix(shift, bins):
    A = RayTransform(ParallelBeam(20, evenly(6), bins, shift=shift), dtype=torch.float64)
    pixels = torch.eye(400, dtype=torch.float64).reshape(400, 20, 20)
    expected = torch.linalg.svdvals(A(pixels).flatten(1))
    vectors, squared = tsvd.spectrum(A)
    assert torch.allclose(squared.sqrt(), expected[: len(squared)], atol=1e-6)
    assert torch.allclose(vectors.T @ vectors, torch.eye(len(squared)).double(), atol=1e-8)


def test_svd_says_why_it_cannot():
    with pytest.raises(NotApplicable, match="all singular values are equal"):
        tsvd.build(problem(mri()), tsvd.Settings())
    with pytest.raises(NotApplicable, match="all singular values are equal"):
        tsvd.build(problem(Identity((5, 5))), tsvd.Settings())
    large = RayTransform(ParallelBeam(64, evenly(80), 90))
    with pytest.raises(NotApplicable, match="7200 x 4096"):
        tsvd.build(problem(large), tsvd.Settings())


def test_zero_filling_keeps_the_data_and_refuses_ray_transforms():
    A = mri()
    y = torch.randn(2, *A.range_shape, dtype=A.dtype)
    x = zero_filled.build(problem(A), zero_filled.Settings())(y, A)
    assert torch.allclose(A(x), y, atol=1e-5)
    with pytest.raises(NotApplicable, match="needs Fourier data"):
        zero_filled.build(problem(operators()["ray"][1]), zero_filled.Settings())
