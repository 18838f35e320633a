"""What several iterative methods share: inner products per image, conjugate gradients, parts of an operator, stopping.

Everything is per image of a batch: a batch of k images gives the same as k single ones. Nothing is done in place, so
autograd can differentiate through any of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from recon_bench.core import NotConverged, Operator
from recon_bench.operators import norm

T = TypeVar("T")

CHECK_EVERY = 10  # iterations; looking costs as much as a few of their cheap operations


def dot(a: Tensor, b: Tensor, dims: int) -> Tensor:
    """Real part of <a, b> over the last ``dims`` dimensions, which are kept with length 1 so that it broadcasts."""
    value = torch.linalg.vecdot(a.flatten(-dims), b.flatten(-dims)).real
    return value.reshape(value.shape + (1,) * dims)


def conjugate_gradients(
    M: Callable[[Tensor], Tensor], b: Tensor, dims: int, iterations: int, tolerance: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Solve M x = b from x = 0, M hermitian and positive semidefinite on the last ``dims`` dimensions of ``b``.

    Stops after ``iterations`` or when |b - M x| <= tolerance |b| for every image; an image that is done stays as it is.
    Rounding is a floor to the tolerance: beyond it, steps along directions that M hardly sees blow up.
    Gives x and each image's relative residual (shape of ``b`` with the last ``dims`` dimensions of length 1).
    Hestenes & Stiefel 1952, doi:10.6028/jres.049.044.
    """
    x, r, p = torch.zeros_like(b), b, b
    start = rho = dot(r, r, dims)
    tolerance = max(tolerance, 10 * torch.finfo(b.dtype).eps)
    for _ in range(iterations):
        active = rho > tolerance**2 * start
        if not active.any():
            break
        q = M(p)
        alpha = torch.where(active, _ratio(rho, dot(p, q, dims)), 0)
        x = x + alpha * p
        r = r - alpha * q
        rho, previous = dot(r, r, dims), rho
        p = r + _ratio(rho, previous) * p
    return x, _ratio(rho, start).sqrt()


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b > 0, a / torch.where(b > 0, b, 1), 0)


def remember(prepare: Callable[..., T]) -> Callable[..., T]:
    """``prepare(A, *rest)``, computed again only when another operator or another ``rest`` comes.

    A method calls it on the problem's operator when it is built, so that norms and parts count as set-up, and a method
    that is built again for the same problem (as in tuning) has them at once. The last result is kept alive.
    """
    last: list[tuple[tuple[Any, ...], T]] = []

    def prepared(A: Operator, *rest: Any) -> T:
        if not last or last[0][0][0] is not A or last[0][0][1:] != rest:
            last[:] = [((A, *rest), prepare(A, *rest))]
        return last[0][1]

    return prepared


operator_norm = remember(norm)


def views(A: Operator) -> int:
    """How many parts ``A.split`` can make: views of a ray transform, columns of a Fourier transform, else rows."""
    return A.range_shape[_view_axis(A)]


def split_data(A: Operator, y: Tensor, n: int) -> list[Tensor]:
    """The data ``(batch, *range_shape)`` of each of the ``n`` operators that ``A.split(n)`` gives."""
    axis = _view_axis(A)
    return [y.movedim(axis, 0)[i::n].movedim(0, axis) for i in range(n)]


def _view_axis(A: Operator) -> int:
    return -1 if hasattr(A, "columns") else -len(A.range_shape)


def relative_change(new: Tensor, old: Tensor) -> float:
    """The largest |new - old| / |new| of a batch of images ``(batch, rows, columns)``."""
    difference = new - old
    size = dot(new, new, 2)
    return float((dot(difference, difference, 2) / size.clamp(min=torch.finfo(size.dtype).tiny)).max().sqrt())


def warn_not_converged(name: str, iterations: int, change: float, tolerance: float) -> None:
    """Warn :class:`NotConverged`: ``name`` used up its iterations and x still changed by ``change``."""
    warnings.warn(
        f"{name} stopped after {iterations} iterations at relative change {change:.1e}, tolerance {tolerance:.0e}; "
        "raise `iterations`",
        NotConverged,
        stacklevel=3,
    )
