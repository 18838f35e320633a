"""A task of your own CT scans: the folder $SCANS has a NIfTI file, or a folder of DICOM slices, for each patient."""

import os
from functools import partial

from skimage.transform import resize

from recon_bench.core import Noise
from recon_bench.data.patients import Patients
from recon_bench.data.simulation import describe, gaussian, line_integrals
from recon_bench.operators import ParallelBeam, RayTransform, evenly
from recon_bench.task import Task, Truth

PATIENTS = Patients(os.environ.get("SCANS", "scans"), validation=1, test=1)
SCAN = ParallelBeam(size=128, angles=evenly(60), bins=183)  # lengths in pixels
NOISE = Noise("gaussian", 0.02)


def draw(split, index):
    hounsfield, name = PATIENTS.slice(split, index)
    return Truth(resize((1 + hounsfield / 1000).clip(0), (SCAN.size, SCAN.size), anti_aliasing=True), volume=name)


TASKS = (
    Task(
        name="my-scans",
        version=1,
        family="ct",
        title="My scans, 60 views",
        description="Slices of our own CT scans from 60 views, each patient in one split alone.",
        make_operator=partial(RayTransform, SCAN),
        draw=draw,
        measure=lambda truth, rng: gaussian(line_integrals(truth.image, SCAN), NOISE.level, rng),
        seed=1,
        sizes=PATIENTS.sizes,
        noise=NOISE,
        data_range=3.0,
        card={
            "images": "attenuation relative to water, 128 x 128",
            "operator": describe(SCAN, "pixel"),
            "noise": "2 %",
        },
        fingerprint=PATIENTS.fingerprint,
        missing=PATIENTS.missing,
    ),
)
