"""The largest singular value of an operator."""

from __future__ import annotations

import torch

from recon_bench.core import Operator


def norm(A: Operator, iterations: int = 30, tolerance: float = 1e-3, seed: int = 0) -> float:
    """Largest singular value by the power method on A*A, started from seeded noise: the same at every call.

    Stops when two steps differ by less than ``tolerance`` (relative) or after ``iterations``. The power method comes
    from below: expect up to 2 % too little where the largest singular values lie close together, and keep that margin
    in a step size that must stay under 2 / norm^2.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(A.domain_shape, generator=generator, dtype=A.dtype).to(A.device)
    value = 0.0
    for _ in range(iterations):
        x = A.adjoint(A(x / torch.linalg.vector_norm(x)))
        previous, value = value, float(torch.linalg.vector_norm(x)) ** 0.5
        if abs(value - previous) <= tolerance * value:
            break
    return value
