"""Slices of scans in a folder of yours, split by patient, so that nobody is in two splits of a task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon_bench.data.dicom import open_dicom
from recon_bench.data.nifti import open_nifti
from recon_bench.data.reading import Volume
from recon_bench.storage import digest, sha256
from recon_bench.task import SPLITS


@dataclass(frozen=True)
class Patients:
    """A ``folder`` with one entry for each patient: a NIfTI file, or a folder of the DICOM slices of one series.

    In the order of their names, the last ``test`` patients are for the test, those before for the ``validation``, and
    all others for training. Files are read when they are asked for.
    """

    folder: str | Path
    validation: int = 1
    test: int = 1

    def missing(self) -> str | None:
        """What is to be done before there is a patient in each split, or None; it does for ``Task.missing``."""
        if len(self._entries) > self.validation + self.test:
            return None
        return (
            f"{self.folder}: expected more than {self.validation + self.test} patients, a NIfTI file or a folder of "
            f"DICOM slices each, found {len(self._entries)}. Put them there, or name another folder"
        )

    @property
    def sizes(self) -> dict[str, int]:
        """How many slices each split has; none while something is missing."""
        return {split: sum(map(len, self._volumes[split])) for split in SPLITS}

    def slice(self, split: str, index: int) -> tuple[NDArray[np.float64], str]:
        """A slice (rows, columns) with the name of its scan: Hounsfield units of CT, whatever is stored of MRI.

        DataError for a file that cannot be used, IndexError for an index outside the split.
        """
        for volume in self._volumes[split]:
            if index < len(volume):
                return volume[index].astype(np.float64), volume.name
            index -= len(volume)
        raise IndexError(f"{split} has {self.sizes[split]} slices")

    def fingerprint(self) -> str:
        """A digest of all files, for ``Task.fingerprint``."""
        return digest([sha256(file.read_bytes()) for file in self._files()])

    @cached_property
    def _entries(self) -> list[Path]:
        folder = Path(self.folder)
        return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []

    @cached_property
    def _volumes(self) -> dict[str, list[Volume]]:
        if self.missing():
            return {split: [] for split in SPLITS}
        first = len(self._entries) - self.test
        ends = {"train": (0, first - self.validation), "validation": (first - self.validation, first)}
        opened = [open_dicom(path) if path.is_dir() else open_nifti(path) for path in self._entries]
        return {split: opened[slice(*ends.get(split, (first, None)))] for split in SPLITS}

    def _files(self) -> Iterator[Path]:
        for path in self._entries:
            yield from sorted(path.iterdir()) if path.is_dir() else [path]
