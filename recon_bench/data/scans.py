"""The real scans shipped with the package (sources and licences: ``files/LICENSES.md``), read when first asked for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon_bench.storage import sha256

FOLDER = Path(__file__).parent / "files"
Blocks = tuple[tuple[int, int], ...]  # half-open ranges of slices


@lru_cache(maxsize=1)
def head_ct() -> NDArray[np.float64]:
    """Head CT ``(108 axial slices, 256 rows, 256 columns)``, jaw to vertex, nose at the top, pixel 0.957 mm.

    Attenuation relative to water, 1 + HU/1000, at least 0; the linear attenuation is that times 0.02 per mm
    (the value for water of Adler and Öktem 2018, doi:10.1109/TMI.2018.2799231).
    """
    return _frozen(1 + _read("head_ct", "hu")[:, ::-1] / 1000)


@lru_cache(maxsize=1)
def brain_mri() -> NDArray[np.float64]:
    """T1-weighted head MRI ``(181 axial slices, 217 rows, 181 columns)``, 1 mm, front at the top, maximum 1."""
    volume = _read("brain_mri", "t1")
    return _frozen(volume / volume.max())


def file_hash(name: str) -> str:
    """Hash of the shipped file of scan ``name``: "head_ct" or "brain_mri"."""
    return sha256((FOLDER / f"{name}.npz").read_bytes())


def slices(blocks: Blocks) -> tuple[int, ...]:
    """The slices of some half-open ``blocks``: ((0, 2), (7, 9)) gives 0, 1, 7, 8."""
    return tuple(i for first, end in blocks for i in range(first, end))


def pad(image: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """``image`` (rows, columns) with zeros around it to ``(size, size)``, centred. ValueError where it does not fit."""
    if max(image.shape) > size:
        raise ValueError(f"an image of {image.shape} does not fit into {size} x {size}: choose a larger size")
    return np.pad(image, [((size - n) // 2, size - n - (size - n) // 2) for n in image.shape])


def _read(name: str, array: str) -> NDArray:
    with np.load(FOLDER / f"{name}.npz") as file:
        return file[array]


def _frozen(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    volume.flags.writeable = False
    return volume
