"""How the variational methods decide that they are done, and what they say when they are not."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from recon_bench.core import NotConverged
from recon_bench.solvers import dot

CHECK_EVERY = 10  # iterations; looking costs as much as a few of their cheap operations


def relative_change(new: Tensor, old: Tensor) -> float:
    """The largest |new - old| / |new| of a batch of images ``(batch, rows, columns)``."""
    difference = new - old
    size = dot(new, new, 2)
    return float((dot(difference, difference, 2) / size.clamp(min=torch.finfo(size.dtype).tiny)).max().sqrt())


def warn_not_converged(name: str, iterations: int, change: float, tolerance: float) -> None:
    """Warn :class:`NotConverged`: ``name`` used up its iterations and x still changed by ``change``."""
    warnings.warn(
        f"{name} stopped after {iterations} iterations at relative change {change:.1e}, tolerance {tolerance:.0e}; "
        "raise `iterations`",
        NotConverged,
        stacklevel=3,
    )
