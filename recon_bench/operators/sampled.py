"""MRI that samples any points of k-space, as along lines in many directions; columns are in ``fourier.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_bench.operators.autograd import Map, linear
from recon_bench.operators.fourier import MaskedFourier


@dataclass(frozen=True, eq=False)
class SampledFourier:
    """Complex images ``(..., rows, columns)`` to the points of k-space ``(..., n)`` where ``mask`` is true, row by row.

    The centred orthonormal transform of :class:`MaskedFourier` at single points; A A* = I, so the norm is 1. ``mask``
    (rows, columns) must hold a point, else ValueError.
    """

    mask: NDArray[np.bool_]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.complex64
    domain_shape: tuple[int, ...] = field(init=False)
    range_shape: tuple[int, ...] = field(init=False)
    _whole: MaskedFourier = field(init=False, repr=False)
    _index: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows, columns = self.mask.shape
        points = np.flatnonzero(self.mask)
        if not len(points):
            raise ValueError("expected a mask with at least one point of k-space, got none")
        whole = MaskedFourier((rows, columns), tuple(range(columns)), self.device, self.dtype)
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "device", whole.device)
        object.__setattr__(self, "dtype", whole.dtype)
        object.__setattr__(self, "domain_shape", (rows, columns))
        object.__setattr__(self, "range_shape", (len(points),))
        object.__setattr__(self, "_index", torch.from_numpy(points).to(whole.device))

    def __call__(self, x: Tensor) -> Tensor:
        """Images ``(..., rows, columns)`` to points ``(..., n)``, both of the operator's complex type.

        ValueError for another shape, TypeError for another dtype.
        """
        return linear(x, self._sample, self._fill)

    def adjoint(self, y: Tensor) -> Tensor:
        """Images ``(..., rows, columns)`` of ``y`` with zeros for what was not sampled; raises as the forward map."""
        return linear(y, self._fill, self._sample)

    @cached_property
    def _sample(self) -> Map:
        return Map(self._points, self.domain_shape, self.range_shape, self.dtype, "the sampled Fourier transform")

    @cached_property
    def _fill(self) -> Map:
        name = "the adjoint of the sampled Fourier transform"
        return Map(self._image, self.range_shape, self.domain_shape, self.dtype, name)

    def _points(self, x: Tensor) -> Tensor:
        return self._whole(x).reshape(len(x), -1).index_select(-1, self._index)

    def _image(self, y: Tensor) -> Tensor:
        k = y.new_zeros(len(y), self.mask.size).index_copy_(-1, self._index, y)
        return self._whole.adjoint(k.reshape(len(y), *self.mask.shape))
