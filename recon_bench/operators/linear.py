"""Operators given outright: the identity (denoising), a small explicit matrix, and a pair of functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from recon_bench.operators.autograd import Map, linear


@dataclass(frozen=True)
class Identity:
    """A x = x for images ``(..., *domain_shape)``."""

    domain_shape: tuple[int, ...]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @property
    def range_shape(self) -> tuple[int, ...]:
        """That of images."""
        return self.domain_shape

    def __call__(self, x: Tensor) -> Tensor:
        """``(..., *domain_shape)`` in new memory; ValueError for another shape, TypeError for another dtype."""
        same = Map(torch.clone, self.domain_shape, self.domain_shape, self.dtype, "the identity")
        return linear(x, same, same)

    def adjoint(self, y: Tensor) -> Tensor:
        """The same as the forward map."""
        return self(y)


@dataclass(frozen=True, eq=False)
class Matrix:
    """Explicit ``matrix`` (m, n) from ``(..., *domain_shape)`` of n to ``(..., *range_shape)`` of m elements."""

    matrix: Tensor
    domain_shape: tuple[int, ...]
    range_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        expected = (torch.Size(self.range_shape).numel(), torch.Size(self.domain_shape).numel())
        if tuple(self.matrix.shape) != expected:
            raise ValueError(
                f"shapes {self.domain_shape} to {self.range_shape} need a matrix {expected}, "
                f"got {tuple(self.matrix.shape)}"
            )

    @property
    def device(self) -> torch.device:
        """That of the matrix."""
        return self.matrix.device

    @property
    def dtype(self) -> torch.dtype:
        """That of the matrix, real or complex."""
        return self.matrix.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """``(..., *domain_shape)`` to ``(..., *range_shape)``.

        ValueError for another shape, TypeError for another dtype.
        """
        return linear(x, self._forward, self._backward)

    def adjoint(self, y: Tensor) -> Tensor:
        """``(..., *range_shape)`` to ``(..., *domain_shape)`` by the conjugate transpose; raises as the forward map."""
        return linear(y, self._backward, self._forward)

    def split(self, n: int) -> list[Matrix]:
        """``n`` matrices, the i-th with the rows i, i + n, ... of the flattened range.

        ValueError unless 1 <= n <= m.
        """
        if not 1 <= n <= len(self.matrix):
            raise ValueError(f"cannot split {len(self.matrix)} rows into {n} parts: expected 1 to {len(self.matrix)}")
        parts = [self.matrix[i::n] for i in range(n)]
        return [Matrix(part, self.domain_shape, (part.shape[0],)) for part in parts]

    @cached_property
    def _forward(self) -> Map:
        return Map(self._multiply, self.domain_shape, self.range_shape, self.dtype, "the matrix")

    @cached_property
    def _backward(self) -> Map:
        return Map(self._multiply_adjoint, self.range_shape, self.domain_shape, self.dtype, "the adjoint matrix")

    def _multiply(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), -1) @ self.matrix.t()

    def _multiply_adjoint(self, y: Tensor) -> Tensor:
        return y.reshape(len(y), -1) @ self.matrix.conj()


@dataclass(frozen=True, eq=False)
class FunctionOperator:
    """A linear map that is given by two functions: a blur, a scan of another library, whatever has an adjoint.

    ``forward`` takes ``(n, *domain_shape)`` to ``(n, *range_shape)``, ``backward`` goes back by the matched adjoint,
    each to new memory of the type ``dtype`` on the ``device``. They need not be differentiable: each is the derivative
    of the other.
    """

    domain_shape: tuple[int, ...]
    range_shape: tuple[int, ...]
    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    def __call__(self, x: Tensor) -> Tensor:
        """``(..., *domain_shape)`` to ``(..., *range_shape)``.

        ValueError for another shape, TypeError for another dtype.
        """
        return linear(x, self._forward, self._backward)

    def adjoint(self, y: Tensor) -> Tensor:
        """``(..., *range_shape)`` to ``(..., *domain_shape)``; raises as the forward map."""
        return linear(y, self._backward, self._forward)

    @cached_property
    def _forward(self) -> Map:
        return Map(self.forward, self.domain_shape, self.range_shape, self.dtype, "the operator")

    @cached_property
    def _backward(self) -> Map:
        return Map(self.backward, self.range_shape, self.domain_shape, self.dtype, "the adjoint operator")
