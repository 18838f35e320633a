"""A NIfTI volume (.nii, .nii.gz) as axial slices."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from recon_bench.data.reading import DataError, Volume, finite, reading

ADVICE = "Copy or convert the file again; it must be one complete 3-D NIfTI volume."
EXPECTED = "a NIfTI volume"
_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}  # of a unit of length


def open_nifti(path: str | Path) -> Volume:
    """The volume in ``path``, turned to the axes nearest to the patient's.

    Slices go from feet to head; in a slice the rows go from front to back and the columns from the patient's right to
    left, as in a DICOM axial slice. Spacing in mm, from the header's unit of length (mm where it names none). Values
    are scaled as the header says; complex ones and colours are refused. Oblique volumes are turned, never resampled.
    DataError for a file that is not such a volume. https://nifti.nimh.nih.gov/nifti-1
    """
    path = Path(path)
    with reading(path, EXPECTED, ADVICE):
        stored = nibabel.load(path)
        if not isinstance(stored, nibabel.Nifti1Pair):
            raise DataError(f"{path}: expected {EXPECTED}, but it is {type(stored).__name__}. {ADVICE}")
        if len(stored.shape) != 3:
            raise DataError(f"{path}: expected 3 dimensions, but it has shape {stored.shape}. {ADVICE}")
        _check_type(path, stored.get_data_dtype())
        orientation = nibabel.io_orientation(stored.affine)
        if np.isnan(orientation).any():
            raise DataError(
                f"{path}: expected an affine that orients 3 axes, but it is {stored.affine.tolist()}. {ADVICE}"
            )
        zooms = np.array(stored.header.get_zooms(), dtype=float)
        _check_affine(path, stored, zooms)
        spacing = [float(zoom) * _unit(path, stored.header) for zoom in zooms]
    x, y, z = (int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3))  # stored axis of each
    sign = orientation[:, 1].astype(int)  # +1 where a stored axis points to the right, to the front or to the head

    def read(index: int) -> np.ndarray:
        where: list[int | slice] = [slice(None)] * 3
        where[z] = index if sign[z] > 0 else stored.shape[z] - 1 - index
        with reading(path, EXPECTED, ADVICE):
            plane = np.asarray(stored.dataobj[tuple(where)], dtype=np.float32)
        plane = finite(plane if y < x else plane.T, f"{path}: slice {index}")
        return np.ascontiguousarray(plane[:: -sign[y], :: -sign[x]])

    shape = (stored.shape[z], stored.shape[y], stored.shape[x])
    return Volume(path.name, shape, (spacing[z], spacing[y], spacing[x]), read)


def _unit(path: Path, header: nibabel.Nifti1Header) -> float:
    """The header's unit of length in mm."""
    try:
        return _MM[header.get_xyzt_units()[0]]
    except KeyError:
        raise DataError(
            f"{path}: expected a unit of length ({', '.join(_MM)}), but xyzt_units is {int(header['xyzt_units'])}. "
            "Correct the header from what is known of the scan (nibabel: header.set_xyzt_units)."
        ) from None


def _check_type(path: Path, dtype: np.dtype) -> None:
    if dtype.kind not in "iuf":
        what = {"c": "complex numbers", "V": "colours"}.get(dtype.kind, f"values of type {dtype}")
        raise DataError(
            f"{path}: expected real numbers, but it holds {what} ({dtype}), of which a part would be lost. Save what "
            "is meant (the magnitude, one channel) as a volume of its own."
        )


def _check_affine(path: Path, stored: nibabel.Nifti1Pair, zooms: np.ndarray) -> None:
    """Refuse an affine that contradicts the sizes of voxels, or whose axes are not at right angles."""
    directions = stored.affine[:3, :3]
    sizes = np.linalg.norm(directions, axis=0)
    if not np.allclose(sizes, zooms, rtol=0.01, atol=1e-6):
        kind = "sform" if int(stored.header["sform_code"]) > 0 else "qform"
        raise DataError(
            f"{path}: pixdim says voxels of {_times(zooms)}, but its {kind} says {_times(sizes)}: which is true cannot "
            "be told. Correct the header from what is known of the scan (nibabel: header.set_zooms, set_sform)."
        )
    lean = np.abs(np.triu((directions / sizes).T @ (directions / sizes), 1)).max()
    if lean > 0.01:
        raise DataError(
            f"{path}: expected axes at right angles, but they are up to {np.degrees(np.arcsin(min(lean, 1))):.1f} "
            "degrees off, as after a scan with a tilted gantry or an affine registration. Resample it first."
        )


def _times(sizes: np.ndarray) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
