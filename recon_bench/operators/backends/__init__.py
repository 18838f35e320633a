"""What projects for a ray transform. Which backend does it is chosen when the transform is made, and has a name."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from recon_bench.operators.backends import csr
from recon_bench.operators.geometry import ParallelBeam


class Backend(Protocol):
    """A projection and its exact transpose on flat images and data, n of them at a time with n >= 1.

    ``name`` says which code it is and what decides its speed and rounding (layout, width of indices).
    """

    @property
    def name(self) -> str:
        """Which code projects, such as "csr-int32"."""

    def project(self, x: Tensor) -> Tensor:
        """Images ``(n, pixels)`` to data ``(n, rays)``."""

    def backproject(self, y: Tensor) -> Tensor:
        """Data ``(n, rays)`` to images ``(n, pixels)``."""

    def select(self, rays: np.ndarray) -> Backend:
        """The projection to some ``rays`` (n,) alone, by number."""

    def matrix(self) -> scipy.sparse.csr_array:
        """The projection as a sparse matrix (rays, pixels): a copy."""


def choose(geometry: ParallelBeam, device: torch.device, dtype: torch.dtype) -> Backend:
    """The backend for ``geometry`` on ``device`` in float32 or float64: explicit matrices, whatever the device."""
    return csr.load(geometry, device, dtype)
