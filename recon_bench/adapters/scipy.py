"""SciPy: operators of ours as its ``LinearOperator`` and back, and methods that are functions of arrays.

Images and data are flat vectors there, one image after the other, computed on the CPU by whatever solves with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_bench.adapters import functions
from recon_bench.core import Method, Operator, Reconstructor
from recon_bench.operators import FunctionOperator

Solve = Callable[[Any, NDArray], NDArray]


def as_method(name: str, function: functions.Function, **facts: Any) -> Method:
    """The method ``name`` that is ``function(A, y, **settings)``.

    It is handed ``A``, a SciPy ``LinearOperator``, and ``y``, a vector, and gives the image in any shape. ``facts`` are
    ``search``, ``depth`` and others of :class:`Method`.
    """
    return functions.method(name, function, lambda _, solve: each(solve, as_linear_operator), facts)


def each(solve: Solve, convert: Callable[[Operator], Any]) -> Reconstructor:
    """The reconstructor that does ``solve(convert(A), y)`` for each ``y`` of a batch, a flat vector.

    ValueError where that is no image of the right number of pixels.
    """

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        operator = convert(A)
        images = [_image(solve(operator, one), A) for one in _flat(y, len(A.range_shape))]
        return torch.stack(images).to(A.device)

    return reconstruct


def as_linear_operator(A: Operator) -> scipy.sparse.linalg.LinearOperator:
    """``A`` as a SciPy ``LinearOperator`` between flat vectors; ``operator`` is ``A`` itself.

    Vectors of another precision are converted, as most solvers compute in float64.
    """
    domain, range_ = (math.prod(shape) for shape in (A.domain_shape, A.range_shape))

    def flat(linear: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Callable[[NDArray], NDArray]:
        return lambda v: linear(torch.from_numpy(v).to(A.device, A.dtype).reshape(shape)).cpu().numpy().ravel()

    found = scipy.sparse.linalg.LinearOperator(
        (range_, domain),
        matvec=flat(A, A.domain_shape),
        rmatvec=flat(A.adjoint, A.range_shape),
        dtype=_numpy(A.dtype),
    )
    found.operator = A
    found.operator = A
    return found


def as_operator(
    linear: Any,
    domain_shape: tuple[int, ...],
    range_shape: tuple[int, ...],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> FunctionOperator:
    """A SciPy or PyLops operator, or a matrix, dense or sparse, as an operator of ours, which torch differentiates.

    ``dtype`` is that of images and data. ValueError where its shape is not that of the images and data.
    """
    found = scipy.sparse.linalg.aslinearoperator(linear)
    expected = (math.prod(range_shape), math.prod(domain_shape))
    if found.shape != expected:
        raise ValueError(
            f"images of {domain_shape} and data of {range_shape} need an operator of {expected}, got {found.shape}"
        )

    def batch(multiply: Callable[[NDArray], NDArray]) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.from_numpy(multiply(_flat(x, x.ndim - 1).T).T.copy()).to(x)

    return FunctionOperator(
        domain_shape, range_shape, batch(found.matmat), batch(found.rmatmat), torch.device(device), dtype
    )


def _flat(x: Tensor, dims: int) -> NDArray:
    return x.detach().flatten(-dims).cpu().numpy()


def _image(x: NDArray, A: Operator) -> Tensor:
    values = np.asarray(x)
    if values.size != math.prod(A.domain_shape):
        raise ValueError(f"expected an image with the pixels of {A.domain_shape}, got an array of {values.shape}")
    return torch.from_numpy(values.reshape(A.domain_shape).astype(_numpy(A.dtype)))


def _numpy(dtype: torch.dtype) -> np.dtype:
    return torch.empty(0, dtype=dtype).numpy().dtype
