"""Landweber iteration: gradient descent on |A x - y|^2 / 2 from zero, stopped before it fits the noise."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recon_bench.core import Log, Method, Operator, Problem, Reconstructor
from recon_bench.solvers import operator_norm


@dataclass(frozen=True)
class Settings:
    """``iterations``: the regularisation; ``relaxation``: step times |A|^2, converges between 0 and 2."""

    iterations: int = 60
    relaxation: float = 1.9


def landweber(A: Operator, y: Tensor, x: Tensor, step: float, iterations: int) -> Tensor:
    """``iterations`` steps from ``x`` ``(batch, *domain_shape)``; converges for 0 < step < 2 / |A|^2."""
    for _ in range(iterations):
        x = x + step * A.adjoint(y - A(x))
    return x


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """The reconstructor starts from zero; real or complex, any device."""
    operator_norm(problem.operator)

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        step = settings.relaxation / operator_norm(A) ** 2
        first = step * A.adjoint(y)  # from zero the first step needs no A
        return landweber(A, y, first, step, settings.iterations - 1)

    return reconstruct


METHODS = (
    Method(
        name="landweber",
        title="Landweber",
        family="iterative",
        summary="Gradient descent on the data misfit from zero; the number of iterations is tuned.",
        reference="Landweber, Amer. J. Math. 73, 1951, doi:10.2307/2372313",
        build=build,
        settings=Settings(),
        search={"iterations": Log(5, 150, integer=True)},
        depth="iterations",
    ),
)
