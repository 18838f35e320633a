"""Our metrics against scikit-image's, and what they promise."""

import numpy as np
import pytest
import skimage.metrics
import torch

from recon_bench.rules import EXACT
from recon_bench.scoring import metrics
from recon_bench.task import Ssim


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    truth = torch.rand(4, 33, 40, generator=generator)
    return truth, truth + 0.1 * torch.randn(4, 33, 40, generator=generator)


@pytest.mark.parametrize("data_range", [1.0, 2.7])
def test_psnr_is_that_of_skimage(images, data_range):
    ours = metrics.psnr(*images, data_range)
    for value, truth, x in zip(ours, *(image.numpy() for image in images)):
        expected = skimage.metrics.peak_signal_noise_ratio(truth, x, data_range=data_range)
        assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("window", [7, 11])
def test_ssim_is_that_of_skimage(images, window):
    ours = metrics.ssim(*images, 1.0, Ssim(window=window))
    for value, truth, x in zip(ours, *(image.double().numpy() for image in images)):
        expected = skimage.metrics.structural_similarity(truth, x, data_range=1.0, win_size=window)
        assert float(value) == pytest.approx(expected, abs=1e-9)


def test_nrmse_is_that_of_skimage(images):
    ours = metrics.nrmse(*images)
    for value, truth, x in zip(ours, *(image.numpy() for image in images)):
        assert float(value) == pytest.approx(skimage.metrics.normalized_root_mse(truth, x), rel=1e-5)
    assert torch.allclose(metrics.nmse(*images), ours**2)


def test_regressed_snr_ignores_gain_and_offset_and_is_the_best_affine_fit(images):
    truth, x = images
    base = metrics.regressed_snr(truth, x)
    assert torch.allclose(metrics.regressed_snr(truth, 3 * x - 7), base, atol=1e-3)
    for value, t, r in zip(base, truth.double().numpy(), x.double().numpy()):
        design = np.stack([r.ravel(), np.ones(r.size)], axis=1)
        residual = np.linalg.lstsq(design, t.ravel(), rcond=None)[1][0]
        assert float(value) == pytest.approx(10 * np.log10((t**2).sum() / residual), rel=1e-9)


def test_an_exact_image_has_a_value_above_every_other(images):
    truth, _ = images
    nearly = truth.nextafter(torch.tensor(2.0))
    assert metrics.psnr(truth, truth, 1.0).tolist() == [EXACT] * 4
    assert ((rsnr := metrics.regressed_snr(truth, truth)) > 140).all() and (rsnr <= EXACT).all()
    assert (metrics.psnr(truth, nearly, 1.0) < EXACT).all() and (metrics.psnr(truth, nearly, 1.0) > 140).all()


def test_a_constant_image_has_a_regressed_snr(images):
    assert torch.isfinite(metrics.regressed_snr(images[0], torch.zeros_like(images[0]))).all()


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 7 x 7"):
        metrics.ssim(torch.zeros(1, 5, 5), torch.zeros(1, 5, 5), 1.0, Ssim())
