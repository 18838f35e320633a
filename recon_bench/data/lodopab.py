"""LoDoPaB-CT as its owners publish it (doi:10.5281/zenodo.3384092, described in doi:10.1038/s41597-021-00893-z).

A folder of HDF5 files ``ground_truth_test_000.hdf5`` and ``observation_test_000.hdf5`` (also train, validation), each
with one dataset "data" of 128 samples; the last file of a split holds the rest.

Images are stored as (x, y) of the owners' ODL geometry: the first index runs to the right of the picture, the second
down the DICOM slice that the image was cut from.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon_bench.data.reading import DataError, dataset, hdf5, row

SIZES = {"train": 35820, "validation": 3522, "test": 3553}
PER_FILE = 128
IMAGE = (362, 362)
SINOGRAM = (1000, 513)
MU_MAX = 3071 * (20 - 0.02) / 1000 + 20  # 81.36 / m, the attenuation at 3071 HU that both arrays are divided by

ADVICE = (
    "Download LoDoPaB-CT from Zenodo (doi:10.5281/zenodo.3384092) and unpack observation_SPLIT.zip and "
    "ground_truth_SPLIT.zip for the splits validation and test (train only for methods that learn) into one folder."
)


def sample(folder: str | Path, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (362, 362) and observation (1000 views, 513 bins) number ``index`` of a split, float32, as stored."""
    return _read(folder, "ground_truth", split, index, IMAGE), _read(folder, "observation", split, index, SINOGRAM)


def absent(folder: str | Path, splits: tuple[str, ...]) -> list[str]:
    """Names of the files of ``splits`` that are not in ``folder`` (their contents are checked when they are read)."""
    paths = (
        _path(folder, kind, split, file)
        for split in splits
        for kind in ("ground_truth", "observation")
        for file in range(-(-SIZES[split] // PER_FILE))
    )
    return [path.name for path in paths if not path.is_file()]


def _path(folder: str | Path, kind: str, split: str, file: int) -> Path:
    return Path(folder) / f"{kind}_{split}_{file:03d}.hdf5"


def _read(folder: str | Path, kind: str, split: str, index: int, shape: tuple[int, int]) -> np.ndarray:
    if split not in SIZES or not 0 <= index < SIZES[split]:
        raise IndexError(f"no sample {index} of {split!r}: LoDoPaB-CT has {SIZES}")
    file, place = divmod(index, PER_FILE)
    count = min(PER_FILE, SIZES[split] - file * PER_FILE)
    path = _path(folder, kind, split, file)
    with hdf5(path, "an HDF5 file of LoDoPaB-CT", ADVICE) as opened:
        data = dataset(opened, "data", ADVICE)
        # the owners' script leaves the last image file at its full 128, so more than count is no fault
        if data.ndim != 3 or data.shape[1:] != shape or not count <= data.shape[0] <= PER_FILE:
            raise DataError(f"{path}: expected data of shape {(count, *shape)}, but it has {data.shape}. {ADVICE}")
        return row(data, place, np.float32)
