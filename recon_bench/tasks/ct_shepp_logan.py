"""Training on random ellipses, test on the modified Shepp-Logan phantom: the setting of learned primal-dual.

Adler and Öktem 2018, doi:10.1109/TMI.2018.2799231. The published protocol has one noise draw, and chooses weights and
cut-offs on the test phantom itself. Here are 100 draws, and validation is on phantoms of the same kind that are not the
test phantom: its ellipses moved, stretched and turned at random. Random ellipses, being busier, would choose a lower
cut-off for FBP and cost it 0.5 dB on the test phantom.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np

from recon_bench.core import Noise
from recon_bench.data import foreign, fresh, shifts
from recon_bench.data.ellipses import EllipseLaw, sampled
from recon_bench.data.shepp_logan import perturbed, shepp_logan
from recon_bench.data.simulation import Array, describe, first_draws, gaussian, project, rounded
from recon_bench.operators import ParallelBeam, RayTransform
from recon_bench.storage import digest
from recon_bench.task import Task, Truth, streams
from recon_bench.tasks import ct_ellipses
from recon_bench.tasks.ct_ellipses import GEOMETRY

LAW = EllipseLaw(
    value=(("uniform", -0.5, 0.5), ("exponential", 0.4)),
    axis=("exponential", 0.2),
    centre=("uniform", -1.0, 1.0),
    count=("poisson", 50),
    most=100,
)
NOISE = Noise("gaussian", 0.05)
SEED = 2018


def _ellipses(split: str, index: int) -> Array:
    image, _ = streams(SEED, split, index)
    match split:
        case "train":
            return LAW.draw(image)
        case "validation":
            return perturbed(image)
    return shepp_logan()


def _draw(split: str, index: int) -> Truth:
    return Truth(sampled(_ellipses(split, index), GEOMETRY.size))


def _random_ellipses(index: int, rng: np.random.Generator) -> Truth:
    return Truth(ct_ellipses.normalised(sampled(ct_ellipses.LAW.draw(rng), GEOMETRY.size)))


def _measure(geometry: ParallelBeam, truth: Truth, rng: np.random.Generator) -> Array:
    return gaussian(project(truth.image, geometry), NOISE.level, rng)


def _measure_on(geometry: ParallelBeam) -> shifts.Measure:
    return partial(_measure, geometry)


def _fingerprint() -> str:
    drawn = [rounded(_ellipses(split, i)) for split in ("train", "validation", "test") for i in (0, 1)]
    return digest([first_draws(SEED), *drawn])


TASKS = (
    Task(
        name="ct-shepp-logan-30",
        version=1,
        family="ct",
        title="Shepp-Logan, 30 views, 5 % noise",
        description=(
            "The modified Shepp-Logan phantom on 128 x 128 pixels seen from 30 angles with white noise of 5 %, under "
            "100 noise draws; training is on random ellipses, validation on perturbed phantoms. Data are made by the "
            "reconstruction operator itself, as published: an inverse crime, which flatters every method that uses it."
        ),
        make_operator=partial(RayTransform, GEOMETRY),
        draw=_draw,
        unseen=lambda rng: _draw("test", 0),
        measure=_measure_on(GEOMETRY),
        seed=SEED,
        sizes={"train": 50000, "validation": 100, "test": 100},
        pictured=(33, 95, 38),
        noise=NOISE,
        data_range=1.0,
        card={
            "images": "sampled at points; training: random ellipses; validation: the phantom with its ellipses moved "
            "by up to 0.03, stretched by up to 10 % and turned by up to 10 degrees; test: modified Shepp-Logan phantom",
            "ellipses": dataclasses.asdict(LAW),
            "seed": SEED,
            "splits": "separate random streams; the test split is one phantom under 100 noise draws",
            "operator": describe(GEOMETRY, "pixel"),
            "simulation": "the reconstruction operator itself, in float64",
            "noise": f"white Gaussian, standard deviation {NOISE.level} times the mean of |clean data|",
            "inverse_crime": True,
            "reference": "Adler, Öktem 2018, doi:10.1109/TMI.2018.2799231",
        },
        fingerprint=_fingerprint,
        foreign=foreign.for_phantoms(GEOMETRY.size, foreign.ELLIPSES, _random_ellipses),
        shifts=shifts.rays(GEOMETRY, _measure_on),
        rates=shifts.views(GEOMETRY, _measure_on),
        fresh=fresh.ellipses(
            LAW.draw, lambda image: image, GEOMETRY, GEOMETRY.size, partial(gaussian, level=NOISE.level)
        ),
        display=(0.0, 0.5),
        error_display=(-0.1, 0.1),
    ),
)
