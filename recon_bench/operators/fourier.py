"""Undersampled single-coil MRI: the centred orthonormal 2-D Fourier transform, keeping some k-space columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from recon_bench.operators.autograd import Map, linear

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


@dataclass(frozen=True)
class MaskedFourier:
    """Complex images ``(..., rows, columns)`` to k-space ``(..., rows, len(kept))``; A A* = I, so the norm is 1.

    ``columns``: the kept k-space columns, ascending; column ``n // 2`` is the centre (zero frequency), as in fastMRI.
    ``dtype`` is given as the real precision (float32 or float64) or as the complex type itself.
    """

    shape: tuple[int, int]
    columns: tuple[int, ...]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.complex64
    domain_shape: tuple[int, ...] = field(init=False)
    range_shape: tuple[int, ...] = field(init=False)
    _index: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "columns", tuple(int(c) for c in self.columns))
        width = self.shape[1]
        if not self.columns or list(self.columns) != sorted({c for c in self.columns if 0 <= c < width}):
            raise ValueError(f"columns must be distinct, ascending and in 0..{width - 1}, got {self.columns}")
        object.__setattr__(self, "device", torch.device(self.device))
        object.__setattr__(self, "dtype", _COMPLEX.get(self.dtype, self.dtype))
        object.__setattr__(self, "domain_shape", self.shape)
        object.__setattr__(self, "range_shape", (self.shape[0], len(self.columns)))
        object.__setattr__(self, "_index", torch.tensor(self.columns, device=self.device))

    def __call__(self, x: Tensor) -> Tensor:
        """Images ``(..., rows, columns)`` to k-space ``(..., rows, len(kept))``, both of the operator's complex type.

        ValueError for another shape, TypeError for another dtype.
        """
        return linear(x, self._transform, self._transpose)

    def adjoint(self, y: Tensor) -> Tensor:
        """Images ``(..., rows, columns)`` of ``y`` with zeros for what was not kept; raises as the forward map."""
        return linear(y, self._transpose, self._transform)

    def split(self, n: int) -> list[MaskedFourier]:
        """``n`` transforms, the i-th with the kept columns i, i + n, ...; together their rows are this operator's.

        ValueError unless 1 <= n <= len(columns).
        """
        if not 1 <= n <= len(self.columns):
            raise ValueError(
                f"cannot split {len(self.columns)} columns into {n} parts: expected 1 to {len(self.columns)}"
            )
        return [MaskedFourier(self.shape, self.columns[i::n], self.device, self.dtype) for i in range(n)]

    @cached_property
    def _transform(self) -> Map:
        return Map(self._sample, self.domain_shape, self.range_shape, self.dtype, "the Fourier transform")

    @cached_property
    def _transpose(self) -> Map:
        return Map(self._fill, self.range_shape, self.domain_shape, self.dtype, "the adjoint Fourier transform")

    def _sample(self, x: Tensor) -> Tensor:
        k = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(x, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))
        return k.index_select(-1, self._index)

    def _fill(self, y: Tensor) -> Tensor:
        k = y.new_zeros(y.shape[0], *self.shape).index_copy_(-1, self._index, y)
        return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(k, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))
