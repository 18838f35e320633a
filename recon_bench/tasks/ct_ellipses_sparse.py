"""Noiseless sparse-view tomography of ellipses, after FBPConvNet.

Jin, McCann, Froustey and Unser 2017, doi:10.1109/TIP.2017.2713099: 512 x 512 pixels, 729 bins, 1000 views over 180
degrees of which every 7th (143) or every 20th (50) is used, sinograms computed from the ellipses and not from pixels.
The published law of the ellipses ("random intensity, size and location") is not public. Ours is chosen so that filtered
backprojection does about as well as published (regressed SNR 8.4 dB with 50 views), before any other method was run.
The truth is the phantom averaged over pixels; the published one was the filtered backprojection of all 1000 views.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import numpy as np

from recon_bench.core import Noise
from recon_bench.data import foreign, shifts
from recon_bench.data.ellipses import EllipseLaw, averaged, sinogram
from recon_bench.data.shepp_logan import perturbed
from recon_bench.data.simulation import Array, describe, line_integrals, rounded
from recon_bench.operators import ParallelBeam, RayTransform
from recon_bench.storage import digest
from recon_bench.task import SPLITS, Task, Truth, streams

LAW = EllipseLaw(
    value=(("uniform", 0.1, 1.0),),
    axis=("uniform", 0.01, 0.2),
    centre=("uniform", -0.9, 0.9),
    count=("poisson", 60),
    most=120,
    radius=0.95,
)
SEED = 2017
SIZE = 512
PICTURED = {20: (19, 1, 84), 7: (19, 60, 84)}  # by which views are kept: every 20th, every 7th


def _draw(split: str, index: int) -> Truth:
    return _truth(LAW.draw(streams(SEED, split, index)[0]))


def _shepp_logan(index: int, rng: np.random.Generator) -> Truth:
    return _truth(perturbed(rng))


def _truth(ellipses: Array) -> Truth:
    image = averaged(ellipses, SIZE)
    peak = image.max()
    return Truth(image / peak, source=(ellipses, peak))


def _measure(geometry: ParallelBeam, truth: Truth, rng: np.random.Generator) -> Array:
    if truth.source is None:  # a scan, not made of ellipses
        return line_integrals(truth.image, geometry)
    ellipses, peak = truth.source
    return sinogram(ellipses, geometry) / peak


def _fingerprint() -> str:
    return digest([rounded(LAW.draw(streams(SEED, split, i)[0])) for split in SPLITS for i in (0, 1, 2)])


def _geometry(every: int) -> ParallelBeam:
    angles = tuple(math.pi * i / 1000 for i in range(0, 1000, every))
    return ParallelBeam(size=SIZE, angles=angles, bins=729)


def _measure_on(geometry: ParallelBeam) -> shifts.Measure:
    return partial(_measure, geometry)


def _task(every: int) -> Task:
    geometry = _geometry(every)
    views = len(geometry.angles)
    other = _geometry(next(step for step in PICTURED if step != every))
    return Task(
        name=f"ct-ellipses-{views}",
        version=1,
        family="ct",
        title=f"Large ellipses, {views} views, no noise",
        description=(
            f"Random ellipses on 512 x 512 pixels seen from {views} of 1000 angles without noise. The data are exact "
            "line integrals of the ellipses: what is left is sparse sampling and the error of putting edges on pixels."
        ),
        make_operator=partial(RayTransform, geometry),
        draw=_draw,
        unseen=lambda rng: _truth(LAW.draw(rng)),
        measure=partial(_measure, geometry),
        seed=SEED,
        sizes={"train": 475, "validation": 25, "test": 100},
        pictured=PICTURED[every],
        noise=Noise("none"),
        data_range=1.0,
        card={
            "images": "random ellipses inside the field of view, averaged over pixels, divided by the largest pixel",
            "ellipses": dataclasses.asdict(LAW),
            "ellipses_source": "our law (the published one is not public), for which backprojection is about as poor",
            "seed": SEED,
            "splits": "separate random streams; the published test set has 25 images",
            "operator": describe(geometry, "pixel") | {"every": every, "of_views": 1000},
            "simulation": "exact line integrals of the ellipses at the bin centres, in float64",
            "noise": "none",
            "inverse_crime": False,
            "reference": "Jin, McCann, Froustey, Unser 2017, doi:10.1109/TIP.2017.2713099",
        },
        fingerprint=_fingerprint,
        foreign=foreign.for_phantoms(SIZE, foreign.SHEPP_LOGAN, _shepp_logan),
        shifts=shifts.rays(geometry, _measure_on, **{f"ct_ellipses_{len(other.angles)}": other}),
        rates=shifts.views(geometry, _measure_on),
    )


TASKS = (_task(every=7), _task(every=20))
