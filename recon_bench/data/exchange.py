"""Scans of a synchrotron in the Data Exchange form of HDF5 (De Carlo et al. 2014, doi:10.1107/S160057751401604X).

``exchange/data`` (views, rows, bins) are counts of a detector behind the sample, ``exchange/data_white`` without it and
``exchange/data_dark`` without the beam, any number of times; ``exchange/theta`` are the view angles in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from recon_bench.data.reading import DataError, attribute, dataset, hdf5
from recon_bench.task import finite

EXPECTED = "a scan in the Data Exchange form (HDF5)"


@dataclass(frozen=True)
class Scan:
    """``lines`` (views, rows, bins): line integrals -log((data - dark) / (white - dark)); ``angles`` in radians."""

    lines: NDArray[np.float64]
    angles: tuple[float, ...]


def read(path: str | Path, advice: str) -> Scan:
    """The whole scan. DataError, ending with ``advice``, where the file is not as the form says or a count is dark."""
    with hdf5(path, EXPECTED, advice) as file:
        data, white, dark = (_counts(file, name, advice) for name in ("data", "data_white", "data_dark"))
        theta = np.asarray(dataset(file, "exchange/theta", advice)[()], dtype=np.float64)
        unit = str(attribute(file["exchange/theta"], "units") or "degrees")
    where = f"{path}: exchange"
    if {white.shape[1:], dark.shape[1:]} != {data.shape[1:]} or theta.shape != data.shape[:1]:
        shapes = ", ".join(str(part.shape) for part in (data, white, dark, theta))
        raise DataError(
            f"{where}: expected data (views, rows, bins), data_white and data_dark (times, rows, bins) and theta "
            f"(views,), got {shapes}. {advice}"
        )
    if not unit.startswith("deg"):
        raise DataError(f"{where}/theta: expected view angles in degrees, but their unit is {unit!r}. {advice}")
    open_beam = white.mean(0) - dark.mean(0)
    passed = data - dark.mean(0)
    if (closed := int((open_beam <= 0).sum() + (passed <= 0).sum())) > 0:
        raise DataError(f"{where}: expected more counts than in the dark, but {closed} have not. {advice}")
    return Scan(finite(-np.log(passed / open_beam), where), tuple(np.deg2rad(finite(theta, where)).tolist()))


def _counts(file: h5py.File, name: str, advice: str) -> NDArray[np.float64]:
    found = dataset(file, f"exchange/{name}", advice)
    if found.ndim != 3 or 0 in found.shape:
        raise DataError(f"{file.filename}: expected exchange/{name} (times, rows, bins), got {found.shape}. {advice}")
    return finite(np.asarray(found[()], dtype=np.float64), f"{file.filename}: exchange/{name}")
