"""Block Kaczmarz (ART): project onto the equations of one view (MRI: one column) after another, damped.

The rays of a view hardly overlap, so A_i A_i* is close to a multiple of the identity and A_i* / |A_i|^2 close to the
projection. Views that follow one another are about a golden section of all apart, because neighbours say the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from recon_bench.core import Log, Method, Operator, Problem, Reconstructor
from recon_bench.operators import norm
from recon_bench.solvers import remember, split_data, views


@dataclass(frozen=True)
class Settings:
    """``sweeps``: passes over all views; ``relaxation``: 1 projects, less damps noise (converges between 0 and 2)."""

    sweeps: int = 4
    relaxation: float = 0.2


def order(n: int) -> list[int]:
    """0 .. n - 1 in steps of about 0.618 n."""
    step = next(s for s in range(max(1, round(0.618 * n)), 2 * n + 1) if math.gcd(s, n) == 1)
    return [i * step % n for i in range(n)]


def kaczmarz(
    parts: Sequence[Operator], norms: Sequence[float], data: Sequence[Tensor], x: Tensor, relaxation: float, sweeps: int
) -> Tensor:
    """``sweeps`` passes from ``x`` ``(batch, *domain_shape)``: x += relaxation / |A_i|^2 A_i* (y_i - A_i x)."""
    for _ in range(sweeps):
        for i in order(len(parts)):
            x = x + relaxation / norms[i] ** 2 * parts[i].adjoint(data[i] - parts[i](x))
    return x


def prepare(A: Operator) -> tuple[list[Operator], list[float]]:
    """One operator for each view and its norm."""
    parts = A.split(views(A))  # type: ignore[attr-defined]
    return parts, [norm(part) for part in parts]


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """The reconstructor starts from zero; real or complex, any device."""
    prepared = remember(prepare)
    prepared(problem.operator)

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        parts, norms = prepared(A)
        x = y.new_zeros(y.shape[0], *A.domain_shape)
        return kaczmarz(parts, norms, split_data(A, y, len(parts)), x, settings.relaxation, settings.sweeps)

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
        search={"sweeps": Log(1, 20, integer=True), "relaxation": Log(0.02, 1.5)},
        depth="sweeps",
    ),
)
