"""How data were measured, from a TOML file, and the data themselves; ``docs/own-data.md`` has an example of each kind.

Every failure is a :class:`DataError` that names the file, what was expected, what came and what to do.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_bench.core import Noise, Operator
from recon_bench.data.reading import reading, stored
from recon_bench.names import hint
from recon_bench.operators import FanBeam, FanTransform, FunctionOperator, MaskedFourier, ParallelBeam, RayTransform
from recon_bench.reconstruction import lengths
from recon_bench.task import DataError, finite

RAYS = ("pixels", "pixel", "angles", "spacing", "shift", "axis")
KEYS = {"parallel-beam": RAYS, "fan-beam": (*RAYS, "source", "detector"), "fourier": ("columns", "mask", "coils")}
COMMON = ("kind", "noise", "data_range")
NOISES = ("gaussian", "complex-gaussian", "poisson")
ADVICE = "docs/own-data.md has an example of each file."
NUMBERS = ("spacing", "axis", "shift", "pixels", "pixel", "source", "detector", "data_range")


@dataclass(frozen=True)
class Scan:
    """What was measured and how: ``data`` ``(n, *range_shape)`` of n slices, or of the coils of one if ``coils``.

    ``noise`` and ``data_range`` (the largest value of an image) are None where they are not known; ``notes`` warn.
    """

    operator: Operator
    data: Tensor
    noise: Noise | None
    data_range: float | None
    coils: bool
    notes: Sequence[str] = ()


def read(data: Path, geometry: Path, device: torch.device) -> Scan:
    """The scan of ``data``, a .npy file, measured as the TOML file ``geometry`` says; DataError."""
    told = _table(geometry)
    known = (*COMMON, *KEYS[told["kind"]])
    for key in told:
        if key not in known:
            raise DataError(f"{geometry}: unknown key {key!r}{hint(key, known)} (known: {', '.join(known)})")
        if key in NUMBERS and (isinstance(told[key], bool) or not isinstance(told[key], int | float)):
            raise DataError(f"{geometry}: expected {key} as a number, all lengths in one unit, got {told[key]!r}")
    values = _array(data)
    make = _fourier if told["kind"] == "fourier" else _rays
    try:
        operator, values, notes = make(told, values, data, geometry, device)
    except (ValueError, TypeError) as error:
        raise error if isinstance(error, DataError) else DataError(f"{geometry}: {error}") from error
    y = torch.from_numpy(values).to(operator.dtype).reshape(-1, *operator.range_shape)
    data_range = told.get("data_range")
    return Scan(operator, y, _noise(told, geometry), data_range and float(data_range), bool(told.get("coils")), notes)


def _table(path: Path) -> dict[str, Any]:
    with reading(path, "a TOML file of how the data were measured", ADVICE):
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    if found.get("kind") not in KEYS:
        raise DataError(f"{path}: expected kind = {' | '.join(map(repr, KEYS))}, got {found.get('kind')!r}")
    return found


def _array(path: Path) -> NDArray[Any]:
    values = stored(path, "an array as numpy.save writes it", ADVICE)
    if not isinstance(values, np.ndarray) or values.ndim not in (2, 3):
        came = values.shape if isinstance(values, np.ndarray) else f"arrays by name, {', '.join(values) or 'none'}"
        raise DataError(f"{path}: expected one array of two dimensions, or of three with slices first, got {came}")
    return finite(values, str(path))


def _rays(
    told: Mapping[str, Any], values: NDArray[Any], data: Path, path: Path, device: torch.device
) -> tuple[Operator, NDArray[Any], Sequence[str]]:
    """The transform of a parallel or fan beam, the data (n, views, bins), and what is odd about the lengths."""
    if values.dtype.kind != "f":
        raise DataError(
            f"{data}: expected line integrals as real numbers, got {values.dtype}. Of counts of photons take "
            "-log((counts - dark) / (flat - dark))"
        )
    angles, bins = _angles(told, path), values.shape[-1]
    if values.shape[-2] != len(angles):
        turned = ": it seems to be (bins, views), turn it by numpy.swapaxes(y, -1, -2)" * (bins == len(angles))
        raise DataError(
            f"{data}: expected (views, bins) with the {len(angles)} views of {path}, got {values.shape[-2:]}{turned}"
        )
    spacing = float(_needed(told, "spacing", path, "the distance of the bins of the detector"))
    if "axis" in told and "shift" in told:
        raise DataError(f"{path}: axis and shift say the same; leave one out")
    moved = ((bins - 1) / 2 - float(told["axis"])) * spacing if "axis" in told else float(told.get("shift", 0.0))
    pixels = _needed(told, "pixels", path, "how many rows and columns the image has")
    sizes = {"spacing": spacing, "shift": moved, "pixel": _needed(told, "pixel", path, "the side of a pixel")}
    if told["kind"] == "parallel-beam":
        parallel = ParallelBeam(pixels, angles, bins, **sizes)
        odd = list(lengths.notes(parallel))  # before the transform, which may be large where a length is wrong
        return RayTransform(parallel, device), values, odd
    far = {
        "source": _needed(told, "source", path, "the distance of the source from the axis"),
        "detector": _needed(told, "detector", path, "the distance of the detector from the axis"),
    }
    fan = FanBeam(pixels, angles, bins, **far, **sizes)
    odd = list(lengths.notes(fan))
    return FanTransform(fan, device), values, odd


def _angles(told: Mapping[str, Any], path: Path) -> tuple[float, ...]:
    """The angles in radians: from a list or a file of degrees, or a first one, a step and a number of views."""
    found = _needed(told, "angles", path, "the angle of each view in degrees, or { first = 0, step = 1, views = 180 }")
    if isinstance(found, Mapping):
        if set(found) != {"first", "step", "views"}:
            raise DataError(f"{path}: expected angles = {{ first = 0, step = 1, views = 180 }}, got {dict(found)}")
        found = [found["first"] + found["step"] * i for i in range(found["views"])]
    elif isinstance(found, str):
        found = np.ravel(_load(path.parent / found)).tolist()
    if not found or not all(isinstance(angle, int | float) for angle in found):
        raise DataError(f"{path}: expected angles as numbers of degrees, got {found!r:.60}")
    if len(found) > 2 and max(found) - min(found) < 2 * math.pi + 0.01 and abs(max(found) - min(found) - math.pi) < 0.2:
        raise DataError(
            f"{path}: the angles go from {min(found):g} to {max(found):g}, which seems to be radians: expected degrees"
        )
    return tuple(math.radians(angle) for angle in found)


def _fourier(
    told: Mapping[str, Any], values: NDArray[Any], data: Path, path: Path, device: torch.device
) -> tuple[Operator, NDArray[Any], Sequence[str]]:
    """The transform to what was measured of k-space, and that data: all kept columns, or the points of a mask."""
    if values.dtype.kind != "c":
        raise DataError(f"{data}: expected k-space as complex numbers, got {values.dtype}")
    if ("columns" in told) == ("mask" in told):
        raise DataError(
            f"{path}: expected either columns, the numbers of those of k-space that were measured, or mask, a .npy "
            "file (rows, columns) that is true at the points that were measured"
        )
    rows, width = values.shape[-2:]
    if "columns" in told:
        columns = told["columns"]
        if not columns or width <= max(columns):
            raise DataError(
                f"{data}: expected k-space with all of its columns, also those that were not measured, of which the "
                f"numbers {columns[:3]}... are kept; got {width} columns"
            )
        return MaskedFourier((rows, width), tuple(columns), device), values[..., list(columns)], ()
    mask = _load(path.parent / told["mask"]).astype(bool)
    if mask.shape != (rows, width):
        raise DataError(f"{data}: expected k-space of the shape of the mask, {mask.shape}, got {(rows, width)}")
    whole, kept = MaskedFourier((rows, width), tuple(range(width)), device), torch.from_numpy(mask).to(device)

    def back(y: Tensor) -> Tensor:
        k = y.new_zeros(len(y), rows, width)
        k[:, kept] = y[:, 0]
        return whole.adjoint(k)

    measured = int(mask.sum())
    operator = FunctionOperator(
        (rows, width), (1, measured), lambda x: whole(x)[:, kept], back, device, torch.complex64
    )
    return operator, values[..., mask], ()


def _load(path: Path) -> NDArray[Any]:
    if path.suffix == ".npy":
        found = stored(path, "an array as numpy.save writes it", ADVICE)
        if isinstance(found, np.ndarray):
            return found
        raise DataError(f"{path}: expected one array, got arrays by name, {', '.join(found) or 'none'}")
    with reading(path, "numbers as numpy.savetxt writes them, or a .npy file", ADVICE):
        return np.loadtxt(path)


def _noise(told: Mapping[str, Any], path: Path) -> Noise | None:
    if (found := told.get("noise")) is None:
        return None
    if not isinstance(found, Mapping) or set(found) != {"kind", "level"} or found["kind"] not in NOISES:
        raise DataError(
            f"{path}: expected noise = {{ kind = {' | '.join(map(repr, NOISES))}, level = a number }}, got {found!r}"
        )
    return Noise(found["kind"], float(found["level"]))


def _needed(told: Mapping[str, Any], key: str, path: Path, what: str) -> Any:
    if key not in told:
        raise DataError(f"{path}: expected {key}, {what}; there are: {', '.join(told)}")
    return told[key]
