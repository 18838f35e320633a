"""Orthonormal wavelet transform of images as products with small matrices: any device, real or complex, any batch.

Mallat's decomposition (doi:10.1109/34.192463) with periodic borders: each level turns the rows and columns of the
coarse corner by an orthogonal matrix that has the low-pass filter in its upper and the high-pass filter in its lower
half. An odd length passes its last sample on to the coarse part, which keeps the matrix orthogonal at any size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pywt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Wavelet:
    """Coefficients of images ``(..., rows, columns)``, of the same shape; the adjoint is the inverse.

    ``name``: an orthogonal wavelet of PyWavelets; ``levels`` are fewer where the coarse part is down to one pixel. The
    coarse part is the corner ``[..., :coarse[0], :coarse[1]]``; ``level`` (rows, columns) tells for each coefficient
    the level of its details, from 1, the finest, to the number of levels, and 0 in the coarse part.
    """

    domain_shape: tuple[int, ...]
    name: str = "db4"
    levels: int = 4
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        if not pywt.Wavelet(self.name).orthogonal:
            raise ValueError(f"expected an orthogonal wavelet (haar, db4, sym8, ...), got {self.name}")
        shape, matrices = tuple(self.domain_shape), []
        level = torch.zeros(shape, dtype=torch.int64, device=self.device)
        for k in range(1, self.levels + 1):
            if min(shape) < 2:
                break
            pair = (torch.from_numpy(analysis(self.name, n)).to(self.device, self.dtype) for n in shape)
            matrices.append(tuple(pair))
            level[: shape[0], : shape[1]] = k
            shape = tuple((n + 1) // 2 for n in shape)
        level[: shape[0], : shape[1]] = 0
        object.__setattr__(self, "coarse", shape)
        object.__setattr__(self, "level", level)
        object.__setattr__(self, "_matrices", matrices)

    coarse: tuple[int, ...] = field(init=False)
    level: Tensor = field(init=False, repr=False, compare=False)
    _matrices: list[tuple[Tensor, Tensor]] = field(init=False, repr=False, compare=False)

    @property
    def range_shape(self) -> tuple[int, ...]:
        """That of images."""
        return self.domain_shape

    def __call__(self, x: Tensor) -> Tensor:
        """Coefficients ``(..., rows, columns)`` of images of the same shape."""
        c = x.clone()
        for down, along in self._matrices:
            corner = c[..., : len(down), : len(along)]
            corner.copy_(down @ (corner @ along.T))
        return c

    def adjoint(self, c: Tensor) -> Tensor:
        """Images of the coefficients ``c``, both ``(..., rows, columns)``: the inverse."""
        x = c.clone()
        for down, along in reversed(self._matrices):
            corner = x[..., : len(down), : len(along)]
            corner.copy_(down.T @ (corner @ along))
        return x


def analysis(name: str, length: int) -> np.ndarray:
    """Orthogonal matrix (length, length) of one level: coarse coefficients first, then details."""
    even = length - length % 2
    matrix = np.zeros((length, length))
    filters = np.array(pywt.Wavelet(name).dec_lo), np.array(pywt.Wavelet(name).dec_hi)
    for start, taps in zip((0, length - even // 2), filters):
        for k in range(even // 2):
            np.add.at(matrix[start + k], (2 * k + np.arange(len(taps))) % even, taps)
    if length % 2:
        matrix[even // 2, -1] = 1
    return matrix
