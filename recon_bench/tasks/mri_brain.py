"""Accelerated single-coil MRI of a real brain, with a smooth phase that is not there in the magnitude scan."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_bench.core import Noise
from recon_bench.data import foreign, shifts, varied
from recon_bench.data.scans import Blocks, brain_mri, file_hash, pad, slices
from recon_bench.data.simulation import first_draws, rounded
from recon_bench.operators import MaskedFourier
from recon_bench.storage import digest
from recon_bench.task import Task, Truth, single, streams

SIZE = 256
NOISE = Noise("complex-gaussian", 0.1)
SEED = 1998
BLOCKS: dict[str, Blocks] = {"train": ((8, 50), (115, 160)), "validation": ((55, 65),), "test": ((70, 110),)}
CENTRES = {4: 0.08, 8: 0.04}  # the part of the columns that is kept in the middle, by the acceleration
MASK_SEED = 18
PICTURED = {4: (9, 0, 31), 8: (4, 18, 37)}  # by the acceleration


def random_columns(width: int, acceleration: float, centre: float, seed: int) -> tuple[int, ...]:
    """Kept columns of k-space, ascending: the fraction ``centre`` in the middle, the others at random.

    Each other column is kept with the probability that keeps ``width / acceleration`` on average (fastMRI's random
    mask, arXiv:1811.08839, section 4.1).
    """
    middle = round(width * centre)
    first = (width - middle + 1) // 2
    kept = np.random.default_rng(seed).random(width) < (width / acceleration - middle) / (width - middle)
    kept[first : first + middle] = True
    return tuple(int(column) for column in np.flatnonzero(kept))


COLUMNS = {rate: random_columns(SIZE, rate, centre, MASK_SEED) for rate, centre in CENTRES.items()}


def smooth_phase(size: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """``exp(i phase)`` on ``(size, size)``; the phase is a random quadratic polynomial over [-1, 1] x [-1, 1].

    Its constant is uniform over a full turn, its five other coefficients are standard normal, in radians.
    """
    u = np.linspace(-1, 1, size)[:, None]
    v = u.T
    constant, slopes = rng.uniform(-np.pi, np.pi), rng.standard_normal(5)
    phase = constant + sum(slope * term for slope, term in zip(slopes, (u, v, u * u, u * v, v * v)))
    return np.exp(1j * phase)


def complex_gaussian(clean: NDArray[np.complex128], level: float, rng: np.random.Generator) -> NDArray[np.complex128]:
    """``clean`` plus white noise whose two parts have the standard deviation ``level`` times the mean of |clean|."""
    real, imaginary = rng.standard_normal((2, *clean.shape))
    return clean + level * np.abs(clean).mean() * (real + 1j * imaginary)


def _draw(split: str, index: int) -> Truth:
    phase, _ = streams(SEED, split, index)
    return Truth(pad(brain_mri()[slices(BLOCKS[split])[index]], SIZE) * smooth_phase(SIZE, phase), volume="colin27")


def _with_phase(magnitude: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.complex128]:
    return magnitude * smooth_phase(SIZE, rng)


def _measure(kept: Any, truth: Truth, rng: np.random.Generator) -> NDArray[np.complex128]:
    return complex_gaussian(_clean(kept, truth.image), NOISE.level, rng)


def _measure_on(kept: Any) -> shifts.Measure:
    """With what k-space ``(rows, columns)`` has at the index ``kept``."""
    return partial(_measure, kept)


def _clean(kept: Any, truth: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(truth), norm="ortho"))[kept]


def _exactly(acceleration: float) -> tuple[int, ...]:
    """Columns for another acceleration, with a third of them in the middle, of the first seed for which the number is
    exact."""
    drawn = (random_columns(SIZE, acceleration, 0.32 / acceleration, seed) for seed in count(MASK_SEED + 1))
    return next(columns for columns in drawn if len(columns) == round(SIZE / acceleration))


def _fresh(kept: Any, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Images by :func:`recon_bench.data.varied.magnitude` from training slices, with new phases and new noise."""
    choice, change, phase, noise = rng.spawn(4)
    truths, data = [], []
    for index in choice.choice(slices(BLOCKS["train"]), size=n):
        image = varied.magnitude(pad(brain_mri()[index], SIZE), change)
        truth = image * smooth_phase(SIZE, phase)
        truths.append(single(truth))
        data.append(single(complex_gaussian(_clean(kept, truth), NOISE.level, noise)))
    return torch.stack(truths), torch.stack(data)


def _rates(acceleration: int) -> tuple[float, ...]:
    return tuple(acceleration * part for part in (2.0, 1.5, 1.0, 0.75, 0.5))


def _fingerprint() -> str:
    phases = [rounded(smooth_phase(4, streams(SEED, "test", i)[0]).real) for i in (0, 1)]
    return digest([file_hash("brain_mri"), first_draws(SEED), phases])


def _task(acceleration: int) -> Task:
    columns, centre = COLUMNS[acceleration], CENTRES[acceleration]
    kept = (slice(None), list(columns))
    (other,) = (each for each in COLUMNS if each != acceleration)
    return Task(
        name=f"mri-brain-{acceleration}x",
        version=1,
        family="mri",
        title=f"Brain MRI, {acceleration}x",
        description=(
            "Axial T1-weighted slices of one real head, 256 x 256 pixels of 1 mm, complex with a smooth random phase; "
            f"one coil, one k-space column in {acceleration} is measured, with noise. Training, validation and test "
            "slices are separate blocks of the same head; scans of other people are a measurement of their own."
        ),
        make_operator=partial(MaskedFourier, (SIZE, SIZE), columns),
        draw=_draw,
        measure=_measure_on(kept),
        seed=SEED,
        sizes={split: len(slices(blocks)) for split, blocks in BLOCKS.items()},
        pictured=PICTURED[acceleration],
        noise=NOISE,
        data_range=1.0,
        card={
            "images": "slices of 217 x 181 zero-padded to 256 x 256, over the maximum of the volume, times a phase",
            "phase": "random quadratic: constant uniform over a turn, five standard normal coefficients (radians)",
            "splits": {split: [list(block) for block in blocks] for split, blocks in BLOCKS.items()},
            "splits_note": "half-open blocks of slices, 1 mm apart, at least 5 unused slices between blocks; no "
            "other scan of this person is used, as it would show the test slices to a method",
            "seed": SEED,
            "acceleration": acceleration,
            "centre_fraction": centre,
            "mask_seed": MASK_SEED,
            "mask_note": "a seed for which the number of kept columns is exact, as it is only on average in fastMRI",
            "columns": list(columns),
            "operator": "centred orthonormal 2-D Fourier transform, kept columns; column 128 is the zero frequency",
            "simulation": "the same transform, in complex128",
            "noise": f"complex Gaussian; each part of standard deviation {NOISE.level} times the mean of |clean data|",
            "inverse_crime": True,
            "source": "template ch2 of MRIcron (Colin27), Debian package mricron-data 1.2.20211006",
            "licence": "BSD-3-Clause",
            "reference": "masks: fastMRI, arXiv:1811.08839; scan: Holmes et al. 1998, "
            "doi:10.1097/00004728-199803000-00032",
        },
        fingerprint=_fingerprint,
        fresh=partial(_fresh, kept),
        foreign=foreign.mri(_with_phase),
        shifts=shifts.columns(
            (SIZE, SIZE),
            columns,
            _measure_on,
            _exactly(acceleration),
            _exactly(1.5 * acceleration),
            **{f"mri_brain_{other}x": COLUMNS[other]},
        ),
        rates=shifts.accelerations(
            (SIZE, SIZE),
            columns,
            _measure_on,
            {rate: columns if rate == acceleration else _exactly(rate) for rate in _rates(acceleration)},
        ),
        display=(0.0, 0.7),
        error_display=(-0.1, 0.1),
    )


TASKS = tuple(map(_task, CENTRES))
