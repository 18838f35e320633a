"""ASTRA and scikit-image through the same door: they agree with our FBP and are aligned with the truth."""

import builtins
import dataclasses
import math

import pytest
import torch

from baselines import astra_reference, fbp, skimage_reference
from recon_bench.core import NotApplicable
from recon_bench.operators import MaskedFourier, ParallelBeam, RayTransform, evenly
from tests.test_baselines_direct import problem

METHODS = {m.name: m for module in (astra_reference, skimage_reference) for m in module.METHODS}
SCANS = {
    "plain": ParallelBeam(48, evenly(120), 71),
    "odd size, other unit": ParallelBeam(47, evenly(120, offset=0.02), 101, spacing=0.21, pixel=0.3),
    "moved detector": ParallelBeam(48, evenly(120), 81, shift=2.3),
    "limited range": ParallelBeam(48, evenly(120, stop=2.4), 71),
}


def blob(g):
    """Two smooth blobs, neither centred nor symmetric."""
    grid = torch.arange(g.size) - (g.size - 1) / 2
    row, column = grid[:, None], grid[None, :]
    first = torch.exp(-((row - 7) ** 2 + (column + 4) ** 2) / 30)
    return first + 0.5 * torch.exp(-((row + 8) ** 2 + (column - 9) ** 2) / 12)


def psnr(x, truth):
    return -10 * math.log10(float((x - truth).square().mean()))


def reconstruct(method, A, y, **settings):
    if method.name.startswith("astra"):
        pytest.importorskip("astra")
    return method.build(problem(A), dataclasses.replace(method.settings, **settings))(y, A)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("name", ["astra-fbp", "skimage-fbp"])
def test_outside_fbp_agrees_with_ours(name, scan):
    A = RayTransform(SCANS[scan])
    y = A(blob(A.geometry))[None].repeat(2, 1, 1)
    settings = {"filter": "hann"} | ({"cutoff": 1.0} if name == "astra-fbp" else {})
    ours = fbp.build(problem(A), fbp.Settings("hann", 1.0))(y, A)
    theirs = reconstruct(METHODS[name], A, y, **settings)
    assert theirs.shape == ours.shape
    resampled = name == "skimage-fbp" or A.geometry.shift  # being half a pixel off would be 0.1
    assert (theirs - ours).norm() < (0.04 if resampled else 1e-4) * ours.norm()


@pytest.mark.parametrize("filter", fbp.FILTERS)
def test_filters_are_the_same_as_those_of_astra(filter):
    A = RayTransform(SCANS["plain"])
    y = torch.rand(1, *A.range_shape)
    ours = fbp.build(problem(A), fbp.Settings(filter, 0.6))(y, A)
    theirs = reconstruct(METHODS["astra-fbp"], A, y, filter=filter, cutoff=0.6)
    assert (theirs - ours).abs().max() < 2e-3 * ours.abs().max()


@pytest.mark.parametrize("scan", ["plain", "odd size, other unit", "moved detector"])
@pytest.mark.parametrize("name", ["astra-sirt", "skimage-sart"])
def test_outside_iterations_are_aligned_with_the_truth(name, scan):
    A = RayTransform(SCANS[scan])
    truth = blob(A.geometry)
    settings = {"iterations": 60} if name == "astra-sirt" else {"iterations": 6, "relaxation": 0.4}
    x = reconstruct(METHODS[name], A, A(truth)[None], **settings)[0]
    moved = max(psnr(x, truth.roll((i, j), (0, 1))) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
    assert psnr(x, truth) > 35
    assert psnr(x, truth) > moved + 8


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_gives_what_single_images_give(name):
    A = RayTransform(ParallelBeam(24, evenly(8), 35))
    y = torch.rand(3, *A.range_shape)
    together = reconstruct(METHODS[name], A, y)
    assert together.dtype == torch.float32
    single = torch.cat([reconstruct(METHODS[name], A, image[None]) for image in y])
    assert torch.allclose(together, single, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_outside_methods_need_a_ray_transform(name):
    A = MaskedFourier((16, 16), (7, 8, 9))
    with pytest.raises(NotApplicable, match="needs a parallel-beam ray transform"):
        METHODS[name].build(problem(A), METHODS[name].settings)


@pytest.mark.parametrize("name", ["astra-fbp", "astra-sirt"])
def test_without_astra_the_row_says_what_to_install(name, monkeypatch):
    real_import = builtins.__import__

    def without_astra(module, *args, **kwargs):
        if module == "astra":
            raise ImportError("No module named 'astra'")
        return real_import(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_astra)
    A = RayTransform(ParallelBeam(16, evenly(4), 23))
    with pytest.raises(NotApplicable, match=r"pip install recon-bench\[astra\]"):
        METHODS[name].build(problem(A), METHODS[name].settings)


@pytest.mark.parametrize("name", ["astra-sirt", "skimage-sart"])
def test_unaffordable_sizes_say_what_they_would_cost(name):
    pytest.importorskip("astra")

    class Large:
        geometry = ParallelBeam(512, evenly(143), 729)

    with pytest.raises(NotApplicable, match="512 x 512 x 143"):
        METHODS[name].build(problem(Large()), METHODS[name].settings)
