"""Samples made fast are those of the task: pixels, path, law and noise."""

import numpy as np
import pytest
import torch

from recon_bench import registry
from recon_bench.data import fresh, varied
from recon_bench.data.ellipses import sampled
from recon_bench.data.simulation import project
from recon_bench.scoring import metrics
from recon_bench.tasks import ct_ellipses, ct_shepp_logan

TASKS = ("ct-ellipses-30", "ct-shepp-logan-30", "ct-head-50", "mri-brain-4x")


@pytest.mark.parametrize("module", [ct_ellipses, ct_shepp_logan])
def test_ellipses_filled_row_by_row_have_the_same_pixels(module):
    for seed in range(10):
        phantom = module.LAW.draw(np.random.default_rng(seed))
        differ = np.abs(fresh.filled(phantom, 128) - sampled(phantom, 128)) > 1e-9
        assert differ.mean() < 1e-4


def test_the_composed_matrix_is_the_path_of_the_task():
    image = np.random.default_rng(0).random((128, 128))
    expected = project(image, ct_ellipses.FINE)
    found = (fresh.simulation(128, ct_ellipses.FINE) @ image.astype(np.float32).ravel()).reshape(expected.shape)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "law"), [*((name, "fresh") for name in TASKS), ("ct-head-50", "phantoms")])
def test_fresh_samples_are_new_repeatable_and_of_the_right_kind(name, law):
    task = registry.task(name)
    draw = getattr(task, law)
    truth, data = draw(np.random.default_rng([3, 1]), 2)
    again = draw(np.random.default_rng([3, 1]), 2)
    other = draw(np.random.default_rng([3, 2]), 2)
    sample = task.samples("train")[0]
    assert truth.shape == (2, *sample.truth.shape) and data.shape == (2, *sample.data.shape)
    assert (truth.dtype, data.dtype) == (sample.truth.dtype, sample.data.dtype)
    assert torch.equal(truth, again[0]) and torch.equal(data, again[1])
    assert not torch.equal(data, other[1]) and not torch.equal(data[0], data[1])


@pytest.mark.parametrize("name", TASKS[:2])
def test_fresh_phantoms_follow_the_law_of_the_training_split(name):
    task = registry.task(name)
    truth, data = task.fresh(np.random.default_rng(0), 200)
    samples = [task.samples("train")[i] for i in range(60)]
    for mine, theirs in ((truth, [s.truth for s in samples]), (data, [s.data for s in samples])):
        for statistic in (torch.mean, torch.std, lambda x: x.abs().max()):
            ours = torch.stack([statistic(x) for x in mine])
            given = torch.stack([statistic(x) for x in theirs])
            error = (ours.var() / len(ours) + given.var() / len(given)).sqrt() + 1e-6
            assert abs(ours.mean() - given.mean()) < 4 * error


@pytest.mark.parametrize(("name", "law"), [*((name, "fresh") for name in TASKS), ("ct-head-50", "phantoms")])
def test_fresh_noise_has_the_level_that_methods_are_told(name, law):
    task = registry.task(name)
    A = task.problem().operator
    truth, data = getattr(task, law)(np.random.default_rng(5), 4)
    dims = len(A.range_shape)
    residual = torch.linalg.vector_norm((A(truth) - data).flatten(1), dim=1)
    ratio = residual / metrics.noise_norm(task.noise, data, dims)
    theirs = []
    for i in range(4):
        sample = task.samples("train")[i]
        theirs.append(
            torch.linalg.vector_norm(A(sample.truth) - sample.data) / metrics.noise_norm(task.noise, sample.data, dims)
        )
    assert ratio.mean() == pytest.approx(float(torch.stack(theirs).mean()), rel=0.15)


def test_training_scans_are_changed_and_four_in_ten_are_made_up():
    rng = np.random.default_rng(0)
    square = np.zeros((64, 64))
    square[20:44, 20:44] = 0.8
    images = [varied.magnitude(square, rng) for _ in range(40)]
    assert all(0.4 <= image.max() <= 1 and image.min() >= 0 for image in images)
    assert len({round(float((image > 0.2).mean()), 3) for image in images}) > 30
    nothing = [varied.magnitude(np.zeros((64, 64)), rng).any() for _ in range(200)]
    assert 0.3 < np.mean(nothing) < 0.5


def test_faint_structures_are_in_soft_tissue_alone():
    rng = np.random.default_rng(1)
    layers = np.ones((64, 64))
    layers[:, 32:] = 0.0
    images = [varied.attenuation(layers, rng, pixel_mm=4.0) for _ in range(60)]
    assert all(image.min() >= 0 and image.max() <= 3.2 for image in images)
    plain = np.mean([np.isclose(image, 0) | np.isclose(image, 1) for image in images])
    assert 0.3 < plain < 0.95
    values = np.concatenate([image[(image > 0.7) & (image < 1.3)] for image in images])
    assert (np.abs(values - 1) > 0.004).mean() > 0.05
