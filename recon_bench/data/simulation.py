"""What tasks share: noise, simulation on a finer grid, and what goes on a card."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from recon_bench.operators import ParallelBeam, RayTransform
from recon_bench.task import SPLITS, streams

Array = NDArray[np.float64]


def gaussian(clean: Array, level: float, rng: np.random.Generator) -> Array:
    """``clean``, of any shape, plus white noise of standard deviation ``level`` times its mean absolute value."""
    return clean + level * np.abs(clean).mean() * rng.standard_normal(clean.shape)


def count_photons(clean: Array, photons: float, rng: np.random.Generator) -> Array:
    """Line integrals as ``photons`` per bin would show them: -log of a Poisson count, a count of 0 taken as 0.1.

    The 0.1 is LoDoPaB-CT's convention (doi:10.1038/s41597-021-00893-z).
    """
    counts = rng.poisson(photons * np.exp(-clean))
    return -np.log(np.maximum(counts, 0.1) / photons)


def project(image: Array, geometry: ParallelBeam) -> Array:
    """Line integrals ``(views, bins)`` in double precision of ``image``, enlarged to the grid of ``geometry``."""
    return _simulator(geometry)(torch.from_numpy(enlarge(image, geometry.size))).numpy()


def line_integrals(image: Array, geometry: ParallelBeam) -> Array:
    """Line integrals ``(views, bins)`` of a square ``image`` over the square of ``geometry``, without its operator.

    The image is interpolated bilinearly at points half a pixel apart along each ray (midpoint rule).
    """
    n, g = image.shape[0], geometry
    pixel = g.size * g.pixel / n
    steps = math.ceil(2 * math.sqrt(2) * n)
    t = (np.arange(steps) - (steps - 1) / 2)[None, :] / 2  # in pixels, as s
    s = (((np.arange(g.bins) - (g.bins - 1) / 2) * g.spacing + g.shift) / pixel)[:, None]
    rays = []
    for angle in g.angles:
        x, y = s * math.cos(angle) - t * math.sin(angle), s * math.sin(angle) + t * math.cos(angle)
        places = [(n - 1) / 2 - y, (n - 1) / 2 + x]
        rays.append(map_coordinates(image, places, order=1, mode="grid-constant").sum(axis=1) * pixel / 2)
    return np.stack(rays)


@lru_cache(maxsize=2)
def _simulator(geometry: ParallelBeam) -> RayTransform:
    return RayTransform(geometry, torch.device("cpu"), torch.float64)


def enlarge(image: Array, size: int) -> Array:
    """Bilinear interpolation of a square ``image`` at the pixel centres of a ``size`` x ``size`` grid over it.

    Beyond the outermost pixel centres the image is mirrored there, as skimage.transform.resize(order=1) does.
    """
    n = image.shape[0]
    if size == n:
        return image
    position = np.abs((np.arange(size) + 0.5) * n / size - 0.5)
    position = n - 1 - np.abs(n - 1 - position)
    first = np.minimum(position.astype(np.intp), n - 2)
    part = position - first
    rows = image[first] * (1 - part)[:, None] + image[first + 1] * part[:, None]
    return rows[:, first] * (1 - part) + rows[:, first + 1] * part


def describe(geometry: ParallelBeam, unit: str) -> dict[str, Any]:
    """``geometry`` for a card; the angles, evenly spaced, as the first and the step in degrees."""
    degrees = [math.degrees(angle) for angle in geometry.angles]
    return {
        "pixels": [geometry.size, geometry.size],
        "pixel": round(geometry.pixel, 9),
        "views": len(degrees),
        "first_view_degrees": round(degrees[0], 9),
        "view_step_degrees": round((degrees[-1] - degrees[0]) / (len(degrees) - 1), 9),
        "bins": geometry.bins,
        "bin_spacing": round(geometry.spacing, 9),
        "detector_shift": round(geometry.shift, 9),
        "length_unit": unit,
    }


def first_draws(seed: int) -> list[list[float]]:
    """The first numbers of both streams of the first sample of each split, for a fingerprint."""
    return [rounded(rng.standard_normal(4)) for split in SPLITS for rng in streams(seed, split, 0)]


def rounded(values: Iterable[float]) -> list[float]:
    """``values`` as JSON that does not depend on the last bits of a machine's arithmetic."""
    return [round(float(value), 6) for value in np.ravel(np.asarray(values))]
