import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from skimage.transform import resize

from recon_bench.core import Noise
from recon_bench.data import simulation
from recon_bench.operators import MaskedFourier, ParallelBeam, RayTransform, evenly
from recon_bench.scoring.metrics import noise_norm
from recon_bench.task import Ssim
from recon_bench.tasks import ct_ellipses, ct_ellipses_sparse, ct_head, ct_shepp_logan, mri_brain

MODULES = (ct_ellipses, ct_shepp_logan, ct_ellipses_sparse, ct_head, mri_brain)
TASKS = {task.name: task for module in MODULES for task in module.TASKS}
# ct-head-143 is ct-head-50 with more views, and its simulating matrix takes seconds and 0.8 GB to build
OBSERVED = [name for name in TASKS if name != "ct-head-143"]
NOISY = [name for name in OBSERVED if TASKS[name].noise.kind != "none"]


def clean(task, truth):
    """Noise-free data of ``truth``, by the simulating geometry that the card names."""
    truth = truth.numpy().astype(complex if task.family == "mri" else float)
    if task.family == "mri":
        return MaskedFourier((256, 256), tuple(task.card["columns"]), dtype=torch.float64)(
            torch.from_numpy(truth)
        ).numpy()
    fine = task.card["simulation"] if isinstance(task.card["simulation"], dict) else task.card["operator"]
    start, step = (math.radians(fine[key]) for key in ("first_view_degrees", "view_step_degrees"))
    angles = tuple(start + step * i for i in range(fine["views"]))
    geometry = ParallelBeam(fine["pixels"][0], angles, fine["bins"], fine["bin_spacing"], 0.0, fine["pixel"])
    image = resize(truth, fine["pixels"], order=1)
    return RayTransform(geometry, torch.device("cpu"), torch.float64)(torch.from_numpy(image)).numpy()


def checksum(sample):
    return hashlib.sha256(sample.truth.numpy().tobytes() + sample.data.numpy().tobytes()).hexdigest()


def report():
    """What another process must find too."""
    return {name: [TASKS[name].hash, checksum(TASKS[name].samples("test")[3])] for name in OBSERVED}


def test_the_eight_tasks_are_there():
    assert set(TASKS) == {
        "ct-ellipses-30",
        "ct-shepp-logan-30",
        "ct-ellipses-143",
        "ct-ellipses-50",
        "ct-head-143",
        "ct-head-50",
        "mri-brain-4x",
        "mri-brain-8x",
    }


@pytest.mark.parametrize("name", OBSERVED)
def test_a_sample_has_the_shapes_types_and_values_of_its_card(name):
    task = TASKS[name]
    sample = task.samples("validation")[1]
    operator = task.card["operator"]
    if task.family == "mri":
        shapes = (256, 256), (256, len(task.card["columns"]))
    else:
        shapes = tuple(operator["pixels"]), (operator["views"], operator["bins"])
    assert (tuple(sample.truth.shape), tuple(sample.data.shape)) == shapes
    assert {sample.truth.dtype, sample.data.dtype} == {torch.complex64 if task.family == "mri" else torch.float32}
    assert sample.id == "validation-0001"
    assert bool(torch.isfinite(torch.view_as_real(sample.data) if task.family == "mri" else sample.data).all())
    assert 0 < float(sample.truth.abs().max()) <= task.data_range


@pytest.mark.parametrize("name", ["ct-ellipses-30", "ct-shepp-logan-30", "ct-head-50", "mri-brain-8x"])
def test_the_operator_of_the_problem_explains_the_data(name):
    task = TASKS[name]
    problem = task.problem()
    sample = problem.validation[0]
    data = problem.operator(sample.truth)
    assert data.shape == sample.data.shape
    assert float(torch.linalg.vector_norm(data - sample.data) / torch.linalg.vector_norm(sample.data)) < 0.1


@pytest.mark.parametrize("name", NOISY)
def test_noise_has_the_stated_law(name):
    task = TASKS[name]
    sample = task.samples("test")[0]
    exact = clean(task, sample.truth)
    residual = sample.data.numpy() - exact
    if task.noise.kind == "poisson":
        standard = residual * np.sqrt(task.noise.level * np.exp(-exact))
    else:
        standard = residual / (task.noise.level * np.abs(exact).mean())
    parts = (standard.real, standard.imag) if task.family == "mri" else (standard,)
    for part in parts:
        assert part.std() == pytest.approx(1, abs=0.04)
        assert part.mean() == pytest.approx(0, abs=0.05)
    assert float(noise_norm(task.noise, sample.data, 2)) == pytest.approx(np.linalg.norm(residual), rel=0.05)


def test_exact_data_are_those_of_the_pixels_up_to_the_pixels():
    sample = TASKS["ct-ellipses-50"].samples("test")[0]
    views = tuple(math.pi * i / 50 for i in (0, 13, 31))
    A = RayTransform(ParallelBeam(512, views, 729), torch.device("cpu"), torch.float32)
    data = sample.data[[0, 13, 31]]
    assert float(torch.linalg.vector_norm(A(sample.truth) - data) / torch.linalg.vector_norm(data)) < 0.01


@pytest.mark.parametrize("name", OBSERVED)
def test_no_two_samples_are_equal(name):
    task = TASKS[name]
    samples = [task.samples(split)[i] for split in task.sizes for i in range(min(4, task.sizes[split]))]
    assert len({checksum(sample) for sample in samples}) == len(samples)
    assert len({sample.id for sample in samples}) == len(samples)
    truths = {split: {s.truth.numpy().tobytes() for s in samples if s.id.startswith(split)} for split in task.sizes}
    assert not truths["test"] & (truths["train"] | truths["validation"])


def test_shepp_logan_is_one_phantom_under_many_noise_draws():
    first, second = (TASKS["ct-shepp-logan-30"].samples("test")[i] for i in (0, 1))
    assert torch.equal(first.truth, second.truth)
    assert not torch.equal(first.data, second.data)


@pytest.mark.parametrize("name", OBSERVED)
def test_a_sample_is_the_same_alone_and_in_any_order(name):
    samples = TASKS[name].samples("test")
    first = checksum(samples[2])
    assert [checksum(samples[i]) for i in (5, 2, 0, 2)][1::2] == [first, first]


def test_hashes_and_samples_are_the_same_in_a_fresh_process():
    """Also with another number of threads and with the global generators in another state."""
    program = (
        "import json, numpy, torch; numpy.random.seed(9); torch.manual_seed(9)\n"
        "import test_tasks; print(json.dumps(test_tasks.report()))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.path.dirname(__file__)}  # noqa: PTH120
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == report()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"version": 2},
        {"sizes": {"train": 1, "validation": 1, "test": 1}},
        {"noise": Noise("gaussian", 0.1)},
        {"data_range": 2.0},
        {"ssim": Ssim(window=11)},
        {"card": {}},
        {"fingerprint": lambda: "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_hash_covers_what_defines_a_task(change):
    task = TASKS["ct-ellipses-30"]
    assert dataclasses.replace(task, **change).hash != task.hash
    assert dataclasses.replace(task, title="other", description="other", display=(0.0, 2.0)).hash == task.hash


@pytest.mark.parametrize("name", TASKS)
def test_cards_are_json_and_hashes_differ(name):
    task = TASKS[name]
    assert json.loads(json.dumps(task.card, allow_nan=False))
    assert sum(task.hash == other.hash for other in TASKS.values()) == 1
    assert task.missing() is None
    assert task.samples("test").length == task.sizes["test"] >= 24


def test_masks_follow_the_fastmri_convention():
    for name, acceleration, middle in (("mri-brain-4x", 4, 20), ("mri-brain-8x", 8, 10)):
        columns = TASKS[name].card["columns"]
        assert len(columns) == 256 // acceleration
        assert set(range(128 - middle // 2, 128 + middle // 2)) <= set(columns)
    counts = [len(mri_brain.random_columns(320, 4, 0.08, seed)) for seed in range(200)]
    assert np.mean(counts) == pytest.approx(80, abs=2)


def test_phase_is_smooth_and_changes_no_magnitude():
    phase = mri_brain.smooth_phase(64, np.random.default_rng(0))
    np.testing.assert_allclose(np.abs(phase), 1)
    assert np.abs(np.angle(phase[1:] / phase[:-1])).max() < 0.3
    truth = TASKS["mri-brain-4x"].samples("test")[0].truth
    assert float(truth.imag.abs().max()) > 0.1


@pytest.mark.parametrize("size", [5, 12, 31])
def test_enlarging_is_that_of_scikit_image(size):
    image = np.random.default_rng(0).random((5, 5))
    np.testing.assert_allclose(simulation.enlarge(image, size), resize(image, (size, size), order=1), atol=1e-12)


def test_no_photon_counts_as_a_tenth():
    rng = np.random.default_rng(0)
    assert simulation.count_photons(np.array([100.0]), 1e4, rng) == pytest.approx(math.log(1e5))
    assert simulation.count_photons(np.full(10**4, 1.0), 1e4, rng).mean() == pytest.approx(1.0, abs=0.002)


def test_a_card_describes_its_geometry():
    described = simulation.describe(ParallelBeam(8, evenly(4, offset=0.1), 9, shift=0.5), "mm")
    assert described["views"] == 4
    assert described["view_step_degrees"] == pytest.approx(45)
    assert described["first_view_degrees"] == pytest.approx(math.degrees(0.1))
    assert described["detector_shift"] == 0.5
