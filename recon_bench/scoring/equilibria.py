"""How well an equilibrium was found, and how far the gradient that goes with it is from the exact one, per image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, gmres
from torch import Tensor

from recon_bench.core import Method, Problem
from recon_bench.fixed_point import Map, Solution
from recon_bench.implicit import Found, adjoint_jacobian, contraction, pulled_back, watched


@dataclass(frozen=True)
class Effort:
    """``power`` iterations for the contraction; ``products`` with J* at most for the exact gradient, until a
    ``tolerance`` of |g + J* e - e| / |g|; ``seed`` of the random g."""

    power: int
    products: int
    tolerance: float
    seed: int = 0


@dataclass(frozen=True)
class FixedPoint:
    """An equilibrium z = f(z) of one image, with J the Jacobian of f at the point found.

    ``residual``: |f(z) - z| / |f(z)|, and whether it ``converged`` to the solver's tolerance; evaluations of f
    ``forward`` and products with J* ``backward``; ``contraction``: the largest singular value of J. ``gradient_error``:
    |w - e| / |e| of what the backward rule makes of a random gradient g, against e = g + J* e in double precision. What
    is not known is NaN; a ``note`` says why.
    """

    residual: float
    converged: bool
    forward: int
    backward: int
    contraction: float
    gradient_error: float
    note: str | None


def in_double(method: Method, problem: Problem, settings: Any, y: Tensor) -> list[Map]:
    """The maps of all equilibria that a method looks for in data ``y`` (batch, *range_shape), in double precision.

    The operator of ``problem`` is in float64; what the method makes without a word on its type is in float64, too, and
    trained weights are the same numbers. Raises what the method raises.
    """
    operator, usual = problem.operator, torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        reconstruct = method.build(problem, settings)
        with torch.no_grad(), watched() as found:
            reconstruct(y.to(operator.device, operator.dtype, copy=True), operator)
    finally:
        torch.set_default_dtype(usual)
    return [each.f for each in found]


def examine(found: Found, double: Map | str, effort: Effort) -> Iterator[FixedPoint]:
    """One for each image of the batch that an equilibrium was looked for.

    ``double`` is its map in double precision, or why there is none.
    """
    solution = found.solution
    g = torch.randn(solution.z.shape, generator=torch.Generator().manual_seed(effort.seed)).to(solution.z)
    w, products = pulled_back(adjoint_jacobian(found.f, solution.z), g, found.backward)
    factor = contraction(found.f, solution.z, effort.power, effort.seed)
    error, why = torch.full((len(g),), math.nan), ""
    if isinstance(double, str):
        why = double
    else:
        exact, missed = _exact(adjoint_jacobian(double, solution.z.double()), g.double(), effort)
        if missed <= effort.tolerance:
            error = _length(w.double() - exact) / _length(exact)
        else:
            why = f"|g + J* e - e| / |g| stays at {missed:.1e}"
    for i, residual in enumerate(solution.residual.tolist()):
        yield FixedPoint(
            residual=residual,
            converged=bool(solution.converged[i]),
            forward=int(solution.evaluations[i]),
            backward=int(products[i]),
            contraction=float(factor[i]),
            gradient_error=float(error[i]),
            note="; ".join(_notes(solution, i, why)) or None,
        )


def _exact(adjoint: Map, g: Tensor, effort: Effort) -> tuple[Tensor, float]:
    """e of e = g + J* e for the batch ``g`` in float64, and |g + J* e - e| / |g|.

    By GMRES (Saad & Schultz 1986, doi:10.1137/0907058) without restarts: J may expand, so that no series converges.
    """

    def apply(e: NDArray[np.float64]) -> NDArray[np.float64]:
        v = torch.from_numpy(e).reshape(g.shape).to(g)
        return (v - adjoint(v)).flatten().cpu().numpy()

    size, right = g.numel(), g.flatten().cpu().numpy()
    system = LinearOperator((size, size), matvec=apply, dtype=np.float64)
    e, _ = gmres(system, right, rtol=effort.tolerance, restart=effort.products, maxiter=1)
    return torch.from_numpy(e).reshape(g.shape).to(g), float(np.linalg.norm(right - apply(e)) / np.linalg.norm(right))


def _notes(solution: Solution, i: int, why: str) -> Iterator[str]:
    if solution.residual[i].isinf():
        yield "the map is not finite where the solver starts"
    elif lost := int(solution.lost[i]):
        yield f"diverged, and went back to the best point {lost} time{'s' * (lost > 1)}"
    if why:
        yield f"no exact gradient: {why}"


def _length(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)
