"""The ASTRA toolbox's own FBP and SIRT on the CPU, through the same door. ASTRA is imported only when one is built.

Its parallel beam has our angles, axes and units. A moved detector needs its vector geometry, which its FBP does not
take, so there the views are resampled (linearly) onto a centred detector. One image after another, in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from baselines.fbp import FILTERS, ray_geometry, view_weights
from baselines.skimage_reference import each_image, resample
from recon_bench.adapters.astra import import_astra, projection
from recon_bench.core import Choice, Log, Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.operators import ParallelBeam

LARGEST = 10_000_000  # pixels times views for SIRT: an iteration takes about 14 ns each, 0.5 s at 512 x 512 x 143


@dataclass(frozen=True)
class FbpSettings:
    """``filter``: one of FILTERS; ``cutoff``: as a fraction of the Nyquist frequency."""

    filter: str = "hann"
    cutoff: float = 0.8


@dataclass(frozen=True)
class SirtSettings:
    """``iterations``: the regularisation."""

    iterations: int = 50


def run(g: ParallelBeam, y: NDArray, algorithm: str, options: dict[str, Any], iterations: int) -> NDArray:
    """Image ``(size, size)`` that ASTRA's ``algorithm`` makes of ``y`` ``(views, bins)``; frees what it allocated."""
    astra = import_astra()
    half = g.size * g.pixel / 2
    volume = astra.create_vol_geom(g.size, g.size, -half, half, -half, half)
    geometry = projection(astra, g)
    projector = astra.create_projector("linear", geometry, volume)
    image, data = astra.data2d.create("-vol", volume), astra.data2d.create("-sino", geometry, y)
    ids = {"ProjectorId": projector, "ReconstructionDataId": image, "ProjectionDataId": data}
    identifier = astra.algorithm.create(astra.astra_dict(algorithm) | ids | options)
    try:
        astra.algorithm.run(identifier, iterations)
        return astra.data2d.get(image)
    finally:
        astra.algorithm.delete(identifier)
        astra.data2d.delete([image, data])
        astra.projector.delete(projector)


def build_fbp(problem: Problem, settings: FbpSettings) -> Reconstructor:
    """ASTRA's FBP; views that do not stand for equal angles are weighted before."""
    ray_geometry(problem.operator)
    import_astra()
    options = {"FilterType": settings.filter, "FilterD": settings.cutoff}

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        g = ray_geometry(A)
        centred = replace(g, shift=0.0)
        bins = (np.arange(g.bins) - (g.bins - 1) / 2) * g.spacing
        equal = view_weights(g.angles)[:, None] * len(g.angles) / math.pi

        def one(image: NDArray) -> NDArray:
            views = resample(image, g, np.broadcast_to(bins, image.shape)) if g.shift else image
            return run(centred, views, "FBP", options, 1)

        return each_image(y * equal.to(y), one)

    return reconstruct


def build_sirt(problem: Problem, settings: SirtSettings) -> Reconstructor:
    """ASTRA's SIRT from zero. NotApplicable where it would take too long, or without a parallel beam or ASTRA."""
    g = ray_geometry(problem.operator)
    import_astra()
    if (work := g.size**2 * len(g.angles)) > LARGEST:
        raise NotApplicable(
            f"ASTRA's SIRT needs about {1.4e-8 * work:.2f} s an iteration and image on the CPU for {g.size} x "
            f"{g.size} x {len(g.angles)} views, and some 100 iterations"
        )
    return lambda y, A: each_image(y, lambda image: run(ray_geometry(A), image, "SIRT", {}, settings.iterations))


_FBP = Method(
    name="astra-fbp",
    title="ASTRA FBP",
    family="outside",
    summary="ASTRA's filtered backprojection on the CPU; filter and cut-off tuned.",
    reference="van Aarle et al., Optics Express 24, 2016, doi:10.1364/OE.24.025129",
    build=build_fbp,
    settings=FbpSettings(),
    search={"filter": Choice(FILTERS), "cutoff": Log(0.2, 1.0)},
)
METHODS = (
    _FBP,
    replace(
        _FBP,
        name="astra-sirt",
        title="ASTRA SIRT",
        summary="ASTRA's simultaneous iterative reconstruction on the CPU; the number of iterations is tuned.",
        build=build_sirt,
        settings=SirtSettings(),
        search={"iterations": Log(10, 100, integer=True)},
        depth="iterations",
    ),
)
