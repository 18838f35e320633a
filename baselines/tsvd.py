"""Truncated singular value decomposition: invert A on its leading singular triplets, leave out the rest.

Only left singular vectors are needed: x = A* U_k diag(1 / s_k^2) U_k* y, where A A* = U diag(s^2) U*. So the matrix to
decompose has the size of the data, and its factors are kept in the cache folder. The cost grows with the cube of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from recon_bench import cache
from recon_bench.core import Log, Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.solvers import remember

LARGEST = 6000  # measurements: 5490 of them take half a minute on one core and 120 MB in float32


@dataclass(frozen=True)
class Settings:
    """``rank``: singular triplets kept (fewer where A has fewer above rounding)."""

    rank: int = 1500


def spectrum(A: Operator) -> tuple[Tensor, Tensor]:
    """Left singular vectors (measurements, rank) and squared singular values (rank), largest first; NotApplicable if not affordable."""
    m = math.prod(A.range_shape)
    probe = torch.ones((1, *A.range_shape), dtype=A.dtype, device=A.device)
    if torch.allclose(A(A.adjoint(probe)), probe, atol=1e-4):
        raise NotApplicable("all singular values are equal: truncation does nothing that zero-filling does not do")
    if m > LARGEST:
        gigabytes = m**2 * A.dtype.itemsize / 1e9
        raise NotApplicable(
            f"needs the singular vectors of a {m} x {math.prod(A.domain_shape)} matrix: {gigabytes:.1f} GB and about "
            f"{(m / 5490) ** 3 / 2:.0f} minutes, done up to {LARGEST} measurements"
        )
    if not hasattr(A, "geometry"):
        return _decompose(A)
    key = {"what": "tsvd", "version": 1, "geometry": asdict(A.geometry), "dtype": str(A.dtype)}
    factors = cache.load_or_build(key, lambda: dict(zip(("vectors", "values"), (t.cpu() for t in _decompose(A)))))
    return factors["vectors"].to(A.device), factors["values"].to(A.device)


def _decompose(A: Operator) -> tuple[Tensor, Tensor]:
    m = math.prod(A.range_shape)
    units = torch.eye(m, dtype=A.dtype, device=A.device).reshape(m, *A.range_shape)
    gram = torch.cat([A(A.adjoint(part)).flatten(1) for part in units.split(64)])
    values, vectors = torch.linalg.eigh((gram + gram.mH) / 2)
    kept = values > m * torch.finfo(A.dtype).eps * values[-1]
    return vectors[:, kept].flip(1).contiguous(), values[kept].flip(0)


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """Decompose or read from the cache; the reconstructor takes real or complex data on the operator's device."""
    decomposed = remember(spectrum)
    decomposed(problem.operator)

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        vectors, values = decomposed(A)
        vectors, values = vectors[:, : settings.rank], values[: settings.rank]
        coefficients = y.flatten(1) @ vectors.conj() / values
        return A.adjoint((coefficients @ vectors.mT).reshape(y.shape))

    return reconstruct


METHODS = (
    Method(
        name="tsvd",
        title="Truncated SVD",
        family="spectral",
        summary="Invert on the leading singular triplets of A; their number tuned.",
        reference="Hansen, BIT 27, 1987, doi:10.1007/BF01937276",
        build=build,
        settings=Settings(),
        search={"rank": Log(50, 5000, integer=True)},
    ),
)
