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
from recon_bench.operators import ParallelBeam
from recon_bench.solvers import remember

LARGEST = 6000  # measurements: 5490 of them take 10 s on one core, 1.2 GB while decomposing and 120 MB after


@dataclass(frozen=True)
class Settings:
    """``rank``: singular triplets kept (fewer where A has fewer above rounding)."""

    rank: int = 2500


def spectrum(A: Operator) -> tuple[Tensor, Tensor]:
    """Left singular vectors (measurements, rank) and squared singular values (rank), largest first.

    NotApplicable where they are too many to compute or all the same.
    """
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
    geometry = getattr(A, "geometry", None)
    if not isinstance(geometry, ParallelBeam):
        return _decompose(A)
    key = {"what": "tsvd", "version": 1, "geometry": asdict(geometry), "dtype": str(A.dtype)}
    factors = cache.load_or_build(key, lambda: dict(zip(("vectors", "values"), (t.cpu() for t in _decompose(A)))))
    return factors["vectors"].to(A.device), factors["values"].to(A.device)


def _decompose(A: Operator) -> tuple[Tensor, Tensor]:
    found = [_eigen(A, basis.to(A.device, A.dtype)) for basis in _symmetries(A)]
    vectors, values = (torch.cat(parts, dim=-1) for parts in zip(*found))
    kept = values.argsort(descending=True)
    kept = kept[values[kept] > len(vectors) * torch.finfo(A.dtype).eps * values.max()]
    return vectors[:, kept].contiguous(), values[kept]


def _symmetries(A: Operator) -> list[Tensor]:
    """Orthonormal bases (rows) of the data's last axis whose spans A A* keeps apart, so each is decomposed alone.

    Turning an image by half a turn flips every view of a centred detector: even and odd views do not mix, and two
    halves cost a quarter of the whole.
    """
    bins = A.range_shape[-1]
    units = torch.eye(bins, dtype=torch.float64)
    geometry = getattr(A, "geometry", None)
    if not isinstance(geometry, ParallelBeam) or geometry.shift != 0:
        return [units]
    bases = ((units + units.flip(1))[: (bins + 1) // 2], (units - units.flip(1))[: bins // 2])
    return [torch.nn.functional.normalize(basis, dim=1) for basis in bases]


def _eigen(A: Operator, basis: Tensor) -> tuple[Tensor, Tensor]:
    rows = math.prod(A.range_shape[:-1])
    units = torch.kron(torch.eye(rows, dtype=A.dtype, device=A.device), basis)
    parts = [A(A.adjoint(part.reshape(-1, *A.range_shape))) for part in units.split(64)]
    gram = torch.cat([part.reshape(len(part), -1) @ units.mH for part in parts])
    values, vectors = torch.linalg.eigh((gram + gram.mH) / 2)
    return units.mT @ vectors, values


decomposed = remember(spectrum)


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """Decompose or read from the cache; the reconstructor takes real or complex data on the operator's device."""
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
        search={"rank": Log(200, 5400, integer=True)},
    ),
)
