"""Block Kaczmarz (ART): correct the equations of one view (MRI: one column) after another, damped.

Every equation is divided by its entry of A_i A_i* 1. The rays of a view hardly overlap, so that is close to the squared
norm of its row, and a correction close to the projection onto the view's equations; for non-negative weights and for
orthonormal rows it converges with a relaxation between 0 and 2. Views that follow one another are about a golden
section of all apart, because neighbours say the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon_bench.core import Log, Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.solvers import remember, split_data, views


@dataclass(frozen=True)
class Settings:
    """``sweeps``: passes over all views; ``relaxation``: 1 projects, less damps noise."""

    sweeps: int = 4
    relaxation: float = 0.5


def order(n: int) -> list[int]:
    """0 .. n - 1 in steps of about 0.618 n."""
    step = next(s for s in range(max(1, round(0.618 * n)), 2 * n + 1) if math.gcd(s, n) == 1)
    return [i * step % n for i in range(n)]


def kaczmarz(
    parts: Sequence[Operator],
    scales: Sequence[Tensor],
    data: Sequence[Tensor],
    x: Tensor,
    relaxation: float,
    sweeps: int,
) -> Tensor:
    """``sweeps`` passes from ``x`` ``(batch, *domain_shape)``: x += relaxation A_i* (scale_i (y_i - A_i x))."""
    for _ in range(sweeps):
        for i in order(len(parts)):
            x = x + relaxation * parts[i].adjoint(scales[i] * (data[i] - parts[i](x)))
    return x


def prepare(A: Operator) -> tuple[list[Operator], list[Tensor]]:
    """One operator for each view, and 1 / (A_i A_i* 1) for each of its equations (0 for a ray beside the image).

    NotApplicable where it cannot be split.
    """
    if not hasattr(A, "split"):
        raise NotApplicable("needs an operator that can be split into views, columns or rows")
    parts = A.split(views(A))
    sums = [part(part.adjoint(torch.ones(part.range_shape, dtype=A.dtype, device=A.device))) for part in parts]
    return parts, [torch.where(s.abs() > 1e-6 * s.abs().max(), 1 / s, 0) for s in sums]


prepared = remember(prepare)


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """The reconstructor starts from zero; real or complex, any device."""
    prepared(problem.operator)

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        parts, scales = prepared(A)
        zero = y.new_zeros(1, *A.domain_shape)
        # one image after another: operators lay a batch out anew for each of the many small parts
        return torch.cat(
            [
                kaczmarz(parts, scales, split_data(A, one, len(parts)), zero, settings.relaxation, settings.sweeps)
                for one in y.split(1)
            ]
        )

    return reconstruct


METHODS = (
    Method(
        name="kaczmarz",
        title="Kaczmarz",
        family="iterative",
        summary="Project onto the equations of one view after another; sweeps and relaxation tuned.",
        reference="Gordon, Bender & Herman, J. Theor. Biol. 29, 1970, doi:10.1016/0022-5193(70)90109-8; "
        "blocks: Elfving, Numer. Math. 35, 1980, doi:10.1007/BF01396365",
        build=build,
        settings=Settings(),
        search={"sweeps": Log(1, 20, integer=True), "relaxation": Log(0.05, 1.0)},
        depth="sweeps",
    ),
)
