"""Wavelet sparsity: the x that minimises 0.5 |A x - y|^2 + w |details of W x|_1, by ISTA and by FISTA.

W is orthonormal (recon_bench.operators.wavelet), so a step from x is: along the gradient by 1/|A|^2, soft-threshold the
detail coefficients (complex ones by their modulus), transform back. ISTA (Daubechies, Defrise and De Mol,
doi:10.1002/cpa.20042) does just that; its objective falls at every step, but as slowly as 1/iterations. FISTA (Beck and
Teboulle, doi:10.1137/080716542) steps from a point extrapolated by the last change, and starts its momentum again
where that points against the step (O'Donoghue and Candes, doi:10.1007/s10208-013-9150-3). Iterates are kept as
coefficients: an iteration costs one pair (A, A*) and one pair (W, W*).

The weight is relative to |A*y|_inf, which makes the reconstruction of c y that of y times c. ISTA's changes get small
long before it is near the minimum: its tolerance is smaller, and where it stops at its last iteration it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from baselines.convergence import CHECK_EVERY, relative_change, warn_not_converged
from recon_bench.core import Choice, Log, Method, Operator, Problem, Reconstructor
from recon_bench.operators import norm
from recon_bench.operators.wavelet import Wavelet
from recon_bench.solvers import dot, remember


@dataclass(frozen=True)
class Settings:
    """``weight`` of the sparsity relative to |A*y|_inf; ``wavelet``: an orthogonal one of PyWavelets.

    ``iterations`` are the most, when the coefficients still change by ``tolerance`` (relative) from one to the next.
    """

    weight: float = 2e-3
    wavelet: str = "db4"
    levels: int = 4
    iterations: int = 200
    tolerance: float = 1e-4


@torch.no_grad()
def minimise(
    A: Operator,
    y: Tensor,
    settings: Settings,
    accelerated: bool,
    scale: float,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """The minimiser for each image of a batch: ``y`` (batch, *range_shape) to (batch, rows, columns).

    ``scale`` is |A|; ``watch(iteration, x)`` sees every iterate. Warns :class:`NotConverged` where
    ``settings.iterations`` are too few.
    """
    W = Wavelet(A.domain_shape, settings.wavelet, settings.levels, A.device, A.dtype)
    step = 1 / (1.002 * scale) ** 2
    back = A.adjoint(y)
    threshold = step * settings.weight * back.abs().amax((-2, -1), keepdim=True)
    last = c = ahead = torch.zeros_like(back)
    t = torch.ones_like(threshold)
    for i in range(1, settings.iterations + 1):
        gradient = A.adjoint(A(W.adjoint(ahead)) - y)
        new = shrink(ahead - step * W(gradient), threshold, W.coarse)
        move = new - c
        if watch:
            watch(i, W.adjoint(new))
        if i % CHECK_EVERY == 0 and relative_change(new, c) <= settings.tolerance:
            return W.adjoint(new)
        if accelerated:
            t = torch.where(dot(ahead - new, move, 2) > 0, 1, t)
            following = (1 + (1 + 4 * t * t).sqrt()) / 2
            ahead, t = new + (t - 1) / following * move, following
        else:
            ahead = new
        last, c = c, new
    name = "FISTA" if accelerated else "ISTA"
    warn_not_converged(name, settings.iterations, relative_change(c, last), settings.tolerance)
    return W.adjoint(c)


def shrink(c: Tensor, threshold: Tensor, coarse: tuple[int, ...]) -> Tensor:
    """Soft-threshold the modulus of the detail coefficients in place; the corner of shape ``coarse`` stays."""
    kept = c[..., : coarse[0], : coarse[1]].clone()
    modulus = c.abs()
    c.mul_(1 - threshold / torch.maximum(modulus, threshold).clamp_(min=torch.finfo(modulus.dtype).tiny))
    c[..., : coarse[0], : coarse[1]] = kept
    return c


def build(problem: Problem, settings: Settings, accelerated: bool) -> Reconstructor:
    """The reconstructor starts from zero; real or complex, any device."""
    scale = remember(norm)
    scale(problem.operator)
    return lambda y, A: minimise(A, y, settings, accelerated, scale(A))


def _method(name: str, summary: str, reference: str, accelerated: bool) -> Method:
    return Method(
        name=name,
        title=f"{name.upper()}, wavelets",
        family="variational",
        summary=summary,
        reference=reference,
        build=partial(build, accelerated=accelerated),
        settings=Settings(),
        search={"wavelet": Choice(("haar", "db2", "db4")), "weight": Log(1e-4, 1e-1)},
        depth="iterations",
    )


METHODS = (
    _method(
        "ista",
        "Least squares with the sum of the moduli of the wavelet details, by proximal gradient steps.",
        "Daubechies, Defrise & De Mol, Comm. Pure Appl. Math. 57, 2004, doi:10.1002/cpa.20042",
        accelerated=False,
    ),
    _method(
        "fista",
        "Least squares with the sum of the moduli of the wavelet details, by accelerated proximal gradient steps.",
        "Beck & Teboulle, SIAM J. Imaging Sci. 2, 2009, doi:10.1137/080716542",
        accelerated=True,
    ),
)
