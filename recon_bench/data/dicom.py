"""One series of DICOM slices in a folder, as a volume in the units of its modality (Hounsfield units for CT)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, get_decoder

from recon_bench.data.reading import DataError, Volume, existing, finite, reading

ADVICE = "Keep one complete series of single-frame slices per folder, and nothing else in it."
_HEADER = ("SeriesInstanceUID", "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
_NUMBERS = {"PixelSpacing": 2, "ImagePositionPatient": 3, "ImageOrientationPatient": 6}
_MODALITY = ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence")
_TAGS = [*_HEADER, *_MODALITY, "NumberOfFrames", "GantryDetectorTilt"]


def open_dicom(folder: str | Path) -> Volume:
    """The series in ``folder``; files may have any name and order.

    Slices are sorted by their position along the normal (row direction x column direction), so an axial series goes
    from feet to head; rows and columns stay as stored. Spacing in mm is measured between positions. Values are taken
    through each slice's own rescale or lookup table; padding, which was not measured, gets the lowest measured value of
    its slice. DICOM PS3.3, C.7.5.1.1.2 (padding), C.7.6.2 (image plane) and C.11.1 (modality). DataError where slices
    are missing or do not belong together, or a file cannot be read.
    """
    folder = existing(folder, "folder", ADVICE)
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.name[0] != ".")
    if len(paths) < 2:
        raise DataError(f"{folder}: expected at least 2 DICOM slices, but there are {len(paths)} files. {ADVICE}")
    headers = [_header(path) for path in paths]
    _same_series(folder, paths, headers)
    first = headers[0]
    directions = np.array(first.ImageOrientationPatient, dtype=float)
    normal = np.cross(directions[:3], directions[3:])
    positions = np.array([header.ImagePositionPatient for header in headers], dtype=float)
    order = np.argsort(positions @ normal)
    ordered = [paths[i] for i in order]
    spacing = _spacing(folder, ordered, positions[order] @ normal)
    _straight(folder, positions[order], normal, first)
    row, column = (float(mm) for mm in first.PixelSpacing)
    shape = (len(paths), int(first.Rows), int(first.Columns))
    return Volume(folder.name, shape, (spacing, row, column), lambda index: _slice(ordered[index], shape[1:]))


def _header(path: Path) -> pydicom.Dataset:
    with reading(path, "a DICOM slice", ADVICE):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*_TAGS])
        for name in _TAGS:
            header.get(name)  # converted when first asked for: what is no number fails here
        absent = [name for name in _HEADER if header.get(name) is None]
        if absent or int(header.get("NumberOfFrames") or 1) != 1:
            came = f"it lacks {', '.join(absent)}" if absent else f"it holds {header.NumberOfFrames} frames"
            raise DataError(f"{path}: expected a single DICOM slice with its position, but {came}. {ADVICE}")
        for name, count in _NUMBERS.items():
            _check_numbers(path, name, np.array(header[name].value, dtype=float), count)
        _check_decoder(path, header)
    return header


def _check_numbers(path: Path, name: str, values: np.ndarray, count: int) -> None:
    """Refuse a ``PixelSpacing`` that is not two lengths, and positions and directions that are none."""
    good = values.shape == (count,) and np.isfinite(values).all()
    expected = f"{count} finite numbers"
    if name == "PixelSpacing":
        good, expected = good and (values > 0).all(), "the distances in mm, both positive, of its rows and columns"
    elif name == "ImageOrientationPatient":
        axes = values.reshape(2, 3) if good else np.zeros((2, 3))
        good, expected = np.allclose(axes @ axes.T, np.eye(2), atol=1e-2), "two unit vectors at right angles"
    if not good:
        raise DataError(
            f"{path}: expected as {name} {expected}, but it is {values.tolist()}. Correct the header from what is "
            "known of the scan, or leave the series out."
        )


def _check_decoder(path: Path, header: pydicom.Dataset) -> None:
    """Refuse pixels that are compressed in a way that no decoder at hand can undo."""
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise DataError(
            f"{path}: its header does not say how its pixels are encoded (no TransferSyntaxUID). Export the series "
            "again from where it came."
        )
    if not syntax.is_compressed:
        return
    try:
        missing = [] if (decoder := get_decoder(syntax)).is_available else list(decoder.missing_dependencies)
    except NotImplementedError:
        missing = ["pydicom knows no decoder for it"]
    if missing:
        raise DataError(
            f"{path}: its pixels are compressed as {syntax.name}, for which no decoder is installed "
            f"({'; '.join(missing)}). The file is whole. pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, "
            "or decompress the series with another tool (gdcmconv --raw, dcmdjpeg)."
        )


def _modality(header: pydicom.Dataset) -> str:
    """What turns stored into real values, without its numbers, which may differ between slices."""
    if header.get("ModalityLUTSequence"):
        return "a lookup table"
    named = [name for name in ("RescaleSlope", "RescaleIntercept") if header.get(name) is not None]
    unit = header.get("RescaleType") or "HU"  # which is what its absence means
    return (" and ".join(named) or "no rescale") + (f" to {unit}" if named and unit != "HU" else "")


def _same_series(folder: Path, paths: list[Path], headers: list[pydicom.Dataset]) -> None:
    """Refuse slices of different series, sizes, spacings, orientations or kinds of values."""

    def key(header: pydicom.Dataset, name: str) -> str:
        if name == "rescale":
            return _modality(header)
        value = header[name].value
        return str(value if isinstance(value, str | int) else [round(float(v), 4) for v in value])

    for name in (*_HEADER, "rescale"):
        if name == "ImagePositionPatient":
            continue
        groups: dict[str, list[Path]] = {}
        for path, header in zip(paths, headers):
            groups.setdefault(key(header, name), []).append(path)
        if len(groups) > 1:
            found = "; ".join(f"{key}: {len(group)} files, e.g. {group[0].name}" for key, group in groups.items())
            raise DataError(f"{folder}: expected slices of one series, but {name} differs ({found}). {ADVICE}")
    if (how := _modality(headers[0])).startswith("Rescale") and " and " not in how:
        raise DataError(
            f"{folder}: expected RescaleSlope and RescaleIntercept, both or none, but there is {how} alone: the unit "
            "of the values cannot be told. Correct the headers from what is known of the scan."
        )


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


def _straight(folder: Path, positions: np.ndarray, normal: np.ndarray, header: pydicom.Dataset) -> None:
    """Refuse a stack whose slices are shifted in their own plane, by more than a pixel over the whole of it."""
    offsets = positions - positions[0]
    aside = np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1).max()
    if aside > min(float(mm) for mm in header.PixelSpacing):
        tilt = header.get("GantryDetectorTilt")
        cause = f"the gantry was tilted by {float(tilt):g} degrees" if tilt else "as by a tilted gantry"
        raise DataError(
            f"{folder}: expected slices straight above one another, but they are shifted by up to {aside:.1f} mm in "
            f"their plane: {cause}. Slices and spacing would not make a rectangular volume: resample it first "
            "(dcm2niix corrects the tilt), or take another series."
        )


def _slice(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Pixels of one file in the units of its modality, (rows, columns) float32."""
    with reading(path, f"a DICOM slice with {shape[0]} x {shape[1]} pixels", "Copy the file again from its source."):
        data = pydicom.dcmread(path)
        for name in _MODALITY:
            if name in data and not data[name].value and data[name].value != 0:
                delattr(data, name)  # there but empty
        stored = data.pixel_array
        if stored.shape != shape:
            raise DataError(f"{path}: expected grey pixels of shape {shape}, but they are {stored.shape}. {ADVICE}")
        values = finite(apply_modality_lut(stored, data).astype(np.float32), str(path))
        padding = _padding(data, stored)
        if padding.all():
            raise DataError(f"{path}: expected a slice, but all of its pixels are padding. Leave it out. {ADVICE}")
        return np.where(padding, values.min(where=~padding, initial=np.inf), values) if padding.any() else values


def _padding(data: pydicom.Dataset, stored: np.ndarray) -> np.ndarray:
    """Which of the ``stored`` values are padding: the value that the header names, or the range."""
    ends = [data.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if ends[0] is None or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape, dtype=bool)
    # some scanners write a negative value as unsigned or the other way round: the bits tell
    bits = 8 * stored.dtype.itemsize
    known = [
        np.array(int(end) % 2**bits, f"u{stored.dtype.itemsize}").view(stored.dtype) for end in ends if end is not None
    ]
    return (stored >= min(known)) & (stored <= max(known))
