"""fastMRI knee and brain volumes as their owners publish them (doi:10.1148/ryai.2020190007).

One HDF5 file per volume: ``kspace`` (slices, [coils,] rows, columns) complex, ``ismrmrd_header`` (XML, the ISMRMRD
schema), ``reconstruction_esc`` (single coil) or ``reconstruction_rss`` (multi-coil) of (slices, rows, columns), and the
attributes max, norm, acquisition, patient_id. Folders: singlecoil_train, singlecoil_val, multicoil_train, ...
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from recon_bench.data.reading import DataError, attribute, dataset, hdf5, row, single

ADVICE = (
    "Download fastMRI from its owners' page (https://fastmri.med.nyu.edu) after agreeing to their terms and unpack its "
    "folders singlecoil_train, singlecoil_val, ... as they are; a damaged file must be downloaded again."
)
EXPECTED = "a fastMRI volume (HDF5)"


@dataclass(frozen=True)
class Header:
    """What the ISMRMRD header says of the sampling.

    ``encoded`` and ``recon``: matrix sizes (x, y, z), x being the rows of ``kspace`` (readout) and y its columns;
    ``measured``: first and one past the last column that was measured, the others being zero; ``acceleration``: the
    scanner's own parallel-imaging factor along the columns (1: fully sampled).
    """

    encoded: tuple[int, int, int]
    recon: tuple[int, int, int]
    measured: tuple[int, int]
    acceleration: int


@dataclass(frozen=True)
class Scan:
    """One volume. ``shape`` is that of ``kspace``; ``maximum`` is the largest target value (None: no target)."""

    path: Path
    shape: tuple[int, ...]
    header: Header
    acquisition: str
    patient: str
    maximum: float | None

    @property
    def multicoil(self) -> bool:
        """Whether ``shape`` is (slices, coils, rows, columns) and not (slices, rows, columns)."""
        return len(self.shape) == 4


def open_scan(path: str | Path) -> Scan:
    """Read everything but the arrays. DataError where something is not as fastMRI describes it."""
    path = Path(path)
    with hdf5(path, EXPECTED, ADVICE) as file:
        shape, dtype = (kspace := dataset(file, "kspace", ADVICE)).shape, kspace.dtype
        if len(shape) not in (3, 4) or dtype.kind != "c":
            raise DataError(
                f"{path}: expected complex kspace of (slices, rows, columns) or (slices, coils, rows, columns), "
                f"but it is {dtype} of {shape}. {ADVICE}"
            )
        maximum = attribute(file, "max")
        if maximum is not None and not math.isfinite(float(maximum)):
            raise DataError(f"{path}: expected a finite attribute max, but it is {maximum}. {ADVICE}")
        return Scan(
            path=path,
            shape=shape,
            header=parse_header(str(single(dataset(file, "ismrmrd_header", ADVICE)[()], f"{path}: ismrmrd_header"))),
            acquisition=str(attribute(file, "acquisition") or ""),
            patient=str(attribute(file, "patient_id") or ""),
            maximum=None if maximum is None else float(maximum),
        )


def parse_header(xml: bytes | str) -> Header:
    """The sampling part of an ISMRMRD XML header (doi:10.1002/mrm.26089). DataError where it lacks a number."""
    encoding = ElementTree.fromstring(xml).find("{*}encoding")

    def number(path: str, default: int | None = None) -> int:
        text = None if encoding is None else encoding.findtext("/".join("{*}" + part for part in path.split("/")))
        if text is None and default is None:
            raise DataError(f"the ISMRMRD header has no encoding/{path}: expected it in every fastMRI file. {ADVICE}")
        return int(text) if text is not None else int(default or 0)

    def matrix(space: str) -> tuple[int, int, int]:
        x, y, z = (number(f"{space}/matrixSize/{axis}") for axis in "xyz")
        return x, y, z

    encoded, recon = matrix("encodedSpace"), matrix("reconSpace")
    limits = "encodingLimits/kspace_encoding_step_1"
    first = encoded[1] // 2 - number(f"{limits}/center")
    return Header(
        encoded=encoded,
        recon=recon,
        measured=(first, first + number(f"{limits}/maximum") + 1),
        acceleration=number("parallelImaging/accelerationFactor/kspace_encoding_step_1", 1),
    )


def read_kspace(scan: Scan, index: int) -> np.ndarray:
    """Measured k-space of one slice: ([coils,] rows, columns) complex64, zero frequency in the centre."""
    return _read(scan, "kspace", index, np.complex64)


def read_target(scan: Scan, index: int) -> np.ndarray:
    """The owners' magnitude image of one slice, (rows, columns) float32: coil emulated, or root of sum of squares."""
    return _read(scan, "reconstruction_rss" if scan.multicoil else "reconstruction_esc", index, np.float32)


def image(kspace: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Centred orthonormal inverse FFT of (..., rows, columns), cropped around the centre to ``size``; complex64.

    DataError where k-space is smaller.
    """
    if any(have < want for have, want in zip(kspace.shape[-2:], size)):
        raise DataError(f"cannot crop {kspace.shape[-2:]} to {size}: expected k-space at least that large")
    axes = (-2, -1)
    full = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), norm="ortho"), axes=axes)
    top, left = ((have - want) // 2 for have, want in zip(full.shape[-2:], size))
    return full[..., top : top + size[0], left : left + size[1]].astype(np.complex64)


def root_sum_of_squares(coils: np.ndarray) -> np.ndarray:
    """Magnitude (..., rows, columns) of coil images (..., coils, rows, columns)."""
    return np.sqrt(np.sum(np.abs(coils) ** 2, axis=-3))


def _read(scan: Scan, name: str, index: int, dtype: type[np.generic]) -> np.ndarray:
    if not 0 <= index < scan.shape[0]:
        raise IndexError(f"{scan.path} has no slice {index}: expected 0 to {scan.shape[0] - 1}")
    with hdf5(scan.path, EXPECTED, ADVICE) as file:
        if name != "kspace" and name not in file:
            raise DataError(
                f"{scan.path}: expected {name}, but there is none, as in the owners' test and challenge "
                "folders: use a file of a train or val folder."
            )
        data: h5py.Dataset = dataset(file, name, ADVICE)
        if data.shape[0] != scan.shape[0]:
            raise DataError(
                f"{scan.path}: expected {scan.shape[0]} slices of {name}, but it has {data.shape}. {ADVICE}"
            )
        return row(data, index, dtype)
