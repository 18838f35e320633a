"""One series of DICOM slices in a folder, as a volume in the units of its rescale (Hounsfield units for CT)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from recon_bench.data.reading import DataError, Volume, existing, reading

ADVICE = "Keep one complete series of single-frame slices per folder, and nothing else in it."
_HEADER = ("SeriesInstanceUID", "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")


def open_dicom(folder: Path) -> Volume:
    """The series in ``folder``; files may have any name and order.

    Slices are sorted by their position along the normal (row direction x column direction), so an axial series goes
    from feet to head; rows and columns stay as stored. Spacing in mm is measured between positions. DICOM PS3.3,
    C.7.6.2 (image plane) and C.11.1 (rescale).
    """
    paths = sorted(p for p in existing(folder, "folder", ADVICE).iterdir() if p.is_file() and p.name[0] != ".")
    if len(paths) < 2:
        raise DataError(f"{folder}: expected at least 2 DICOM slices, but there are {len(paths)} files. {ADVICE}")
    headers = [_header(path) for path in paths]
    _same_series(folder, paths, headers)
    first = headers[0]
    directions = np.array(first.ImageOrientationPatient, dtype=float)
    normal = np.cross(directions[:3], directions[3:])
    positions = np.array([np.dot(normal, np.array(h.ImagePositionPatient, dtype=float)) for h in headers])
    order = np.argsort(positions)
    ordered = [paths[i] for i in order]
    spacing = _spacing(folder, ordered, positions[order])
    row, column = (float(mm) for mm in first.PixelSpacing)
    shape = (len(paths), int(first.Rows), int(first.Columns))
    return Volume(folder.name, shape, (spacing, row, column), lambda index: _slice(ordered[index], shape[1:]))


def _header(path: Path) -> pydicom.Dataset:
    with reading(path, "a DICOM slice", ADVICE):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*_HEADER, "NumberOfFrames"])
    absent = [name for name in _HEADER if header.get(name) is None]
    if absent or int(header.get("NumberOfFrames") or 1) != 1:
        came = f"it lacks {', '.join(absent)}" if absent else f"it holds {header.NumberOfFrames} frames"
        raise DataError(f"{path}: expected a single DICOM slice with its position, but {came}. {ADVICE}")
    return header


def _same_series(folder: Path, paths: list[Path], headers: list[pydicom.Dataset]) -> None:
    """Refuse slices of different series, sizes, spacings or orientations."""
    for name in _HEADER:
        if name == "ImagePositionPatient":
            continue
        groups: dict[str, list[Path]] = {}
        for path, header in zip(paths, headers):
            value = header[name].value
            key = value if isinstance(value, str | int) else [round(float(v), 4) for v in value]
            groups.setdefault(str(key), []).append(path)
        if len(groups) > 1:
            found = "; ".join(f"{key}: {len(group)} files, e.g. {group[0].name}" for key, group in groups.items())
            raise DataError(f"{folder}: expected slices of one series, but {name} differs ({found}). {ADVICE}")


def _spacing(folder: Path, ordered: list[Path], positions: np.ndarray) -> float:
    """Distance of neighbouring slices in mm; refuses doubled and missing ones (beyond 5 % of the median)."""
    steps = np.diff(positions)
    spacing = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - spacing)))
    if spacing <= 0 or abs(steps[worst] - spacing) > 0.05 * spacing:
        raise DataError(
            f"{folder}: expected slices {spacing:g} mm apart, but {ordered[worst].name} and {ordered[worst + 1].name} "
            f"are {steps[worst]:g} mm apart: a slice is missing or there twice. {ADVICE}"
        )
    return spacing


def _slice(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Pixels of one file after its own rescale, (rows, columns) float32."""
    with reading(path, f"a DICOM slice with {shape[0]} x {shape[1]} pixels", "Copy the file again from its source."):
        data = pydicom.dcmread(path)
        pixels = data.pixel_array
        if pixels.shape != shape:
            raise DataError(f"{path}: expected grey pixels of shape {shape}, but they are {pixels.shape}. {ADVICE}")
        slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        return (pixels * slope + intercept).astype(np.float32)
