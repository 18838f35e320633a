"""LoDoPaB-CT: low-dose chest CT, 362 x 362, 1000 views, as published (doi:10.1038/s41597-021-00893-z).

Lengths are measured in units of 1 / mu_max, the attenuation that the owners divide images by. So images stay in [0, 1]
as published, while A x is the true line integral -log(n / N0): the published observation times mu_max. That is what
the Poisson noise model of the benchmark speaks of.

Images are turned upright (as the DICOM slices were), which mirrors the y axis of the owners' ODL geometry: their view
angle theta is -theta here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recon_bench.core import Noise, NotApplicable
from recon_bench.data import lodopab
from recon_bench.data.reading import DataError, folder_from
from recon_bench.data.simulation import describe
from recon_bench.operators import ParallelBeam, RayTransform, evenly
from recon_bench.storage import digest
from recon_bench.task import Task, Truth

VARIABLE = "RECON_BENCH_LODOPAB"
PHOTONS = 4096
_SIDE = 0.26 * lodopab.MU_MAX  # of the square field of view: 26 cm, in units of 1 / mu_max
_VIEWS, _BINS = lodopab.SINOGRAM

GEOMETRY = ParallelBeam(
    size=lodopab.IMAGE[0],
    angles=evenly(_VIEWS, stop=-math.pi, offset=-math.pi / _VIEWS / 2),
    bins=_BINS,
    spacing=_SIDE * math.sqrt(2) / _BINS,
    pixel=_SIDE / lodopab.IMAGE[0],
)

_CARD = {
    "images": "LoDoPaB-CT, doi:10.5281/zenodo.3384092 (CC BY 4.0): 42895 chest CT slices of LIDC-IDRI, as published: "
    "attenuation divided by mu_max and clipped to [0, 1], 26 cm x 26 cm; here turned upright",
    "splits": "as published; sample i of a split is row i % 128 of file i // 128",
    "data": "as published, times mu_max, so that they are line integrals -log(n / 4096)",
    "mu_max": f"{lodopab.MU_MAX:.5f} / m",
    "operator": describe(GEOMETRY, "1 / mu_max = 12.29 mm"),
    "simulation": "by the owners: images enlarged bilinearly to 1000 x 1000, projected with ASTRA",
    "noise": "by the owners: Poisson counts n of 4096 photons per bin, a count of 0 taken as 0.1; none is added here",
    "data_range": "1 for every image; published PSNR often takes max - min of each image, 4.3 dB less on average",
    "inverse_crime": False,
    "reference": "Leuschner, Schmidt, Otero Baguer, Maass 2021, doi:10.1038/s41597-021-00893-z",
}


def draw(split: str, index: int) -> Truth:
    """Image (362, 362) in [0, 1], with the observation (1000, 513) that comes with it, float32."""
    image, observation = lodopab.sample(folder_from(VARIABLE, advice()), split, index)
    return Truth(image.T.copy(), source=observation)


def measure(truth: Truth, rng: np.random.Generator) -> NDArray[np.float32]:
    """The line integrals (1000, 513) that come with the image, float32; NotApplicable to any other image."""
    if truth.source is None:
        raise NotApplicable("data come with the images of the task: no other image can be measured")
    return truth.source * lodopab.MU_MAX


def advice() -> str:
    """What to download, where to put it and which variable to set."""
    return f"{lodopab.ADVICE} Then set {VARIABLE} to that folder."


def missing() -> str | None:
    """Why the task cannot run, or None. Files of the training split are asked for only when a method reads them."""
    try:
        folder = folder_from(VARIABLE, advice())
    except DataError as error:
        return str(error)
    absent = lodopab.absent(folder, ("validation", "test"))
    return f"{folder}: {len(absent)} files are missing, e.g. {absent[0]}. {advice()}" if absent else None


TASKS = (
    Task(
        name="lodopab",
        version=1,
        family="ct",
        title="LoDoPaB-CT, 1000 views, low dose",
        description="Chest CT slices of real patients with simulated low-dose data, as published; to be downloaded.",
        make_operator=lambda device, dtype: RayTransform(GEOMETRY, device, dtype),
        draw=draw,
        measure=measure,
        seed=0,
        sizes=lodopab.SIZES,
        noise=Noise("poisson", PHOTONS),
        data_range=1.0,
        card=_CARD,
        fingerprint=lambda: digest(_CARD),
        display=(0.0, 0.45),
        error_display=(-0.1, 0.1),
        missing=missing,
    ),
)
