"""A NIfTI volume (.nii, .nii.gz) as axial slices."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from recon_bench.data.reading import DataError, Volume, reading

ADVICE = "Copy or convert the file again; it must be one complete 3-D NIfTI volume."
EXPECTED = "a NIfTI volume"


def open_nifti(path: Path) -> Volume:
    """The volume in ``path``, turned to the axes nearest to the patient's.

    Slices go from feet to head; in a slice the rows go from front to back and the columns from the patient's right to
    left, as in a DICOM axial slice. Spacing in mm. Values are scaled as the header says. Oblique volumes are turned,
    never resampled. https://nifti.nimh.nih.gov/nifti-1
    """
    with reading(path, EXPECTED, ADVICE):
        stored = nibabel.load(path)
        if not isinstance(stored, nibabel.Nifti1Pair):
            raise DataError(f"{path}: expected {EXPECTED}, but it is {type(stored).__name__}. {ADVICE}")
        if len(stored.shape) != 3:
            raise DataError(f"{path}: expected 3 dimensions, but it has shape {stored.shape}. {ADVICE}")
        orientation = nibabel.io_orientation(stored.affine)
        if np.isnan(orientation).any():
            raise DataError(
                f"{path}: expected an affine that orients 3 axes, but it is {stored.affine.tolist()}. {ADVICE}"
            )
        zooms = stored.header.get_zooms()
    x, y, z = (int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3))  # stored axis of each
    sign = orientation[:, 1].astype(int)  # +1 where a stored axis points to the right, to the front or to the head

    def read(index: int) -> np.ndarray:
        where: list[int | slice] = [slice(None)] * 3
        where[z] = index if sign[z] > 0 else stored.shape[z] - 1 - index
        with reading(path, EXPECTED, ADVICE):
            plane = np.asarray(stored.dataobj[tuple(where)], dtype=np.float32)
        plane = plane if y < x else plane.T
        return np.ascontiguousarray(plane[:: -sign[y], :: -sign[x]])

    shape = (stored.shape[z], stored.shape[y], stored.shape[x])
    return Volume(path.name, shape, (float(zooms[z]), float(zooms[y]), float(zooms[x])), read)
