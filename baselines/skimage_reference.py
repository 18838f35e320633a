"""scikit-image's own filtered backprojection (iradon) and SART (iradon_sart), through the same door.

scikit-image puts the rotation centre on pixel n // 2 and its bins one pixel apart. Our centre is the middle of the
image, which for even n is half a pixel away, so every view is first resampled (linearly) at the bins it would have had.
Both run on the CPU in float32, one image after another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import iradon, iradon_sart
from torch import Tensor

from baselines.fbp import ray_geometry, view_weights
from recon_bench.core import Choice, Log, Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.operators import ParallelBeam

LARGEST = 10_000_000  # pixels times views for SART: one sweep over 256 x 256 x 143 takes 1.5 s


@dataclass(frozen=True)
class FbpSettings:
    """``filter``: one that iradon knows; it has no cut-off."""

    filter: str = "hann"


@dataclass(frozen=True)
class SartSettings:
    """``iterations``: sweeps over the views; ``relaxation``: of each update."""

    iterations: int = 2
    relaxation: float = 0.15


def resample(y: NDArray, geometry: ParallelBeam, positions: NDArray) -> NDArray:
    """Views ``(..., views, bins)`` at detector coordinates ``positions`` ``(views, n)``, linearly; zero outside."""
    bins = (np.arange(geometry.bins) - (geometry.bins - 1) / 2) * geometry.spacing + geometry.shift
    flat = y.reshape(-1, *y.shape[-2:])
    views = [[np.interp(at, bins, view, 0, 0) for at, view in zip(positions, image)] for image in flat]
    return np.array(views, dtype=y.dtype).reshape(*y.shape[:-1], -1)


def to_skimage(y: Tensor, geometry: ParallelBeam) -> NDArray:
    """Data ``(batch, views, bins)`` as scikit-image expects it: ``(batch, bins, views)``, lengths in pixels."""
    size = geometry.size
    half = math.ceil(size / math.sqrt(2)) + 2
    aside = size // 2 - (size - 1) / 2
    angles = np.array(geometry.angles)[:, None]
    positions = geometry.pixel * (np.arange(-half, half + 1) + aside * (np.cos(angles) - np.sin(angles)))
    return resample(y.cpu().numpy(), geometry, positions).swapaxes(-1, -2) / geometry.pixel


def each_image(y: Tensor, reconstruct: Callable[[NDArray], NDArray]) -> Tensor:
    """``reconstruct`` of every data array of the batch, as one tensor like ``y``."""
    return torch.from_numpy(np.stack([reconstruct(image) for image in y.cpu().numpy()])).to(y)


def build_fbp(problem: Problem, settings: FbpSettings) -> Reconstructor:
    """iradon; views that do not stand for equal angles are weighted before."""
    ray_geometry(problem.operator)

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        g = ray_geometry(A)
        equal = view_weights(g.angles)[:, None] * len(g.angles) / math.pi
        degrees = np.degrees(g.angles)
        views = torch.from_numpy(to_skimage(y * equal.to(y), g)).to(y)
        return each_image(
            views, lambda image: iradon(image, degrees, g.size, filter_name=settings.filter, circle=False)
        )

    return reconstruct


def build_sart(problem: Problem, settings: SartSettings) -> Reconstructor:
    """iradon_sart on the square around the circle around the image, of which the image is the middle.

    NotApplicable where it would take too long, or without a parallel beam.
    """
    geometry = ray_geometry(problem.operator)
    if (work := geometry.size**2 * len(geometry.angles)) > LARGEST:
        raise NotApplicable(
            f"scikit-image's SART needs about {1.6e-7 * work:.0f} s a sweep and image for {geometry.size} x "
            f"{geometry.size} x {len(geometry.angles)} views"
        )

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        g = ray_geometry(A)
        degrees = np.degrees(g.angles)

        def one(image: NDArray) -> NDArray:
            x = np.zeros((len(image), len(image)), image.dtype)
            for _ in range(settings.iterations):
                x = iradon_sart(image, degrees, x, relaxation=settings.relaxation)
            first = image.shape[0] // 2 - g.size // 2
            return x[first : first + g.size, first : first + g.size]

        return each_image(torch.from_numpy(to_skimage(y, g)), one).to(y)

    return reconstruct


_FBP = Method(
    name="skimage-fbp",
    title="scikit-image FBP",
    family="outside",
    summary="scikit-image's iradon on views resampled to its bins; filter tuned.",
    reference="van der Walt et al., PeerJ 2, 2014, doi:10.7717/peerj.453",
    build=build_fbp,
    settings=FbpSettings(),
    search={"filter": Choice(("ramp", "shepp-logan", "cosine", "hamming", "hann"))},
)
METHODS = (
    _FBP,
    replace(
        _FBP,
        name="skimage-sart",
        title="scikit-image SART",
        summary="scikit-image's iradon_sart on views resampled to its bins; sweeps and relaxation tuned.",
        build=build_sart,
        settings=SartSettings(),
        search={"iterations": Log(1, 8, integer=True), "relaxation": Log(0.05, 0.5)},
        depth="iterations",
    ),
)
