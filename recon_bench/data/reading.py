"""What the readers of scans share: the checks, the error they raise, and a volume that is read slice by slice.

Every failure is a :class:`DataError` that names the file, what was expected, what came and what to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from h5py.h5z import filter_avail

from recon_bench.task import DataError, finite


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


def existing(path: str | Path, kind: Literal["file", "folder"], advice: str) -> Path:
    """``path`` itself if it is there as ``kind``, or a DataError ending with ``advice``."""
    path = Path(path)
    if not (path.is_file() if kind == "file" else path.is_dir()):
        came = f"it is not a {kind}" if path.exists() else "nothing is there"
        raise DataError(f"{path}: expected a {kind}, but {came}. {advice}")
    return path


@contextmanager
def reading(path: str | Path, expected: str, advice: str) -> Iterator[None]:
    """Turn whatever a library raises while ``path`` is read into a DataError that says ``expected`` and what to do.

    That is ``advice``, unless the cause lies outside the file: no permission, a lock.
    """
    path = existing(path, "file", advice)
    try:
        yield
    except (DataError, IndexError, MemoryError):
        raise
    except Exception as error:  # h5py, pydicom, nibabel, gzip and xml raise a dozen types for one damaged file
        cure = next((cure for kind, cure in _CURES if isinstance(error, kind)), advice)
        text = isinstance(error, UnicodeDecodeError)
        said = "it is no text in UTF-8" if text else f"{type(error).__name__}: {error}".rstrip(".")
        raise DataError(f"{path}: expected {expected}, but {said}. {cure}") from error


def stored(path: Path, expected: str, advice: str) -> np.ndarray | dict[str, np.ndarray]:
    """The array that numpy.save wrote, or those that numpy.savez did, by name. DataError for anything else; NumPy's own
    words are about code that loads a file."""
    path = existing(path, "file", advice)
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # numpy, zipfile and zlib raise a dozen types for a file of another kind
        raise DataError(f"{path}: expected {expected}, but it is of another kind, or damaged. {advice}") from error


_CURES = (
    (PermissionError, "The file is there and may not be read: give yourself the right to (chmod u+r)."),
    (BlockingIOError, "Another program has locked the file, most likely to write it: wait for it, or close it there."),
)


@contextmanager
def hdf5(path: str | Path, expected: str, advice: str) -> Iterator[h5py.File]:
    """The HDF5 file ``path``, open for reading; failures as in :func:`reading`. Locks count where there are any."""
    with reading(path, expected, advice), h5py.File(path, "r", locking="best-effort") as file:
        yield file


def dataset(file: h5py.File, name: str, advice: str) -> h5py.Dataset:
    """The dataset ``name`` of an open HDF5 file, or a DataError that lists what the file holds."""
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{file.filename}: expected a dataset {name!r}, but the file holds {sorted(file)}. {advice}")
    return found


def attribute(of: h5py.File | h5py.Dataset, name: str) -> str | int | float | None:
    """The attribute ``name`` of an open HDF5 file or of what it holds, text or a number; None where it is not there or
    empty.

    Writers of HDF5 store text as str or as bytes and either as a scalar or as an array of one.
    """
    value = of.attrs.get(name)
    return None if value is None or isinstance(value, h5py.Empty) else single(value, f"{of.file.filename}: {name}")


def single(value: Any, where: str) -> str | int | float:
    """The one text or number in ``value``: a scalar or an array of one of it; bytes are UTF-8.

    DataError for none or several; ``where`` names the file and the field.
    """
    values = np.asarray(value).ravel()
    if len(values) != 1:
        raise DataError(f"{where}: expected a single value, but there are {len(values)}: {value!r:.80}")
    item = values[0]
    if isinstance(item, bytes):
        return item.decode()
    return item if isinstance(item, str) else item.item()


def row(data: h5py.Dataset, index: int, dtype: type[np.generic]) -> np.ndarray:
    """``data[index]`` as ``dtype``. DataError where values are not finite, or naming a codec that is missing."""
    try:
        values = data[index]
    except OSError as error:
        if missing := _missing_codecs(data):
            raise DataError(
                f"{data.file.filename}: {data.name} is compressed with {', '.join(missing)}, for which this HDF5 has "
                "no codec; the file is whole. pip install hdf5plugin and set HDF5_PLUGIN_PATH to what "
                "python -c 'import hdf5plugin; print(hdf5plugin.PLUGIN_PATH)' prints, or rewrite the file with "
                "h5repack -f GZIP=4."
            ) from error
        raise
    return finite(np.asarray(values, dtype=dtype), f"{data.file.filename}: slice {index} of {data.name}")


def _missing_codecs(data: h5py.Dataset) -> list[str]:
    properties = data.id.get_create_plist()
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    return [f"filter {code} ({name.decode() or 'no name'})" for code, _, _, name in filters if not filter_avail(code)]
