"""ODL: operators of ours as ODL's, between its spaces of NumPy arrays, and methods that are its algorithms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon_bench.adapters import functions
from recon_bench.core import Method, Operator, Problem, Reconstructor
from recon_bench.operators import FunctionOperator


def as_method(name: str, function: functions.Function, **facts: Any) -> Method:
    """The method ``name`` that is ``function(A, y, **settings)``.

    It is handed ``A``, an ODL operator, and ``y``, an element of ``A.range``, and gives an element of ``A.domain``.
    ``facts`` are ``search``, ``depth`` and others of :class:`Method`. NotApplicable where ODL is not installed.
    """

    def prepare(_: Problem, solve: Callable[[Any, Any], Any]) -> Reconstructor:
        functions.module("odl")

        def reconstruct(y: Tensor, A: Operator) -> Tensor:
            operator = as_odl(A)
            elements = [operator.range.element(one) for one in y.detach().cpu().numpy()]
            return torch.stack([_tensor(solve(operator, element)) for element in elements]).to(A.device, A.dtype)

        return reconstruct

    return functions.method(name, function, prepare, facts)


def as_odl(A: Operator) -> Any:
    """``A`` as a linear ODL operator between spaces of arrays with the shapes of images and data.

    Their inner products are plain sums, for which the adjoint is the matched one. ``operator`` is ``A`` itself.
    """
    odl = functions.module("odl")
    dtype = "complex64" if A.dtype.is_complex else "float32"
    spaces = [odl.tensor_space(shape, dtype=dtype) for shape in (A.domain_shape, A.range_shape)]

    class Direction(odl.Operator):  # type: ignore[name-defined]
        def __init__(self, forward: bool) -> None:
            super().__init__(*(spaces if forward else spaces[::-1]), linear=True)
            self.forward, self.operator = forward, A

        def _call(self, x: Any) -> Any:
            linear = A if self.forward else A.adjoint
            return self.range.element(linear(_tensor(x).to(A.device, A.dtype)).cpu().numpy())

        @property
        def adjoint(self) -> Any:
            return Direction(not self.forward)

    return Direction(True)


def as_operator(
    operator: Any, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> FunctionOperator:
    """A linear ODL operator between discretised or tensor spaces as one of ours, which torch differentiates.

    The inner products of a discretised space are weighted by the size of its cells; the adjoint is the one for plain
    sums, as everywhere here, so that it is ODL's times a constant.
    """
    weight = _weight(operator.range) / _weight(operator.domain)

    def batch(linear: Any, scale: float) -> Callable[[Tensor], Tensor]:
        def apply(x: Tensor) -> Tensor:
            return torch.stack([_tensor(linear(linear.domain.element(one))) for one in x.cpu().numpy()]).to(x) * scale

        return apply

    shapes = operator.domain.shape, operator.range.shape
    return FunctionOperator(
        *shapes, batch(operator, 1.0), batch(operator.adjoint, 1 / weight), torch.device(device), dtype
    )


def _weight(space: Any) -> float:
    """What a sum over the elements of ``space`` is multiplied by in its inner product."""
    return float(space.inner(space.one(), space.one()).real) / int(np.prod(space.shape))


def _tensor(element: Any) -> Tensor:
    return torch.from_numpy(np.array(element.asarray()))
