"""Tikhonov regularisation: least |A x - y|^2 + weight |A|^2 |L x|^2, with L the identity or the image gradient.

Solved by conjugate gradients on the normal equations to a relative residual of 1e-4, far below what PSNR can see.
Scaling by |A|^2 makes one range of weights serve all tasks. The gradient is that of neighbouring pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recon_bench.core import Log, Method, NotConverged, Operator, Problem, Reconstructor
from recon_bench.solvers import conjugate_gradients, operator_norm


@dataclass(frozen=True)
class Settings:
    """``weight``: of the penalty, relative to |A|^2; ``tolerance``: relative residual; ``iterations``: at most."""

    weight: float = 0.003
    tolerance: float = 1e-4
    iterations: int = 400


def laplacian(x: Tensor) -> Tensor:
    """L* L x for L the forward differences of ``(..., rows, columns)`` inside the image: five points, minus sign."""
    down, right = x.diff(dim=-2), x.diff(dim=-1)
    rows = torch.nn.functional.pad(down, (0, 0, 1, 0)) - torch.nn.functional.pad(down, (0, 0, 0, 1))
    return rows + torch.nn.functional.pad(right, (1, 0)) - torch.nn.functional.pad(right, (0, 1))


def tikhonov(A: Operator, y: Tensor, penalty: Callable[[Tensor], Tensor], settings: Settings) -> Tensor:
    """Solve (A*A + weight |A|^2 L*L) x = A* y for data ``(batch, *range_shape)``; ``penalty`` is L*L."""
    weight = settings.weight * operator_norm(A) ** 2
    x, residual = conjugate_gradients(
        lambda x: A.adjoint(A(x)) + weight * penalty(x),
        A.adjoint(y),
        len(A.domain_shape),
        settings.iterations,
        settings.tolerance,
    )
    if (worst := float(residual.max())) > settings.tolerance:
        warnings.warn(
            f"relative residual {worst:.1e} after {settings.iterations} iterations, expected {settings.tolerance:.0e}: "
            "raise iterations or weight",
            NotConverged,
            stacklevel=2,
        )
    return x


def builder(penalty: Callable[[Tensor], Tensor]) -> Callable[[Problem, Settings], Reconstructor]:
    """``build`` for a penalty given as x -> L*L x."""

    def build(problem: Problem, settings: Settings) -> Reconstructor:
        operator_norm(problem.operator)
        return lambda y, A: tikhonov(A, y, penalty, settings)

    return build


METHODS = (
    Method(
        name="tikhonov",
        title="Tikhonov",
        family="variational",
        summary="Least squares with a penalty on the image's energy, solved to 1e-4; weight tuned.",
        reference="Tikhonov, Soviet Math. Doklady 4, 1963; solver: Hestenes & Stiefel 1952, doi:10.6028/jres.049.044",
        build=builder(lambda x: x),
        settings=Settings(),
        search={"weight": Log(1e-4, 0.1)},
    ),
    Method(
        name="tikhonov-gradient",
        title="Tikhonov, gradient",
        family="variational",
        summary="Least squares with a penalty on the energy of the image's gradient, solved to 1e-4; weight tuned.",
        reference="Phillips, J. ACM 9, 1962, doi:10.1145/321105.321114; solver: doi:10.6028/jres.049.044",
        build=builder(laplacian),
        settings=Settings(),
        search={"weight": Log(1e-4, 0.1)},
    ),
)
