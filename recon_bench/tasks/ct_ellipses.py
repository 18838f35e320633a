"""The 'ellipses' protocol of DIVal, on the very images of its published numbers.

Otero Baguer, Leuschner and Schmidt 2020, doi:10.1088/1361-6420/aba415; the images are those that DIVal 0.6.1 draws with
fixed seeds (turned by 90 degrees: its first axis is x). The noise is ours, of the same law.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import numpy as np

from recon_bench.core import Noise
from recon_bench.data import foreign, fresh, shifts
from recon_bench.data.ellipses import EllipseLaw, Stream, sampled
from recon_bench.data.shepp_logan import perturbed
from recon_bench.data.simulation import Array, describe, first_draws, gaussian, project, rounded
from recon_bench.operators import ParallelBeam, RayTransform, evenly
from recon_bench.storage import digest
from recon_bench.task import Task, Truth

LAW = EllipseLaw(
    value=(("uniform", -0.4, 1.0),),
    axis=("exponential", 0.2),
    centre=("uniform", -0.9, 0.9),
    count=("poisson", 40),
    most=70,
)
PHANTOMS = {"train": Stream(LAW, 42), "validation": Stream(LAW, 2), "test": Stream(LAW, 1)}
GEOMETRY = ParallelBeam(size=128, angles=evenly(30, offset=math.pi / 60), bins=183, spacing=128 * math.sqrt(2) / 183)
NOISE = Noise("gaussian", 0.025)
SEED = 30


def finer(geometry: ParallelBeam) -> ParallelBeam:
    """The same rays on the grid that data are simulated on."""
    return dataclasses.replace(geometry, size=400, pixel=128 / 400)


FINE = finer(GEOMETRY)


def normalised(image: Array) -> Array:
    """``image`` with its non-zero pixels shifted so that the smallest is 0, then scaled so that the largest is 1."""
    image = image - image.min() * (image != 0)
    return image / image.max()


def _draw(split: str, index: int) -> Truth:
    return Truth(normalised(sampled(PHANTOMS[split][index], GEOMETRY.size)))


def _shepp_logan(index: int, rng: np.random.Generator) -> Truth:
    return Truth(sampled(perturbed(rng), GEOMETRY.size))


def _measure(fine: ParallelBeam, truth: Truth, rng: np.random.Generator) -> Array:
    return gaussian(project(truth.image, fine), NOISE.level, rng)


def _measure_on(geometry: ParallelBeam) -> shifts.Measure:
    return partial(_measure, finer(geometry))


def _fingerprint() -> str:
    return digest([first_draws(SEED)] + [rounded(PHANTOMS[split][i]) for split in PHANTOMS for i in (0, 1, 20)])


TASKS = (
    Task(
        name="ct-ellipses-30",
        version=1,
        family="ct",
        title="Ellipses, 30 views, 2.5 % noise",
        description=(
            "Random ellipses on 128 x 128 pixels seen from 30 angles with white noise of 2.5 % of the mean absolute "
            "value, on the images of the published 'ellipses' numbers: this task shows that ours can be trusted. Data "
            "are simulated on a 400 x 400 grid, so the reconstruction operator is not the simulating one."
        ),
        make_operator=partial(RayTransform, GEOMETRY),
        draw=_draw,
        unseen=lambda rng: Truth(normalised(sampled(LAW.draw(rng), GEOMETRY.size))),
        measure=partial(_measure, FINE),
        seed=SEED,
        sizes={"train": 32000, "validation": 3200, "test": 100},
        pictured=(79, 36, 24),
        noise=NOISE,
        data_range=1.0,
        card={
            "images": "random ellipses sampled at points; non-zero pixels shifted to start at 0, scaled to end at 1",
            "ellipses": dataclasses.asdict(LAW),
            "image_seeds": {split: stream.seed for split, stream in PHANTOMS.items()},
            "noise_seed": SEED,
            "splits": "the first images of three random streams; test: the first 100 of the published 3200",
            "operator": describe(GEOMETRY, "pixel"),
            "simulation": describe(FINE, "pixel") | {"enlarged": "bilinearly from 128 x 128", "precision": "float64"},
            "noise": f"white Gaussian, standard deviation {NOISE.level} times the mean of |clean data|",
            "inverse_crime": False,
            "reference": "Otero Baguer, Leuschner, Schmidt 2020, doi:10.1088/1361-6420/aba415",
        },
        fingerprint=_fingerprint,
        foreign=foreign.for_phantoms(GEOMETRY.size, foreign.SHEPP_LOGAN, _shepp_logan),
        shifts=shifts.rays(GEOMETRY, _measure_on),
        rates=shifts.views(GEOMETRY, _measure_on),
        fresh=fresh.ellipses(LAW.draw, normalised, FINE, GEOMETRY.size, partial(gaussian, level=NOISE.level)),
    ),
)
