"""Parallel-beam ray transform on any torch device: one face, behind which a backend projects.

Coordinates: pixel (row i, column j) of an n x n image is centred at x = (j - (n-1)/2) pixel, y = ((n-1)/2 - i) pixel.
The ray of view angle theta at detector coordinate s is the line {x cos(theta) + y sin(theta) = s}.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from recon_bench.operators import backends
from recon_bench.operators.autograd import Map, linear
from recon_bench.operators.geometry import ParallelBeam


@dataclass(frozen=True)
class RayTransform:
    """Line integrals of an image: ``(..., size, size)`` to ``(..., views, bins)``, in the length unit of ``pixel``.

    Adjoint matched to rounding (relative 1e-7 in float32). Error against the exact line integrals of Shepp-Logan at
    512 x 512 x 143: 0.7 % (bin centres), with Joseph's weights (doi:10.1109/TMI.1982.4307572). ``backend`` is the name
    of the code that projects: results of another one may differ by rounding, and their times do not compare.
    """

    geometry: ParallelBeam
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    projector: InitVar[backends.Backend | None] = None  # where it is at hand

    domain_shape: tuple[int, ...] = field(init=False)
    range_shape: tuple[int, ...] = field(init=False)
    _projector: backends.Backend = field(init=False, repr=False, compare=False)

    def __post_init__(self, projector: backends.Backend | None) -> None:
        object.__setattr__(self, "device", torch.device(self.device))
        g = self.geometry
        if self.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"a ray transform takes torch.float32 or torch.float64, got {self.dtype}")
        object.__setattr__(self, "_projector", projector or backends.choose(g, self.device, self.dtype))
        object.__setattr__(self, "domain_shape", (g.size, g.size))
        object.__setattr__(self, "range_shape", (len(g.angles), g.bins))

    @property
    def backend(self) -> str:
        """Name of what projects, such as "csr-int32"."""
        return self._projector.name

    def __call__(self, x: Tensor) -> Tensor:
        """Images ``(..., size, size)`` to line integrals ``(..., views, bins)``, both of the operator's type.

        ValueError for another shape, TypeError for another dtype.
        """
        return linear(x, self._forward, self._backward)

    def adjoint(self, y: Tensor) -> Tensor:
        """Data ``(..., views, bins)`` to images ``(..., size, size)``, not filtered; raises as the forward map."""
        return linear(y, self._backward, self._forward)

    def split(self, n: int) -> list[RayTransform]:
        """``n`` ray transforms, the i-th over the views i, i + n, ...; together their rows are this operator's.

        ValueError unless 1 <= n <= views.
        """
        views, bins = self.range_shape
        if not 1 <= n <= views:
            raise ValueError(f"cannot split {views} views into {n} parts: expected 1 to {views}")
        parts = []
        for i in range(n):
            rays = (np.arange(views)[i::n, None] * bins + np.arange(bins)).ravel()
            geometry = replace(self.geometry, angles=self.geometry.angles[i::n])
            parts.append(RayTransform(geometry, self.device, self.dtype, self._projector.select(rays)))
        return parts

    def matrix(self) -> scipy.sparse.csr_array:
        """The transform as a sparse matrix (views * bins, size * size), in one piece: a copy."""
        return self._projector.matrix()

    @cached_property
    def _forward(self) -> Map:
        return Map(self._project, self.domain_shape, self.range_shape, self.dtype, "the ray transform")

    @cached_property
    def _backward(self) -> Map:
        return Map(self._backproject, self.range_shape, self.domain_shape, self.dtype, "the adjoint ray transform")

    def _project(self, x: Tensor) -> Tensor:
        return self._projector.project(x.reshape(len(x), -1))

    def _backproject(self, y: Tensor) -> Tensor:
        return self._projector.backproject(y.reshape(len(y), -1))
