"""Training samples as a task makes them, only many times faster: the same law, path and noise, in batches.

Ellipses are filled row by row between two columns; enlarging an image and projecting it on the finer grid is one
sparse matrix. Both give what the slow way gives, to rounding (a pixel whose centre lies on an edge may fall to the
other side).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_bench.data.simulation import Array, enlarge
from recon_bench.operators import ParallelBeam, RayTransform


def filled(ellipses: Array, size: int) -> Array:
    """What :func:`recon_bench.data.ellipses.sampled` gives, an image ``(size, size)`` of values at points."""
    value, a, b, x, y, angle = ellipses.T[..., None]
    grid = np.linspace(-1.0, 1.0, size)
    dy = -grid - y  # (ellipses, rows)
    height2 = (a * np.sin(angle)) ** 2 + (b * np.cos(angle)) ** 2
    middle = x + dy * (a**2 - b**2) * np.sin(angle) * np.cos(angle) / height2
    half = a * b * np.sqrt(np.maximum(height2 - dy**2, 0)) / height2
    first, end = (_column(middle + side * half, size) for side in (-1, 1))
    inside = (np.abs(dy) < np.sqrt(height2)) & (first < end)
    row = np.broadcast_to(np.arange(size) * (size + 1), inside.shape)[inside]
    jumps = np.broadcast_to(value, inside.shape)[inside]
    steps = np.bincount(row + first[inside], jumps, size * (size + 1))
    steps -= np.bincount(row + end[inside], jumps, size * (size + 1))
    image = np.cumsum(steps.reshape(size, -1), axis=1, dtype=np.float64)[:, :size]
    return np.round(image, 12) + 0.0  # what cancels is exactly zero


def _column(x: Array, size: int) -> NDArray[np.intp]:
    """The first column whose point is not left of ``x``, at most ``size``."""
    return np.clip(np.ceil((x + 1) * (size - 1) / 2), 0, size).astype(np.intp)


@cache
def simulation(size: int, geometry: ParallelBeam) -> scipy.sparse.csr_array:
    """What :func:`recon_bench.data.simulation.project` does to images of ``size``: a float32 matrix (rays, pixels)."""
    rows = scipy.sparse.csr_array(np.stack([_enlarged(unit, geometry.size) for unit in np.eye(size)], axis=1))
    ray = RayTransform(geometry, torch.device("cpu"), torch.float64).matrix()
    return (ray @ scipy.sparse.kron(rows, rows, format="csr")).astype(np.float32).tocsr()


def _enlarged(line: Array, size: int) -> Array:
    """A column of an image, interpolated at ``size`` points."""
    return enlarge(np.repeat(line[:, None], len(line), axis=1), size)[:, 0]


def ellipses(
    draw: Callable[[np.random.Generator], Array],
    image: Callable[[Array], Array],
    geometry: ParallelBeam,
    size: int,
    noisy: Callable[..., Array],
) -> Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]:
    """``fresh`` of a task: ``draw`` phantoms, fill them, ``image`` makes them images, project, make ``noisy``.

    It gives truths ``(n, size, size)`` and data ``(n, views, bins)`` in float32, on the CPU.
    """

    def fresh(rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
        phantoms, noise = rng.spawn(2)
        truth = np.stack([image(filled(draw(phantoms), size)) for _ in range(n)]).astype(np.float32)
        clean = (simulation(size, geometry) @ truth.reshape(n, -1).T).T
        data = np.stack([noisy(line, rng=noise) for line in clean]).astype(np.float32)
        return torch.from_numpy(truth), torch.from_numpy(data.reshape(n, len(geometry.angles), geometry.bins))

    return fresh
