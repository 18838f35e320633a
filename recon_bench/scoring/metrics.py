"""Image quality, as pure functions of (truth, reconstruction). Batched: ``(batch, rows, columns)`` gives ``(batch,)``.

Complex images are compared by their magnitude, as fastMRI does (doi:10.1148/ryai.2020190007); the caller passes
magnitudes. Everything is computed in float64. An image without any error has a PSNR of EXACT, so that it has a rank.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recon_bench.core import Noise
from recon_bench.rules import EXACT
from recon_bench.task import Ssim

_IMAGE = (-2, -1)


def decibels(signal: Tensor, error: Tensor) -> Tensor:
    """10 log10(signal / error) of powers, at most EXACT, which stands for no error; not finite without a signal."""
    return (10 * torch.log10(signal / error)).clamp(max=EXACT)


def psnr(truth: Tensor, x: Tensor, data_range: float) -> Tensor:
    """Peak signal-to-noise ratio in dB: 20 log10(data_range) - 10 log10(mean squared error), at most EXACT."""
    mse = (x.double() - truth.double()).square().mean(_IMAGE)
    return decibels(torch.full_like(mse, data_range**2), mse)


def nmse(truth: Tensor, x: Tensor) -> Tensor:
    """Normalised mean squared error |x - truth|^2 / |truth|^2, without a unit."""
    return (x.double() - truth.double()).square().sum(_IMAGE) / truth.double().square().sum(_IMAGE)


def nrmse(truth: Tensor, x: Tensor) -> Tensor:
    """Root of :func:`nmse`: the relative l2 error, scikit-image's ``normalization="euclidean"``."""
    return nmse(truth, x).sqrt()


def regressed_snr(truth: Tensor, x: Tensor) -> Tensor:
    """SNR in dB after the best gain and offset: 10 log10(|truth|^2 / min over a, b of |truth - (a x + b)|^2).

    As computed by the authors of FBPConvNet (doi:10.1109/TIP.2017.2713099). It hides errors of gain and offset.
    """
    t, r = truth.double().flatten(-2), x.double().flatten(-2)
    centred_t, centred_r = t - t.mean(-1, keepdim=True), r - r.mean(-1, keepdim=True)
    cross = (centred_t * centred_r).sum(-1).square()
    energy = centred_r.square().sum(-1)
    residual = centred_t.square().sum(-1) - torch.where(energy > 0, cross / energy, torch.zeros_like(energy))
    return decibels(t.square().sum(-1), residual.clamp(min=0))


def ssim(truth: Tensor, x: Tensor, data_range: float, settings: Ssim) -> Tensor:
    """Structural similarity (doi:10.1109/TIP.2003.819861), uniform window, sample covariance, borders left out.

    The same as ``skimage.metrics.structural_similarity(truth, x, data_range=..., win_size=...)``. ValueError where an
    image is smaller than the window.
    """
    size = settings.window
    if min(truth.shape[-2:]) < size:
        raise ValueError(
            f"SSIM with a window of {size} needs images of at least {size} x {size}, got {truth.shape[-2:]}"
        )
    t, r = truth.double(), x.double()

    def mean(image: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(image[:, None], size, stride=1)[:, 0]

    sample = size**2 / (size**2 - 1)
    mean_t, mean_r = mean(t), mean(r)
    var_t = sample * (mean(t * t) - mean_t * mean_t)
    var_r = sample * (mean(r * r) - mean_r * mean_r)
    cov = sample * (mean(t * r) - mean_t * mean_r)
    c1, c2 = (settings.k1 * data_range) ** 2, (settings.k2 * data_range) ** 2
    index = (2 * mean_t * mean_r + c1) * (2 * cov + c2) / ((mean_t**2 + mean_r**2 + c1) * (var_t + var_r + c2))
    return index.mean(_IMAGE)


def noise_norm(noise: Noise, y: Tensor, dims: int) -> Tensor | None:
    """Expected l2 norm of the ``noise`` in ``y`` ``(batch, ...)`` over its last ``dims`` dimensions, from ``y`` itself.

    None for a kind of noise that is not known here.
    """
    axes = tuple(range(-dims, 0))
    count = math.prod(y.shape[-dims:])
    if noise.kind == "none":
        return torch.zeros(y.shape[:-dims], device=y.device)
    if noise.kind == "poisson":
        return torch.exp(y).clamp(max=10 * noise.level).sum(axes).div(noise.level).sqrt()
    if noise.kind not in ("gaussian", "complex-gaussian"):
        return None
    parts = 2 if noise.kind == "complex-gaussian" else 1
    return noise.level * y.abs().mean(axes) * math.sqrt(parts * count)


def magnitude(image: Tensor) -> Tensor:
    """The modulus of a complex image; a real image as it is. Of any shape."""
    return image.abs() if image.is_complex() else image
