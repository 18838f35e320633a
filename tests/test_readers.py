"""Readers of public data, on small files in exactly the published formats."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from recon_bench.data import fastmri, lodopab
from recon_bench.data.dicom import open_dicom
from recon_bench.data.nifti import open_nifti
from recon_bench.data.reading import DataError
from tests.helpers_scans import to_kspace, write_dicom, write_fastmri, write_lodopab, write_nifti


def truncate(path: Path, part: float = 0.5) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    return path


def says(*words: object) -> str:
    """A pattern for a message that holds all ``words`` in this order."""
    return "(?s)" + ".*".join(re.escape(str(word)) for word in words)


# LoDoPaB-CT


@pytest.fixture
def lodopab_folder(tmp_path):
    rng = np.random.default_rng(0)
    for file, count, row in ((0, 128, 127), (1, 128, 0), (27, 97, 96)):  # 27: the last of the test split
        write_lodopab(tmp_path / f"ground_truth_test_{file:03d}.hdf5", count, (362, 362), {row: rng.random((362, 362))})
        write_lodopab(
            tmp_path / f"observation_test_{file:03d}.hdf5", count, (1000, 513), {row: rng.random((1000, 513))}
        )
    return tmp_path


@pytest.mark.parametrize(("index", "file", "row"), [(127, 0, 127), (128, 1, 0), (3552, 27, 96)])
def test_lodopab_samples_are_found_across_files(lodopab_folder, index, file, row):
    image, observation = lodopab.sample(lodopab_folder, "test", index)
    assert (image.dtype, observation.dtype) == (np.float32, np.float32)
    for name, came in (("ground_truth", image), ("observation", observation)):
        with h5py.File(lodopab_folder / f"{name}_test_{file:03d}.hdf5") as stored:
            assert came.any()
            np.testing.assert_array_equal(came, stored["data"][row])


def test_lodopab_accepts_a_last_image_file_that_was_not_shortened(lodopab_folder):
    image = np.full((362, 362), 0.5)
    write_lodopab(lodopab_folder / "ground_truth_test_027.hdf5", 128, (362, 362), {96: image})
    np.testing.assert_array_equal(lodopab.sample(lodopab_folder, "test", 3552)[0], image)


@pytest.mark.parametrize(("split", "index"), [("test", 3553), ("validation", -1), ("challenge", 0)])
def test_lodopab_has_no_other_samples(tmp_path, split, index):
    with pytest.raises(IndexError, match=says(index, split)):
        lodopab.sample(tmp_path, split, index)


def test_lodopab_missing_files(lodopab_folder):
    with pytest.raises(DataError, match=says("ground_truth_validation_000.hdf5", "nothing is there", "zenodo")):
        lodopab.sample(lodopab_folder, "validation", 0)
    absent = lodopab.absent(lodopab_folder, ("test",))
    assert len(absent) == 2 * 28 - 6
    assert "ground_truth_test_002.hdf5" in absent and "observation_test_027.hdf5" not in absent


def test_lodopab_damaged_files(lodopab_folder):
    truncate(lodopab_folder / "observation_test_000.hdf5")
    with pytest.raises(DataError, match=says("observation_test_000.hdf5", "expected", "truncated file", "Download")):
        lodopab.sample(lodopab_folder, "test", 127)
    (lodopab_folder / "ground_truth_test_000.hdf5").write_text("<html>quota exceeded</html>")
    with pytest.raises(DataError, match=says("ground_truth_test_000.hdf5", "expected an HDF5 file", "Download")):
        lodopab.sample(lodopab_folder, "test", 127)


def test_lodopab_wrong_contents(lodopab_folder):
    write_lodopab(lodopab_folder / "ground_truth_test_000.hdf5", 128, (512, 512), {})
    with pytest.raises(DataError, match=says("expected", "(128, 362, 362)", "(128, 512, 512)", "Download")):
        lodopab.sample(lodopab_folder, "test", 127)
    with h5py.File(lodopab_folder / "ground_truth_test_000.hdf5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(DataError, match=says("ground_truth_test_000.hdf5", "'data'", "['images']", "Download")):
        lodopab.sample(lodopab_folder, "test", 127)


# fastMRI


def knees(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def cropped(image: np.ndarray) -> np.ndarray:
    top, left = (image.shape[-2] - 320) // 2, (image.shape[-1] - 320) // 2
    return image[..., top : top + 320, left : left + 320]


def test_fastmri_single_coil(tmp_path):
    image = knees(3, 330, 324)
    scan = fastmri.open_scan(write_fastmri(tmp_path / "a.h5", to_kspace(image), np.abs(cropped(image))))
    assert scan.shape == (3, 330, 324) and not scan.multicoil
    assert (scan.acquisition, scan.patient) == ("CORPD_FBK", "d" * 64)
    assert scan.maximum == pytest.approx(np.abs(cropped(image)).max())
    ours = fastmri.image(fastmri.read_kspace(scan, 1), scan.header.recon[:2])
    np.testing.assert_allclose(ours, cropped(image)[1], atol=1e-5)
    np.testing.assert_allclose(np.abs(ours), fastmri.read_target(scan, 1), atol=1e-5)


def test_fastmri_multicoil_target_is_the_root_of_the_sum_of_squares(tmp_path):
    coils = knees(2, 4, 330, 324)
    target = np.linalg.norm(cropped(coils), axis=1)
    scan = fastmri.open_scan(write_fastmri(tmp_path / "a.h5", to_kspace(coils), target))
    assert scan.multicoil
    ours = fastmri.root_sum_of_squares(fastmri.image(fastmri.read_kspace(scan, 1), (320, 320)))
    np.testing.assert_allclose(ours, fastmri.read_target(scan, 1), rtol=1e-4)


def test_fastmri_header(tmp_path):
    header = fastmri.open_scan(write_fastmri(tmp_path / "a.h5", knees(1, 640, 372))).header
    assert header.encoded == (640, 372, 1)
    assert header.recon == (320, 320, 1)
    assert header.measured == (4, 366)
    assert header.acceleration == 2


def test_centre_of_kspace_is_the_constant_image():
    kspace = np.zeros((8, 6), np.complex64)
    kspace[4, 3] = np.sqrt(48)
    np.testing.assert_allclose(fastmri.image(kspace, (4, 4)), 1, atol=1e-6)


def test_fastmri_header_that_lacks_a_size_or_is_not_xml(tmp_path):
    path = write_fastmri(tmp_path / "a.h5", knees(1, 320, 320))
    for text, words in (("<ismrmrdHeader/>", "encodedSpace/matrixSize/x"), ("not xml", "ParseError")):
        with h5py.File(path, "r+") as file:
            del file["ismrmrd_header"]
            file["ismrmrd_header"] = text.encode()
        with pytest.raises(DataError, match=says(words, "expected" if "matrix" in words else "syntax", "fastMRI")):
            fastmri.open_scan(path)


def test_fastmri_challenge_file_has_no_target(tmp_path):
    scan = fastmri.open_scan(write_fastmri(tmp_path / "a.h5", knees(2, 320, 320)))
    assert scan.maximum is None
    with pytest.raises(DataError, match=says("a.h5", "expected reconstruction_esc", "train or val")):
        fastmri.read_target(scan, 0)


def test_fastmri_damaged_and_wrong_files(tmp_path):
    path = write_fastmri(tmp_path / "a.h5", knees(2, 320, 320))
    scan = fastmri.open_scan(path)
    with pytest.raises(IndexError, match=says("a.h5", "no slice 2", "0 to 1")):
        fastmri.read_kspace(scan, 2)
    with pytest.raises(DataError, match=says("(320, 320)", "(400, 320)")):
        fastmri.image(fastmri.read_kspace(scan, 0), (400, 320))
    truncate(path)
    with pytest.raises(DataError, match=says("a.h5", "expected", "truncated file", "again")):
        fastmri.open_scan(path)
    write_fastmri(path, np.zeros((320, 320)))
    with pytest.raises(DataError, match=says("a.h5", "(slices, rows, columns)", "(320, 320)")):
        fastmri.open_scan(path)
    with h5py.File(path, "w") as file:
        file["volume"] = np.zeros(3)
    with pytest.raises(DataError, match=says("a.h5", "'kspace'", "['volume']")):
        fastmri.open_scan(path)
    with pytest.raises(DataError, match=says("b.h5", "nothing is there", "fastmri.med.nyu.edu")):
        fastmri.open_scan(tmp_path / "b.h5")


# DICOM


def pixels(index: int) -> np.ndarray:
    return np.arange(48).reshape(8, 6) + 100 * index


@pytest.fixture
def series(tmp_path):
    """Five slices 2.5 mm apart, each with its own rescale, their names in another order than their positions."""
    for index, name in enumerate(("d", "a", "e.dcm", "b", "c")):
        write_dicom(tmp_path / name, pixels(index), 2.5 * index, "1.2.3", slope=1 + index, intercept=-1024 + index)
    (tmp_path / ".hidden").write_text("not a slice")
    return tmp_path


def test_dicom_slices_are_sorted_and_rescaled(series):
    volume = open_dicom(series)
    assert volume.shape == (5, 8, 6)
    assert volume.spacing == (2.5, 0.5, 0.75)
    for index in range(5):
        np.testing.assert_array_equal(volume[index], pixels(index) * (1 + index) - 1024 + index)
    with pytest.raises(IndexError, match=says("slice 5", "0 to 4")):
        volume[5]


def test_dicom_is_sorted_along_the_normal_of_tilted_slices(tmp_path):
    half = np.sqrt(0.5)
    for index, name in enumerate("bca"):
        where = [0.0, -2 * half * index, 2 * half * index]
        tilt = {"ImageOrientationPatient": [1, 0, 0, 0, half, half], "ImagePositionPatient": where}
        write_dicom(tmp_path / name, pixels(index), 0, "1.2", intercept=0, **tilt)
    volume = open_dicom(tmp_path)
    assert volume.spacing[0] == pytest.approx(2)
    assert [volume[index][0, 0] for index in range(3)] == [0, 100, 200]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (
            {"SeriesInstanceUID": "1.2.4"},
            ("SeriesInstanceUID", "1.2.3: 5 files", "1.2.4: 1 files, e.g. z", "one complete series"),
        ),
        ({"PixelSpacing": [0.5, 0.5]}, ("PixelSpacing", "z")),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, ("ImageOrientationPatient", "z")),
        ({"NumberOfFrames": 3}, ("z", "single", "3 frames")),
        ({"ImagePositionPatient": None}, ("z", "lacks ImagePositionPatient")),
        ({"ImagePositionPatient": [0, 0, 10.0]}, ("2.5 mm apart", "are 0 mm apart", "twice")),
        ({"ImagePositionPatient": [0, 0, 20.0]}, ("2.5 mm apart", "z", "are 10 mm apart", "missing")),
    ],
)
def test_dicom_refuses_what_is_not_one_series(series, tags, words):
    write_dicom(series / "z", pixels(5), 12.5, "1.2.3", **tags)
    with pytest.raises(DataError, match=says(*words)):
        open_dicom(series)


def test_dicom_refuses_other_sizes_and_files(series):
    write_dicom(series / "z", np.zeros((8, 8)), 12.5, "1.2.3")
    with pytest.raises(DataError, match=says("Columns", "8: 1 files")):
        open_dicom(series)
    (series / "z").write_text("notes")
    with pytest.raises(DataError, match=says("z", "expected a DICOM slice", "nothing else in it")):
        open_dicom(series)


def test_dicom_missing_truncated_or_without_pixels(series, tmp_path):
    with pytest.raises(DataError, match=says("nowhere", "expected a folder")):
        open_dicom(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=says("empty", "at least 2", "0 files")):
        open_dicom(tmp_path / "empty")
    truncate(series / "d", 0.95)
    write_dicom(series / "a", None, 2.5, "1.2.3")
    volume = open_dicom(series)
    for index, name in enumerate("da"):
        with pytest.raises(DataError, match=says(series / name, "8 x 6 pixels", "Copy the file again")):
            volume[index]
    assert volume[2].shape == (8, 6)


# NIfTI


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "ASL", "SPR", "PIR"])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_nifti_is_axial_and_upright_however_it_is_stored(tmp_path, axes, name):
    right, front, head = np.meshgrid(np.arange(4), np.arange(5), np.arange(3), indexing="ij")
    canonical = (right + 10 * front + 100 * head).astype(np.int16)
    volume = open_nifti(write_nifti(tmp_path / name, canonical, axes, (0.5, 0.75, 2.0)))
    assert volume.shape == (3, 5, 4)
    assert volume.spacing == (2.0, 0.75, 0.5)
    for index in range(3):
        plane = volume[index]
        assert plane.dtype == np.float32
        assert plane[0, 0] == 3 + 10 * 4 + 100 * index  # right and front
        assert plane[0, -1] == 10 * 4 + 100 * index  # left and front
        assert plane[-1, 0] == 3 + 100 * index  # right and back


def test_nifti_values_are_scaled_as_the_header_says(tmp_path):
    values = np.linspace(-1000.5, 3000.25, 8).reshape(2, 2, 2)
    image = nibabel.Nifti1Image(values, np.diag([-1, -1, 1, 1]))
    image.set_data_dtype(np.int16)  # stored as integers with a slope and an intercept
    nibabel.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(open_nifti(tmp_path / "a.nii")[1], values[..., 1].T, atol=0.1)


@pytest.mark.parametrize(
    ("name", "part"), [("scan.nii", 0.6), ("scan.nii.gz", 0.6), ("scan.nii", 0.01), ("scan.nii.gz", 0.001)]
)
def test_nifti_truncated(tmp_path, name, part):
    noise = np.random.default_rng(0).random((16, 16, 16))
    path = truncate(write_nifti(tmp_path / name, noise, "RAS", (1, 1, 1)), part)
    with pytest.raises(DataError, match=says(name, "expected a NIfTI volume", "again")):
        open_nifti(path)[15]


def test_nifti_missing_or_not_a_volume(tmp_path):
    with pytest.raises(DataError, match=says("scan.nii", "expected a file", "nothing is there")):
        open_nifti(tmp_path / "scan.nii")
    (tmp_path / "notes.nii").write_text("notes")
    with pytest.raises(DataError, match=says("notes.nii", "expected a NIfTI volume")):
        open_nifti(tmp_path / "notes.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2, 5)), np.eye(4)), tmp_path / "series.nii")
    with pytest.raises(DataError, match=says("series.nii", "3 dimensions", "(2, 2, 2, 5)")):
        open_nifti(tmp_path / "series.nii")
