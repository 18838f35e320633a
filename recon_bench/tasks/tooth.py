"""A tooth in a synchrotron: 31 of 181 measured views, whose axis of rotation is not in the middle of the detector.

Nothing is simulated. The reference is the least-squares reconstruction from all 181 views of the same row of the
detector, so that noise and errors of the scan are in it, too. The file is TomoPy's example ``tooth.h5``.
"""

from __future__ import annotations

import math
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recon_bench.core import Noise, NotApplicable, Operator
from recon_bench.data import exchange
from recon_bench.data.reading import DataError, existing, folder_from
from recon_bench.data.simulation import describe
from recon_bench.operators import ParallelBeam, RayTransform
from recon_bench.solvers import conjugate_gradients
from recon_bench.storage import digest
from recon_bench.task import Parameter, Shift, Task, Truth

VARIABLE = "RECON_BENCH_TOOTH"
FILE = "tooth.h5"
ADVICE = (
    f"Download {FILE} of TomoPy (https://github.com/tomopy/tomopy, source/tomopy/data) into a folder and set "
    f"{VARIABLE} to that folder."
)
VIEWS, ROWS, BINS = 181, 2, 640
EVERY = 6
PIXEL = 0.01  # one bin, in units of a hundred bins
CENTRE = 296.0  # the column of the axis that TomoPy's example finds
SIZE = 384
NEAR = 1e-4  # radians: half a bin at the edge of the image is more than ten times as much
ITERATIONS = 10  # of conjugate gradients for the reference
ROW = {"train": 0, "validation": 0, "test": 1}
SIZES = {"train": 0, "validation": 1, "test": 1}


def geometry(shift: float, every: int = EVERY) -> ParallelBeam:
    """Every so many views, as the file's angles are, on a detector whose middle is so many bins off the axis."""
    angles = tuple(math.pi * i / VIEWS for i in range(0, VIEWS, every))
    return ParallelBeam(size=SIZE, angles=angles, bins=BINS, spacing=PIXEL, pixel=PIXEL, shift=shift * PIXEL)


SHIFT = (BINS - 1) / 2 - CENTRE  # bins


@cache
def _scan(path: Path) -> exchange.Scan:
    scan = exchange.read(path, ADVICE)
    if scan.lines.shape != (VIEWS, ROWS, BINS):
        raise DataError(
            f"{path}: expected {(VIEWS, ROWS, BINS)} views, rows and bins, got {scan.lines.shape}. {ADVICE}"
        )
    if not np.allclose(scan.angles, geometry(SHIFT, every=1).angles, rtol=0, atol=NEAR):
        raise DataError(f"{path}: expected view angles from 0 on in steps of 1/{VIEWS} of a half turn. {ADVICE}")
    return scan


@cache
def _reference(path: Path, row: int) -> NDArray[np.float64]:
    A = RayTransform(geometry(SHIFT, every=1))
    y = torch.from_numpy(_scan(path).lines[:, row].astype(np.float32))[None]
    x, _ = conjugate_gradients(lambda z: A.adjoint(A(z)), A.adjoint(y), 2, ITERATIONS)
    return x[0].double().numpy()


def draw(split: str, index: int) -> Truth:
    """The reference (SIZE, SIZE) of a row of the detector, with its 31 views (views, bins)."""
    path, row = folder_from(VARIABLE, ADVICE) / FILE, ROW[split] + index
    return Truth(_reference(path, row), volume="tooth", source=_scan(path).lines[::EVERY, row])


def measure(truth: Truth, rng: np.random.Generator) -> NDArray[np.float64]:
    """The line integrals (views, bins) that come with the reference; NotApplicable to any other image."""
    if truth.source is None:
        raise NotApplicable("data come with the tooth: no other image can be measured")
    return np.asarray(truth.source)


def missing() -> str | None:
    """Why the task cannot run, or None."""
    try:
        existing(folder_from(VARIABLE, ADVICE) / FILE, "file", ADVICE)
    except DataError as error:
        return str(error)
    return None


def _operator(shift: float, device: torch.device, dtype: torch.dtype) -> Operator:
    return RayTransform(geometry(shift), device, dtype)


_CARD = {
    "images": f"least-squares reconstructions from all {VIEWS} views, {ITERATIONS} conjugate gradients, of two rows of "
    "the detector of one tooth",
    "splits": "validation: the first row; test: the second, beside it, which looks nearly the same; none to train on",
    "data": f"measured: -log((data - dark) / (white - dark)) of every {EVERY}th view; nothing is simulated",
    "centre": f"column {CENTRE:g} of {BINS}, as in TomoPy's example; it was not measured apart",
    "operator": describe(geometry(SHIFT), "a hundred bins"),
    "noise": "of the scan; white noise of 2 % of the mean of |data| is about what there is where nothing absorbs",
    "data_range": "1, about the densest of the tooth",
    "inverse_crime": False,
    "source": "TomoPy, source/tomopy/data/tooth.h5",
    "licence": "BSD-3-Clause type (UChicago Argonne)",
    "reference": "Gürsoy, De Carlo, Xiao, Jacobsen 2014, doi:10.1107/S1600577514013939",
}

TASKS = (
    Task(
        name="tooth",
        version=1,
        family="ct",
        title="A tooth, 31 measured views",
        description=(
            "One row of a synchrotron scan of a tooth, measured and not simulated, from 31 of 181 views; the reference "
            "is the reconstruction from all of them. The axis of rotation is not in the middle of the detector."
        ),
        make_operator=partial(_operator, SHIFT),
        draw=draw,
        measure=measure,
        seed=0,
        sizes=SIZES,
        noise=Noise("gaussian", 0.02),
        data_range=1.0,
        card=_CARD,
        fingerprint=lambda: digest(_CARD),
        missing=missing,
        shifts=(
            Shift(
                name="rotation-centre",
                make_operator=partial(_operator, SHIFT),
                measure=measure,
                mapped=lambda y: y,
                parameter=Parameter("distance of the axis", "bins", SHIFT, 0.0, -32.0, 32.0, _operator),
            ),
        ),
    ),
)
