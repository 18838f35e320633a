"""What the readers of scans share: the checks, the error they raise, and a volume that is read slice by slice.

Every failure is a :class:`DataError` that names the file, what was expected, what came and what to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np


class DataError(ValueError):
    """Scans that are missing or cannot be used; the text says what was expected, what came and what to do."""


@dataclass(frozen=True)
class Volume:
    """A stack of slices, read only when asked for.

    ``shape``: (slices, rows, columns); ``spacing``: distance in mm along those axes; ``read(index)`` gives one slice
    (rows, columns) in float32 without checking the index: use ``volume[index]``.
    """

    name: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    read: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(
                f"slice {index} is outside {self.name} of {len(self)} slices: expected 0 to {len(self) - 1}"
            )
        return self.read(index)


def folder_from(variable: str, advice: str) -> Path:
    """The folder that the environment variable ``variable`` names, or a DataError ending with ``advice``."""
    value = os.environ.get(variable)
    if not value:
        raise DataError(f"{variable} is not set: expected the folder that holds the data. {advice}")
    return existing(Path(value), "folder", advice)


def existing(path: Path, kind: Literal["file", "folder"], advice: str) -> Path:
    """``path`` itself if it is there as ``kind``, or a DataError ending with ``advice``."""
    if not (path.is_file() if kind == "file" else path.is_dir()):
        came = f"it is not a {kind}" if path.exists() else "nothing is there"
        raise DataError(f"{path}: expected a {kind}, but {came}. {advice}")
    return path


@contextmanager
def reading(path: Path, expected: str, advice: str) -> Iterator[None]:
    """Turn whatever a library raises while ``path`` is read into a DataError that says ``expected`` and ``advice``."""
    existing(path, "file", advice)
    try:
        yield
    except (DataError, IndexError, MemoryError):
        raise
    except Exception as error:  # h5py, pydicom, nibabel, gzip and xml raise a dozen types for one damaged file
        raise DataError(f"{path}: expected {expected}, but {type(error).__name__}: {error}. {advice}") from error


@contextmanager
def hdf5(path: Path, expected: str, advice: str) -> Iterator[h5py.File]:
    """The HDF5 file ``path``, open for reading; failures as in :func:`reading`."""
    with reading(path, expected, advice), h5py.File(path, "r") as file:
        yield file


def dataset(file: h5py.File, name: str, advice: str) -> h5py.Dataset:
    """The dataset ``name`` of an open HDF5 file, or a DataError that lists what the file holds."""
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{file.filename}: expected a dataset {name!r}, but the file holds {sorted(file)}. {advice}")
    return found
