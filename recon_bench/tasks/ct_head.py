"""Low-dose tomography of a real head: Poisson counts, simulated on a finer grid.

Images are attenuation relative to water, 1 + HU/1000, and lengths are in attenuation lengths of water (50 mm), so that
line integrals are -log(counts / photons) with nothing to convert.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import torch
from torch import Tensor

from recon_bench.core import Noise
from recon_bench.data import foreign, fresh, shifts, varied
from recon_bench.data.scans import Blocks, file_hash, head_ct, slices
from recon_bench.data.simulation import Array, count_photons, describe, first_draws, project
from recon_bench.operators import ParallelBeam, RayTransform, evenly
from recon_bench.storage import digest
from recon_bench.task import Task, Truth
from recon_bench.tasks import ct_ellipses

PIXEL_MM = 0.957
WATER_PER_MM = 0.02
PIXEL = PIXEL_MM * WATER_PER_MM
NOISE = Noise("poisson", 1e4)
SEED = 256
BLOCKS: dict[str, Blocks] = {"train": ((0, 25), (73, 102)), "validation": ((30, 39),), "test": ((44, 68),)}
PICTURED = {143: (12, 23, 8), 50: (17, 2, 5)}  # by the number of views


def _draw(split: str, index: int) -> Truth:
    return Truth(head_ct()[slices(BLOCKS[split])[index]], volume="head")


def _measure(fine: ParallelBeam, truth: Truth, rng: np.random.Generator) -> Array:
    return count_photons(project(truth.image, fine), NOISE.level, rng)


def _measure_on(geometry: ParallelBeam) -> shifts.Measure:
    return partial(_measure, _finer(geometry))


def _geometry(views: int) -> ParallelBeam:
    return ParallelBeam(size=256, angles=evenly(views), bins=367, spacing=PIXEL, pixel=PIXEL)


def _finer(geometry: ParallelBeam) -> ParallelBeam:
    return dataclasses.replace(geometry, size=512, pixel=PIXEL / 2)


def _fresh(fine: ParallelBeam, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Images by :func:`recon_bench.data.varied.attenuation` from training slices, measured with new noise."""
    choice, change, noise = rng.spawn(3)
    chosen = choice.choice(slices(BLOCKS["train"]), size=n)
    truth = np.stack([varied.attenuation(head_ct()[i], change, PIXEL_MM) for i in chosen]).astype(np.float32)
    clean = (fresh.simulation(truth.shape[-1], fine) @ truth.reshape(n, -1).T).T.astype(np.float64)
    data = np.stack([count_photons(line, NOISE.level, noise) for line in clean]).astype(np.float32)
    return torch.from_numpy(truth), torch.from_numpy(data.reshape(n, len(fine.angles), fine.bins))


def _to_bone(image: Array) -> Array:
    """A phantom of the ellipses task as attenuation relative to water, from air, 0, to bone, 2."""
    return 2 * ct_ellipses.normalised(image)


def _fingerprint() -> str:
    return digest([file_hash("head_ct"), first_draws(SEED)])


def _task(views: int) -> Task:
    geometry = _geometry(views)
    fine = _finer(geometry)
    other = next(count for count in PICTURED if count != views)
    unit = "attenuation length of water, 50 mm"
    return Task(
        name=f"ct-head-{views}",
        version=1,
        family="ct",
        title=f"Head CT, {views} views, low dose",
        description=(
            f"Axial slices of one real head CT, 256 x 256 pixels of 0.957 mm, seen from {views} angles with 10,000 "
            "photons per bin. Data are simulated on a 512 x 512 grid. Training, validation and test slices are "
            "separate blocks of the same head; scans of other people are a measurement of their own."
        ),
        make_operator=partial(RayTransform, geometry),
        draw=_draw,
        measure=partial(_measure, fine),
        seed=SEED,
        sizes={split: len(slices(blocks)) for split, blocks in BLOCKS.items()},
        pictured=PICTURED[views],
        noise=NOISE,
        data_range=3.0,
        card={
            "images": "attenuation relative to water: 1 + HU/1000, at least 0; the data range 3 is -1000 to 2000 HU",
            "water_per_mm": WATER_PER_MM,
            "pixel_mm": PIXEL_MM,
            "splits": {split: [list(block) for block in blocks] for split, blocks in BLOCKS.items()},
            "splits_note": "half-open blocks of slices, 1.5 mm apart, at least 5 unused slices between blocks",
            "noise_seed": SEED,
            "operator": describe(geometry, unit),
            "simulation": describe(fine, unit) | {"enlarged": "bilinearly from 256 x 256", "precision": "float64"},
            "noise": "Poisson counts of 10,000 photons per bin, 0 counted as 0.1; data are -log(count / 10,000)",
            "inverse_crime": False,
            "source": "example project Cranium of InVesalius, Debian package invesalius-examples 3.1.99998-4",
            "licence": "GPL-2",
            "reference": "photons and water as in Adler, Öktem 2018, doi:10.1109/TMI.2018.2799231",
        },
        fingerprint=_fingerprint,
        fresh=partial(_fresh, fine),
        phantoms=fresh.ellipses(
            ct_ellipses.LAW.draw, _to_bone, fine, geometry.size, partial(count_photons, photons=NOISE.level)
        ),
        foreign=foreign.ct(lambda image: image),
        shifts=shifts.rays(geometry, _measure_on, **{f"ct_head_{other}": _geometry(other)}),
        rates=shifts.views(geometry, _measure_on),
        display=(0.8, 1.4),
        error_display=(-0.15, 0.15),
    )


TASKS = (_task(143), _task(50))
