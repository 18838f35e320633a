"""Tasks on data sets that are downloaded, on small files in exactly the published formats."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from recon_bench.data.lodopab import MU_MAX, SIZES
from recon_bench.data.reading import DataError
from recon_bench.operators import RayTransform
from recon_bench.scoring.metrics import noise_norm
from recon_bench.task import Truth
from recon_bench.tasks import fastmri, lodopab
from tests.helpers_scans import to_kspace, write_fastmri, write_lodopab

LODOPAB, FASTMRI = lodopab.TASKS[0], fastmri.TASKS[0]


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv(lodopab.VARIABLE, raising=False)
    monkeypatch.delenv(fastmri.VARIABLE, raising=False)


@pytest.mark.parametrize("task", [LODOPAB, FASTMRI], ids=lambda task: task.name)
def test_card_and_hash_do_not_need_the_data(task):
    assert len(task.hash) == 16
    json.dumps(dict(task.card))
    assert min(task.sizes.values()) >= 100
    assert set(task.sizes) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("task", "variable", "what"),
    [
        (LODOPAB, "RECON_BENCH_LODOPAB", ("LoDoPaB-CT", "10.5281/zenodo.3384092", "observation_SPLIT.zip")),
        (FASTMRI, "RECON_BENCH_FASTMRI", ("fastmri.med.nyu.edu", "knee_singlecoil_val", "terms")),
    ],
    ids=["lodopab", "fastmri"],
)
def test_absent_data_say_what_to_download_and_where_to_put_it(task, variable, what, monkeypatch, tmp_path):
    for folder, came in ((None, "is not set"), (tmp_path / "nowhere", "nothing is there"), (tmp_path, "")):
        if folder:
            monkeypatch.setenv(variable, str(folder))
        message = task.missing()
        assert message is not None
        for words in (came, f"set {variable}", *what, *([str(folder)] if folder else [])):
            assert words in message
        with pytest.raises(DataError, match="expected"):
            task.observe("test", 0)


# LoDoPaB-CT


def disc(x: float, y: float, radius: float, value: float) -> tuple[np.ndarray, np.ndarray]:
    """A disc (lengths in m) as the owners store it, indexed (x, y), and its exact observation over their geometry."""
    grid = -0.13 + 0.26 * (np.arange(362) + 0.5) / 362
    image = value * (((grid[:, None] - x) ** 2 + (grid - y) ** 2) < radius**2)
    theta = np.pi * (np.arange(1000) + 0.5) / 1000
    s = 0.13 * np.sqrt(2) * (2 * (np.arange(513) + 0.5) / 513 - 1)
    distance = s - (x * np.cos(theta) + y * np.sin(theta))[:, None]
    return image, 2 * value * np.sqrt(np.clip(radius**2 - distance**2, 0, None))


@pytest.fixture
def lodopab_folder(tmp_path, monkeypatch):
    """All files of validation and test, of which only the second test file holds a sample."""
    for kind in ("ground_truth", "observation"):
        for split in ("validation", "test"):
            for file in range(-(-SIZES[split] // 128)):
                (tmp_path / f"{kind}_{split}_{file:03d}.hdf5").touch()
    image, observation = disc(x=0.06, y=0.02, radius=0.03, value=0.3)
    write_lodopab(tmp_path / "ground_truth_test_001.hdf5", 128, (362, 362), {5: image})
    write_lodopab(tmp_path / "observation_test_001.hdf5", 128, (1000, 513), {5: observation})
    monkeypatch.setenv(lodopab.VARIABLE, str(tmp_path))
    return tmp_path


def test_lodopab_data_are_line_integrals_of_the_truth(lodopab_folder):
    assert LODOPAB.missing() is None
    sample = LODOPAB.observe("test", 128 + 5)
    assert sample.id == "test-0133"
    assert sample.truth.shape == (362, 362) and sample.data.shape == (1000, 513)
    assert sample.truth.dtype == sample.data.dtype == torch.float32
    few = replace(lodopab.GEOMETRY, angles=lodopab.GEOMETRY.angles[::50])
    projected, data = RayTransform(few)(sample.truth), sample.data[::50]
    assert (projected - data).norm() < 0.02 * data.norm()


def test_lodopab_data_are_in_physical_units(lodopab_folder):
    """A ray through the disc's middle crosses 6 cm of 0.3 mu_max: what -log of its photons must show."""
    assert LODOPAB.observe("test", 133).data.max() == pytest.approx(0.06 * 0.3 * MU_MAX, rel=1e-3)


def test_lodopab_images_stand_upright(lodopab_folder):
    """The owners' second index runs down the DICOM slice, so a disc at y > 0 lies right of and below the centre."""
    rows, columns = torch.nonzero(LODOPAB.observe("test", 133).truth, as_tuple=True)
    assert columns.double().mean() == pytest.approx(180.5 + 0.06 * 362 / 0.26, abs=1)
    assert rows.double().mean() == pytest.approx(180.5 + 0.02 * 362 / 0.26, abs=1)


def test_lodopab_training_files_are_asked_for_when_read(lodopab_folder):
    with pytest.raises(DataError, match=r"ground_truth_train_000\.hdf5"):
        LODOPAB.samples("train")[0]


def test_lodopab_truth_that_is_not_finite_is_the_fault_of_the_data(lodopab_folder):
    path = write_lodopab(
        lodopab_folder / "ground_truth_test_001.hdf5", 128, (362, 362), {5: np.full((362, 362), np.nan)}
    )
    with pytest.raises(DataError, match=f"{path}: slice 5 of /data: .* the data are at fault"):
        LODOPAB.observe("test", 133)


@pytest.mark.parametrize("name", ["truth", "data"])
def test_a_sample_that_is_not_finite_is_named(name):
    """Whatever task makes it: no method could be blamed for what comes of it."""
    arrays = {"truth": np.ones((2, 3)), "data": np.ones((4, 5), complex)}
    arrays[name][1, 2] = np.inf
    with pytest.raises(DataError, match=f"test-0007 of knee: {name}: expected finite values, but 1 of"):
        task = dataclasses.replace(
            LODOPAB, draw=lambda *_: Truth(arrays["truth"], "knee"), measure=lambda *_: arrays["data"]
        )
        task.samples("test")[7]


def test_lodopab_one_missing_file_is_named(lodopab_folder):
    (lodopab_folder / "observation_validation_003.hdf5").unlink()
    assert "1 files are missing, e.g. observation_validation_003.hdf5." in (LODOPAB.missing() or "")


# fastMRI


@pytest.fixture
def fastmri_folder(tmp_path, monkeypatch):
    """All volumes of both folders, one file under many names: slice k of 18 is a block of magnitude k + 1."""
    images = np.zeros((18, 328, 324), np.complex64)
    for k in range(18):
        images[k, 100:140, 90 + k : 200] = (k + 1) * np.exp(0.5j * k)
    stored = write_fastmri(tmp_path / "stored.h5", to_kspace(images), np.abs(images[:, 4:324, 2:322]))
    val, train = tmp_path / "singlecoil_val", tmp_path / "singlecoil_train"
    for folder, names in ((val, chain(*fastmri.VOLUMES.values())), (train, range(1000001, 1000974))):
        folder.mkdir()
        for name in names:
            (folder / f"file{name}.h5").symlink_to(stored)
    monkeypatch.setenv(fastmri.VARIABLE, str(tmp_path))
    return tmp_path


def test_fastmri_data_are_the_masked_transform_of_the_truth(fastmri_folder):
    assert FASTMRI.missing() is None
    sample = FASTMRI.observe("test", 0)
    operator = FASTMRI.problem().operator
    assert sample.id == "test-0000" and sample.volume == "file1001126"
    assert sample.truth.shape == (320, 320) and sample.truth.dtype == torch.complex64
    assert sample.data.shape == operator.range_shape and sample.data.dtype == torch.complex64
    torch.testing.assert_close(operator(sample.truth), sample.data)
    assert noise_norm(FASTMRI.noise, sample.data, 2) == 0


def test_fastmri_truth_is_the_cropped_slice_in_units_of_the_volume_maximum(fastmri_folder):
    magnitude = FASTMRI.observe("validation", 0).truth.abs()
    assert magnitude.max() == pytest.approx(10 / 18, rel=1e-4)  # slice 9 of 18, the middle one
    assert magnitude[100, 120] == pytest.approx(10 / 18, rel=1e-4)
    assert magnitude[95, 120] < 1e-4 and magnitude[136, 120] < 1e-4  # rows 100 to 140 before 4 were cropped


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_fastmri_every_sample_is_another_slice_of_the_middle(fastmri_folder, split):
    volumes = FASTMRI.sizes[split] // fastmri.SLICES
    seen = [FASTMRI.observe(split, volumes * step) for step in range(fastmri.SLICES)]
    assert {sample.volume for sample in seen} == {seen[0].volume}
    assert sorted(round(float(sample.truth.abs().max()) * 18) - 1 for sample in seen) == list(range(1, 17))
    assert FASTMRI.observe(split, volumes - 1).volume != seen[0].volume


def test_fastmri_splits_share_no_volume():
    validation, test = (set(fastmri.VOLUMES[split]) for split in ("validation", "test"))
    assert not validation & test
    assert (len(validation), len(test)) == (48, 49)


def test_fastmri_mask_keeps_the_centre_and_a_quarter_of_the_columns():
    columns = set(fastmri.COLUMNS)
    assert columns >= set(range(148, 173))
    assert len(columns) == 80


def test_fastmri_missing_volumes_are_named(fastmri_folder):
    (fastmri_folder / "singlecoil_val" / "file1002340.h5").unlink()
    assert "1 volumes are missing, e.g. file1002340.h5" in (FASTMRI.missing() or "")
    (fastmri_folder / "singlecoil_train" / "file1000001.h5").unlink()
    with pytest.raises(DataError, match=r"expected 973 volumes .* there are 972"):
        FASTMRI.observe("train", 0)


def test_fastmri_refuses_files_of_another_kind(fastmri_folder):
    volume = fastmri_folder / "singlecoil_val" / f"file{fastmri.VOLUMES['test'][0]}.h5"
    image = np.ones((18, 320, 320))
    for kspace, target in ((np.stack([image, image], 1), image), (image, None), (image[:4], image[:4])):
        volume.unlink()
        write_fastmri(volume, kspace, target)
        with pytest.raises(DataError, match=f"{volume.name}: expected single-coil kspace of at least 16 slices"):
            FASTMRI.observe("test", 0)
