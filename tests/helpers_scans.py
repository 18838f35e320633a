"""Writes small files in exactly the formats in which the public data sets are published."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

ISMRMRD = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <studyInformation><studyTime>12:00:00</studyTime></studyInformation>
  <acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor></acquisitionSystemInformation>
  <experimentalConditions><H1resonanceFrequency_Hz>123251815</H1resonanceFrequency_Hz></experimentalConditions>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>280</x><y>160.9</y><z>4.5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>320</x><y>320</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>140</x><y>140</y><z>3</z></fieldOfView_mm>
    </reconSpace>
    <trajectory>cartesian</trajectory>
    <encodingLimits>
      <kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center></kspace_encoding_step_1>
    </encodingLimits>
    <parallelImaging>
      <accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1></accelerationFactor>
    </parallelImaging>
  </encoding>
</ismrmrdHeader>"""


def write_lodopab(path: Path, count: int, shape: tuple[int, ...], samples: dict[int, np.ndarray]) -> Path:
    """One file of ``count`` samples of which only ``samples`` take room on the disk."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (count, *shape), maxshape=(count, *shape), dtype="f4", chunks=True)
        for row, values in samples.items():
            data[row] = values
    return path


def write_fastmri(path: Path, kspace: np.ndarray, target: np.ndarray | None = None) -> Path:
    """One volume of (slices, [coils,] rows, columns); one without ``target`` is like the owners' test files."""
    rows, columns = kspace.shape[-2:]
    header = ISMRMRD.format(rows=rows, columns=columns, last=columns - 11, centre=columns // 2 - 4)
    with h5py.File(path, "w") as file:
        file.create_dataset("ismrmrd_header", data=header.encode())
        file.create_dataset(
            "kspace", data=kspace.astype(np.complex64), chunks=(1, *kspace.shape[1:]), compression="lzf"
        )
        if target is not None:
            name = "reconstruction_rss" if kspace.ndim == 4 else "reconstruction_esc"
            file.create_dataset(name, data=target.astype(np.float32))
            file.attrs.update(max=float(target.max()), norm=float(np.linalg.norm(target)))
        file.attrs.update(acquisition="CORPD_FBK", patient_id="d" * 64)
    return path


def to_kspace(image: np.ndarray) -> np.ndarray:
    """Fully sampled k-space of complex images (..., rows, columns), zero frequency in the centre."""
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=axes), norm="ortho"), axes=axes)


def write_dicom(
    path: Path, pixels: np.ndarray | None, z: float, series: str, slope=1.0, intercept=-1024.0, **tags
) -> Path:
    """One axial CT slice at height ``z`` mm with 16-bit ``pixels``; ``tags`` replace what is written by default."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_ = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    slice_.Modality, slice_.SeriesInstanceUID = "CT", series
    slice_.ImagePositionPatient, slice_.ImageOrientationPatient = [-10.0, -20.0, z], [1, 0, 0, 0, 1, 0]
    slice_.PixelSpacing, slice_.RescaleSlope, slice_.RescaleIntercept = [0.5, 0.75], slope, intercept
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation, slice_.PixelRepresentation = 1, "MONOCHROME2", 1
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
    slice_.Rows, slice_.Columns = (8, 6) if pixels is None else pixels.shape
    if pixels is not None:
        slice_.PixelData = pixels.astype("<i2").tobytes()
    for name, value in tags.items():
        setattr(slice_, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom, about values that we write because scanners do
        pydicom.dcmwrite(path, slice_)
    return path


def lookup_table(first: int, entries: list[int]) -> Sequence:
    """A modality LUT: stored values from ``first`` on become ``entries``."""
    item = Dataset()
    item.LUTDescriptor, item.LUTData, item.ModalityLUTType = [len(entries), first, 16], entries, "US"
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return Sequence([item])


def compress_dicom(path: Path, syntax: UID, frame: bytes) -> Path:
    """Put one compressed ``frame`` in the place of the pixels of a slice."""
    slice_ = pydicom.dcmread(path)
    slice_.file_meta.TransferSyntaxUID = syntax
    slice_.PixelData = encapsulate([frame])
    slice_["PixelData"].is_undefined_length = True
    slice_.save_as(path)
    return path


def write_nifti(path: Path, canonical: np.ndarray, axes: str, spacing: tuple[float, float, float]) -> Path:
    """Store ``canonical`` (right, front, head), voxel ``spacing`` mm along those, with its axes turned to ``axes``."""
    image = nibabel.Nifti1Image(canonical, np.diag([*spacing, 1.0]))
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(axes)
    )
    nibabel.save(image.as_reoriented(turn), path)
    return path
