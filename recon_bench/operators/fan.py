"""Fan-beam ray transform with a flat detector, by an explicit sparse matrix with Joseph's weights, on any torch device.

The source of the view beta is at ``source`` (sin(beta), -cos(beta)), and the detector at right angles to the line from
it through the origin, its bins counted along (cos(beta), sin(beta)): with the source far away this is the parallel beam
of the same angles. Each ray is the line {x cos(phi) + y sin(phi) = s} for a phi and an s of its own.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from recon_bench import cache
from recon_bench.operators.autograd import Map, linear
from recon_bench.operators.backends import csr
from recon_bench.operators.geometry import ParallelBeam

_CACHED_FROM = 4_000_000  # weights above which a matrix is worth keeping on disk


@dataclass(frozen=True)
class FanBeam:
    """Geometry of a fan-beam scan; all lengths in one unit, that of ``pixel``.

    As :class:`ParallelBeam`, with ``source`` and ``detector``, their distances from the axis of rotation; ``spacing``
    and ``shift`` are measured on the detector.
    """

    size: int
    angles: tuple[float, ...]
    bins: int
    source: float
    detector: float
    spacing: float = 1.0
    shift: float = 0.0
    pixel: float = 1.0

    def __post_init__(self) -> None:
        same = ParallelBeam(
            self.size, self.angles, self.bins, self.spacing, self.shift, self.pixel
        )  # which checks them
        for name, value in asdict(same).items():
            object.__setattr__(self, name, value)
        corner = self.size * self.pixel / math.sqrt(2)
        if not (self.source > corner and self.detector >= 0):
            raise ValueError(
                f"expected a source outside of the image, farther than {corner:g} from the axis, and a detector behind "
                f"the axis, got distances of {self.source:g} and {self.detector:g}"
            )


@dataclass(frozen=True)
class FanTransform:
    """Line integrals of an image: ``(..., size, size)`` to ``(..., views, bins)``, in the length unit of ``pixel``.

    ``dtype``: float32 or float64.
    """

    geometry: FanBeam
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @property
    def domain_shape(self) -> tuple[int, ...]:
        """Rows and columns of the image."""
        return self.geometry.size, self.geometry.size

    @property
    def range_shape(self) -> tuple[int, ...]:
        """Views and bins."""
        return len(self.geometry.angles), self.geometry.bins

    def __call__(self, x: Tensor) -> Tensor:
        """Images ``(..., size, size)`` to line integrals ``(..., views, bins)``.

        ValueError for another shape, TypeError for another dtype.
        """
        return linear(x, self._forward, self._backward)

    def adjoint(self, y: Tensor) -> Tensor:
        """Data ``(..., views, bins)`` to images ``(..., size, size)``, not filtered; raises as the forward map."""
        return linear(y, self._backward, self._forward)

    @cached_property
    def _projector(self) -> csr.Csr:
        return csr.of_matrix(matrix(self.geometry, self.dtype), self.device)

    @cached_property
    def _forward(self) -> Map:
        return Map(self._project, self.domain_shape, self.range_shape, self.dtype, "the fan-beam transform")

    @cached_property
    def _backward(self) -> Map:
        return Map(self._backproject, self.range_shape, self.domain_shape, self.dtype, "the adjoint fan-beam transform")

    def _project(self, x: Tensor) -> Tensor:
        return self._projector.project(x.reshape(len(x), -1))

    def _backproject(self, y: Tensor) -> Tensor:
        return self._projector.backproject(y.reshape(len(y), -1))


def rays(g: FanBeam) -> tuple[np.ndarray, np.ndarray]:
    """The angle phi and the offset s of the ray of each view and bin, flat, in float64."""
    t = (np.arange(g.bins) - (g.bins - 1) / 2) * g.spacing + g.shift
    length = g.source + g.detector
    phi = np.array(g.angles)[:, None] - np.arctan2(t, length)
    s = np.broadcast_to(t * g.source / np.hypot(t, length), phi.shape)
    return phi.ravel(), s.ravel()


def matrix(g: FanBeam, dtype: torch.dtype) -> scipy.sparse.csr_array:
    """The transform as a sparse matrix (views * bins, size * size) in float32 or float64, built or from the cache."""
    shape = (len(g.angles) * g.bins, g.size**2)

    def build() -> dict[str, Tensor]:
        phi, s = rays(g)
        views = (slice(i, i + g.bins) for i in range(0, shape[0], g.bins))
        found = scipy.sparse.vstack([_joseph(g, phi[view], s[view], dtype) for view in views], format="csr")
        return {name: torch.from_numpy(getattr(found, name)) for name in csr.PARTS}

    estimate = 2 * shape[0] * g.size
    if estimate >= 2**31:
        raise ValueError(f"{estimate} weights do not fit 32-bit indices: use fewer views or a smaller image")
    key = {"what": "fan", "version": 1, "geometry": asdict(g), "dtype": str(dtype)}
    found = cache.load_or_build(key, build, csr.PARTS) if estimate >= _CACHED_FROM else build()
    arrays = {name: found[name].numpy() for name in csr.PARTS}
    return scipy.sparse.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)


def _joseph(g: FanBeam, phi: np.ndarray, s: np.ndarray, dtype: torch.dtype) -> scipy.sparse.csr_array:
    """Joseph's weights of the rays ``phi``, ``s`` (rays,): two in each column of the image, or in each row, which of
    them the ray crosses at the steeper angle."""
    grid = (np.arange(g.size) - (g.size - 1) / 2) * g.pixel
    cos, sin = np.cos(phi)[:, None], np.sin(phi)[:, None]
    flat = np.abs(sin) >= np.abs(cos)  # along the rows of the image, so that it meets every column
    along, across = np.where(flat, cos, sin), np.where(flat, sin, cos)
    steps = np.where(flat, grid, -grid)  # x of a column, y of a row
    place = (s[:, None] - steps * along) / across  # y in that column, x in that row
    index = np.where(flat, -place, place) / g.pixel + (g.size - 1) / 2
    first = np.floor(index).astype(np.int32)
    cells = np.stack([first, first + 1], -1)
    data = np.stack([1 - (index - first), index - first], -1) * (g.pixel / np.abs(across))[..., None]
    step = np.arange(g.size, dtype=np.int32)[:, None]
    pixels = np.where(flat[..., None], cells * g.size + step, step * g.size + cells)
    data[(cells < 0) | (cells >= g.size)] = 0
    kept = data != 0
    indptr = np.concatenate([[0], kept.reshape(len(phi), -1).sum(1).cumsum()]).astype(np.int32)
    values = data[kept].astype(np.float32 if dtype == torch.float32 else np.float64)
    return scipy.sparse.csr_array((values, pixels[kept].astype(np.int32), indptr), shape=(len(phi), g.size**2))
