"""PyLops, and with it PyProximal: operators of ours as theirs. The way back is ``scipy.as_operator``."""

from __future__ import annotations

from typing import Any

from recon_bench.adapters import functions, scipy
from recon_bench.core import Method, Operator, Problem, Reconstructor


def as_method(name: str, function: functions.Function, **facts: Any) -> Method:
    """The method ``name`` that is ``function(A, y, **settings)``.

    It is handed ``A``, a PyLops operator, and ``y``, a vector, and gives the image in any shape. ``facts`` are
    ``search``, ``depth`` and others of :class:`Method`. NotApplicable where PyLops is not installed.
    """

    def prepare(_: Problem, solve: scipy.Solve) -> Reconstructor:
        functions.module("pylops")
        return scipy.each(solve, as_pylops)

    return functions.method(name, function, prepare, facts)


def as_pylops(A: Operator) -> Any:
    """``A`` as a PyLops operator from ``dims``, the shape of images, to ``dimsd``, that of data.

    ``operator`` is ``A`` itself.
    """
    flat = scipy.as_linear_operator(A)
    operator = functions.module("pylops").FunctionOperator(flat.matvec, flat.rmatvec, *flat.shape, dtype=flat.dtype)
    operator.dims, operator.dimsd, operator.operator = A.domain_shape, A.range_shape, A
    return operator
