"""Readers of public data, on small files in exactly the published formats."""

from __future__ import annotations

import fcntl
import re
import warnings
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.pixels import get_decoder
from pydicom.uid import MPEG2MPML, JPEGLosslessSV1, RLELossless

from recon_bench.data import fastmri, lodopab
from recon_bench.data.dicom import open_dicom
from recon_bench.data.nifti import open_nifti
from recon_bench.data.reading import DataError
from tests.helpers_scans import (
    compress_dicom,
    lookup_table,
    to_kspace,
    write_dicom,
    write_fastmri,
    write_lodopab,
    write_nifti,
)


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


@pytest.mark.parametrize("form", [np.bytes_, lambda text: [text], lambda text: np.array([text.encode()])])
def test_fastmri_text_and_numbers_in_any_of_the_forms_that_writers_use(tmp_path, form):
    image = knees(1, 320, 320)
    path = write_fastmri(tmp_path / "a.h5", image, np.abs(image))
    plain = fastmri.open_scan(path)
    with h5py.File(path, "r+") as file:
        header = file["ismrmrd_header"][()].decode()
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = form(header)
        file.attrs.update(acquisition=form("CORPD_FBK"), patient_id=form("d" * 64), max=[file.attrs["max"]])
    assert fastmri.open_scan(path) == plain


def test_fastmri_an_attribute_of_many_values_or_not_finite_is_refused(tmp_path):
    image = knees(1, 320, 320)
    path = write_fastmri(tmp_path / "a.h5", image, np.abs(image))
    for value, words in (([1.0, 2.0], ("single value", "there are 2")), (np.nan, ("finite attribute max", "nan"))):
        with h5py.File(path, "r+") as file:
            file.attrs["max"] = value
        with pytest.raises(DataError, match=says("a.h5", *words)):
            fastmri.open_scan(path)


def test_fastmri_values_that_are_not_finite_are_named_by_file_and_slice(tmp_path):
    kspace = knees(2, 320, 320)
    kspace[1, 5, 7] = np.nan
    scan = fastmri.open_scan(write_fastmri(tmp_path / "a.h5", kspace))
    assert np.isfinite(fastmri.read_kspace(scan, 0)).all()
    with pytest.raises(DataError, match=says("a.h5: slice 1 of /kspace", "1 of 102400", "data are at fault")):
        fastmri.read_kspace(scan, 1)


# HDF5, whatever is in it


def test_hdf5_that_is_locked_says_so_and_is_not_to_be_downloaded_again(lodopab_folder):
    path = lodopab_folder / "ground_truth_test_000.hdf5"
    with path.open("r+b") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=says(path, "lock", "Another program has locked the file")) as caught:
            lodopab.sample(lodopab_folder, "test", 127)
        assert "Download" not in str(caught.value)
    assert lodopab.sample(lodopab_folder, "test", 127)[0].any()


def test_hdf5_that_may_not_be_read_says_so(lodopab_folder, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(DataError, match=says("ground_truth_test_000.hdf5", "Permission denied", "chmod")):
        lodopab.sample(lodopab_folder, "test", 127)


def test_hdf5_that_is_compressed_by_a_missing_codec_says_so(lodopab_folder):
    code = 32001  # Blosc
    if h5py.h5z.filter_avail(code):
        pytest.skip("the codec is installed")
    path = lodopab_folder / "ground_truth_test_000.hdf5"
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, 362, 362))
        properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL)
        space, kind = h5py.h5s.create_simple((128, 362, 362)), h5py.h5t.IEEE_F32LE
        data = h5py.Dataset(h5py.h5d.create(file.id, b"data", kind, space, properties))
        data.id.write_direct_chunk((127, 0, 0), b"compressed elsewhere")
    with pytest.raises(
        DataError, match=says(path, "filter 32001", "no codec", "file is whole", "hdf5plugin")
    ) as caught:
        lodopab.sample(lodopab_folder, "test", 127)
    assert "Download" not in str(caught.value)


def test_lodopab_values_that_are_not_finite_are_named_by_file_and_row(lodopab_folder):
    image = np.full((362, 362), 0.5)
    image[3, 4] = np.inf
    path = write_lodopab(lodopab_folder / "ground_truth_test_001.hdf5", 128, (362, 362), {0: image})
    with pytest.raises(DataError, match=says(f"{path}: slice 0 of /data", "1 of 131044", "data are at fault")):
        lodopab.sample(lodopab_folder, "test", 128)


def test_paths_may_be_text(lodopab_folder, series, tmp_path):
    assert lodopab.sample(str(lodopab_folder), "test", 127)[0].shape == (362, 362)
    assert "ground_truth_test_002.hdf5" in lodopab.absent(str(lodopab_folder), ("test",))
    path = write_fastmri(tmp_path / "a.h5", knees(1, 320, 320))
    assert fastmri.read_kspace(fastmri.open_scan(str(path)), 0).shape == (320, 320)
    assert open_nifti(str(write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2)), "RAS", (1, 1, 1)))).name == "a.nii"
    assert open_dicom(str(series))[0].shape == (8, 6)
    for opened, name in ((open_dicom, "x"), (open_nifti, "x.nii"), (fastmri.open_scan, "x.h5")):
        with pytest.raises(DataError, match=says(name, "nothing is there")):
            opened(str(tmp_path / name))


# DICOM


def pixels(index: int) -> np.ndarray:
    return np.arange(48).reshape(8, 6) + 100 * index


@pytest.fixture
def series(tmp_path):
    """Five slices 2.5 mm apart, each with its own rescale, their names in another order than their positions."""
    folder = tmp_path / "series"
    folder.mkdir()
    for index, name in enumerate(("d", "a", "e.dcm", "b", "c")):
        write_dicom(folder / name, pixels(index), 2.5 * index, "1.2.3", slope=1 + index, intercept=-1024 + index)
    (folder / ".hidden").write_text("not a slice")
    return folder


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


def rewrite(path: Path, **tags: object) -> None:
    """Change a slice that was written; None leaves an empty element."""
    slice_ = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(slice_, name, value)
    slice_.save_as(path)


def test_dicom_values_go_through_the_modality_table(tmp_path):
    table = lookup_table(20, [200, 210, 220, 230, 240])
    for index, name in enumerate("ab"):
        path = write_dicom(tmp_path / name, np.full((8, 6), 24 - index), index, "1.2", ModalityLUTSequence=table)
        slice_ = pydicom.dcmread(path)
        del slice_.RescaleSlope, slice_.RescaleIntercept
        slice_.save_as(path)
    volume = open_dicom(tmp_path)
    assert (volume[0][0, 0], volume[1][0, 0]) == (240, 230)
    assert volume[0].dtype == np.float32


@pytest.mark.parametrize("empty", [True, False])
def test_dicom_refuses_a_slice_without_the_rescale_of_the_others(series, empty):
    if empty:
        rewrite(series / "b", RescaleSlope=None, RescaleIntercept=None)
    else:
        slice_ = pydicom.dcmread(series / "b")
        del slice_.RescaleSlope, slice_.RescaleIntercept
        slice_.save_as(series / "b")
    with pytest.raises(DataError, match=says("rescale differs", "4 files", "no rescale: 1 files, e.g. b")):
        open_dicom(series)


def test_dicom_values_without_any_rescale_are_those_stored(series):
    for path in series.glob("[a-e]*"):
        rewrite(path, RescaleSlope=None, RescaleIntercept=None)
    np.testing.assert_array_equal(open_dicom(series)[2], pixels(2))


def test_dicom_refuses_half_a_rescale_and_two_units(series):
    for path in series.glob("[a-e]*"):
        rewrite(path, RescaleIntercept=None)
    with pytest.raises(DataError, match=says("both or none", "RescaleSlope alone", "cannot be told")):
        open_dicom(series)
    for path in series.glob("[a-e]*"):
        rewrite(path, RescaleIntercept=0, RescaleType="HU")
    assert len(open_dicom(series)) == 5
    rewrite(series / "c", RescaleType="US")
    with pytest.raises(DataError, match=says("rescale differs", "to US: 1 files, e.g. c")):
        open_dicom(series)


@pytest.mark.parametrize(
    "padding",
    [
        {"PixelPaddingValue": -2000},
        {"PixelPaddingValue": -1990, "PixelPaddingRangeLimit": -2010},
        {"PixelPaddingValue": -2010, "PixelPaddingRangeLimit": -1990},
    ],
    ids=["value", "range", "range upwards"],
)
def test_dicom_padding_is_not_taken_for_tissue(series, padding):
    """It gets the lowest value that was measured in its slice."""
    stored = pixels(0) + 5
    stored[:3] = -2000
    write_dicom(series / "d", stored, 0, "1.2.3", intercept=0, **padding)
    expected = np.maximum(stored, stored[3:].min())
    np.testing.assert_array_equal(open_dicom(series)[0], expected)
    write_dicom(series / "d", np.full((8, 6), -2000), 0, "1.2.3", **padding)
    with pytest.raises(DataError, match=says(series / "d", "all of its pixels are padding")):
        open_dicom(series)[0]


def test_dicom_padding_may_be_written_as_unsigned_beside_signed_pixels(series):
    slice_ = pydicom.dcmread(write_dicom(series / "d", pixels(0) - 2000, 0, "1.2.3", intercept=0))
    slice_.add_new("PixelPaddingValue", "US", 2**16 - 2000)
    slice_.save_as(series / "d")
    assert open_dicom(series)[0][0, :2].tolist() == [-1999, -1999]


def test_dicom_padding_may_be_the_value_of_water(series):
    stored = pixels(3) - 1024
    stored[0] = 0
    write_dicom(series / "d", stored, 0, "1.2.3", intercept=0, PixelPaddingValue=0)
    assert (open_dicom(series)[0][0] == stored[1:].min()).all()


def test_dicom_refuses_slices_of_a_tilted_gantry(tmp_path):
    tilt = np.deg2rad(20)
    orientation = [1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)]
    for index, name in enumerate("abcd"):  # planes are tilted, the table moves along the body
        tags = {"ImageOrientationPatient": orientation, "GantryDetectorTilt": 20.0}
        write_dicom(tmp_path / name, pixels(index), 5.0 * index, "1.2", **tags)
    with pytest.raises(DataError, match=says("shifted by up to 5.1 mm", "gantry was tilted by 20 degrees", "dcm2niix")):
        open_dicom(tmp_path)


def test_dicom_says_which_decoder_is_missing(series):
    if get_decoder(JPEGLosslessSV1).is_available:
        pytest.skip("a decoder is installed")
    compress_dicom(series / "b", JPEGLosslessSV1, b"\xff\xd8\xff\xd9")
    with pytest.raises(DataError) as caught:
        open_dicom(series)
    assert re.search(
        says(series / "b", "JPEG Lossless", "no decoder", "file is whole", "pip install"), str(caught.value)
    )
    assert "again" not in str(caught.value)
    compress_dicom(series / "b", MPEG2MPML, b"\0\0")
    with pytest.raises(DataError, match=says("MPEG2", "knows no decoder")):
        open_dicom(series)


def test_dicom_compressed_slices_are_read_where_a_decoder_is_there(series):
    slice_ = pydicom.dcmread(series / "b")
    slice_.compress(RLELossless)
    slice_.save_as(series / "b")
    volume = open_dicom(series)
    np.testing.assert_array_equal(volume[3], pixels(3) * 4 - 1021)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PixelSpacing", [0, 0.5], ("both positive", "[0.0, 0.5]")),
        ("PixelSpacing", [-0.5, 0.5], ("both positive", "[-0.5, 0.5]")),
        ("PixelSpacing", [0.5], ("both positive", "0.5")),
        ("PixelSpacing", [0.5, 0.5, 2], ("both positive", "[0.5, 0.5, 2.0]")),
        ("PixelSpacing", ["nan", "0.5"], ("both positive", "nan")),
        ("ImagePositionPatient", [0, 0], ("3 finite numbers", "[0.0, 0.0]")),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], ("at right angles", "[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]")),
        ("ImageOrientationPatient", [0] * 6, ("two unit vectors", "0.0")),
    ],
)
def test_dicom_names_the_odd_number_in_a_header(series, name, value, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rewrite(series / "c", **{name: value})
        with pytest.raises(DataError, match=says(series / "c", name, *words, "Correct the header")):
            open_dicom(series)


def test_dicom_values_that_are_not_finite_are_the_fault_of_the_file(series):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rewrite(series / "c", RescaleSlope="inf")
    with pytest.raises(DataError, match=says(series / "c", "NaN or infinite", "data are at fault")):
        open_dicom(series)[4]


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


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((2, 2, 2), np.complex64), ("complex numbers", "complex64", "magnitude")),
        (np.zeros((2, 2, 2), [(colour, "u1") for colour in "RGB"]), ("colours", "one channel")),
    ],
    ids=["complex", "colour"],
)
def test_nifti_refuses_what_is_not_real(tmp_path, values, words):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(DataError, match=says("a.nii", "expected real numbers", *words)):
        open_nifti(tmp_path / "a.nii")


@pytest.mark.parametrize(("unit", "mm"), [("unknown", 1), ("mm", 1), ("meter", 1000), ("micron", 0.001)])
def test_nifti_spacing_is_in_mm_whatever_the_unit(tmp_path, unit, mm):
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.diag([0.5, 0.75, 2.0, 1]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    assert open_nifti(tmp_path / "a.nii").spacing == pytest.approx((2 * mm, 0.75 * mm, 0.5 * mm))


def change_header(path: Path, field: str, value: object) -> None:
    header = nibabel.load(path).header
    header[field] = value
    path.write_bytes(header.binaryblock + path.read_bytes()[len(header.binaryblock) :])


def test_nifti_refuses_a_unit_that_is_none(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2), np.int16), "RAS", (1, 1, 1))
    change_header(path, "xyzt_units", 5)
    with pytest.raises(DataError, match=says("a.nii", "unit of length", "xyzt_units is 5")):
        open_nifti(path)


@pytest.mark.parametrize("size", [1.0, 0.0, np.nan])
def test_nifti_refuses_an_affine_that_contradicts_the_size_of_voxels(tmp_path, size):
    path = write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2), np.int16), "RAS", (2, 2, 2))
    change_header(path, "pixdim", [1, size, 2, 2, 0, 0, 0, 0])
    with pytest.raises(DataError, match=says("a.nii", "pixdim says", "sform says 2 x 2 x 2", "cannot be told")):
        open_nifti(path)


def test_nifti_refuses_axes_that_lean(tmp_path):
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[1, 2] = 2 * np.tan(np.deg2rad(20))
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), affine)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(DataError, match=says("a.nii", "right angles", "20.0 degrees off", "tilted gantry")):
        open_nifti(tmp_path / "a.nii")
    turn = np.deg2rad(10)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), affine), tmp_path / "b.nii")
    assert len(open_nifti(tmp_path / "b.nii")) == 2  # oblique is no fault


def test_nifti_values_that_are_not_finite_are_named_by_file_and_slice(tmp_path):
    values = np.zeros((2, 2, 3), np.float32)
    values[0, 1, 2] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    volume = open_nifti(tmp_path / "a.nii")
    assert not volume[1].any()
    with pytest.raises(DataError, match=says("a.nii: slice 2", "1 of 4", "data are at fault")):
        volume[2]


def test_nifti_missing_or_not_a_volume(tmp_path):
    with pytest.raises(DataError, match=says("scan.nii", "expected a file", "nothing is there")):
        open_nifti(tmp_path / "scan.nii")
    (tmp_path / "notes.nii").write_text("notes")
    with pytest.raises(DataError, match=says("notes.nii", "expected a NIfTI volume")):
        open_nifti(tmp_path / "notes.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2, 5)), np.eye(4)), tmp_path / "series.nii")
    with pytest.raises(DataError, match=says("series.nii", "3 dimensions", "(2, 2, 2, 5)")):
        open_nifti(tmp_path / "series.nii")
