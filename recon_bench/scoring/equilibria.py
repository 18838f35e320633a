"""How well an equilibrium was found, and how far the gradient that goes with it is from the exact one, per image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from recon_bench.fixed_point import Limits, Solution, anderson
from recon_bench.implicit import Found, adjoint_jacobian, contraction, pulled_back

ESCAPED = 0.01  # of |g|: where 1 - J* is singular, w grows without end, and a residual relative to it becomes small


@dataclass(frozen=True)
class Effort:
    """``power`` iterations for the contraction; ``exact``: limits of the solver for the exact gradient; ``seed``."""

    power: int
    exact: Limits
    seed: int = 0


@dataclass(frozen=True)
class FixedPoint:
    """An equilibrium z = f(z) of one image, with J the Jacobian of f at the point found.

    ``residual``: |f(z) - z| / |f(z)|, and whether it ``converged`` to the solver's tolerance; evaluations of f
    ``forward`` and products with J* ``backward``; ``contraction``: the largest singular value of J. ``gradient_error``:
    |w - e| / |e| of what the backward rule makes of a random gradient g, against e = g + J* e. What is not known is
    NaN; a ``note`` says why.
    """

    residual: float
    converged: bool
    forward: int
    backward: int
    contraction: float
    gradient_error: float
    note: str | None


def examine(found: Found, effort: Effort) -> Iterator[FixedPoint]:
    """One for each image of the batch that an equilibrium was looked for."""
    solution = found.solution
    g = torch.randn(solution.z.shape, generator=torch.Generator().manual_seed(effort.seed)).to(solution.z)
    adjoint = adjoint_jacobian(found.f, solution.z)
    w, products = pulled_back(adjoint, g, found.backward)
    exact = anderson(lambda e: g + adjoint(e), g, effort.exact)
    missed = _length(g + adjoint(exact.z) - exact.z) / _length(g)
    known = exact.converged & (missed <= ESCAPED)
    error = torch.where(known, _length(w - exact.z) / _length(exact.z), math.nan)
    factor = contraction(found.f, solution.z, effort.power, effort.seed)
    for i, residual in enumerate(solution.residual.tolist()):
        yield FixedPoint(
            residual=residual,
            converged=bool(solution.converged[i]),
            forward=int(solution.evaluations[i]),
            backward=int(products[i]),
            contraction=float(factor[i]),
            gradient_error=float(error[i]),
            note="; ".join(_notes(solution, i, "" if known[i] else f"{missed[i]:.1e}")) or None,
        )


def _notes(solution: Solution, i: int, missed: str) -> Iterator[str]:
    if solution.residual[i].isinf():
        yield "the map is not finite where the solver starts"
    elif lost := int(solution.lost[i]):
        yield f"diverged, and went back to the best point {lost} time{'s' * (lost > 1)}"
    if missed:
        yield f"no exact gradient: |g + J* w - w| / |g| stays at {missed}"


def _length(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)
