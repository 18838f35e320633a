"""Conjugate gradients on the normal equations A*A x = A* y from zero, stopped before it fits the noise."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recon_bench.core import Log, Method, Operator, Problem, Reconstructor
from recon_bench.solvers import conjugate_gradients


@dataclass(frozen=True)
class Settings:
    """``iterations``: the regularisation."""

    iterations: int = 8


def cgls(A: Operator, y: Tensor, iterations: int) -> Tensor:
    """Minimise |A x - y| over the Krylov space of ``iterations`` dimensions, each image for itself."""
    return conjugate_gradients(lambda x: A.adjoint(A(x)), A.adjoint(y), len(A.domain_shape), iterations)[0]


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """Nothing to prepare; real or complex, any device."""
    return lambda y, A: cgls(A, y, settings.iterations)


METHODS = (
    Method(
        name="cgls",
        title="CGLS",
        family="iterative",
        summary="Conjugate gradients for least squares from zero; the number of iterations is tuned.",
        reference="Hestenes & Stiefel, J. Res. NBS 49, 1952, doi:10.6028/jres.049.044",
        build=build,
        settings=Settings(),
        search={"iterations": Log(1, 40, integer=True)},
        depth="iterations",
    ),
)
