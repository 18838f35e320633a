"""Wavelet sparsity: the x that minimises 0.5 |A x - y|^2 + w |details of W x|_1, by ISTA and by FISTA.

W is orthonormal (recon_bench.operators.wavelet), so all happens on coefficients: a step is along the gradient, then
soft-thresholds the details (complex ones by their modulus). ISTA (Daubechies, Defrise and De Mol,
doi:10.1002/cpa.20042) does just that, and its objective falls at every step. FISTA (Beck and Teboulle,
doi:10.1137/080716542) steps from a point extrapolated by the last change, and starts its momentum again where that
points against the step (O'Donoghue and Candes, doi:10.1007/s10208-013-9150-3). An iteration costs a pair (A, A*) and
a pair (W, W*).

Autograd goes through all iterations.

The step of 1/|A|^2 suits the coarsest details of a ray transform and is some 30 times too small for the finest, so each
level has its own (Vonesch and Unser, doi:10.1109/TIP.2008.917103): the steps are 1/|A restricted to the level|^2,
shrunk together until their inverses majorise A*A. Both norms are taken by a seeded power method.

Both start from ten steps of conjugate gradients on the least squares, which find at once what proximal steps find in
hundreds: on ct-ellipses-50 (weight 1e-3) ISTA is at 31.5 dB after 50 iterations, from zero at 24.7 dB after 200; FISTA
is at 31.6 dB after 30, from zero at 31.5 dB after 150. The weight is relative to |A*y|_inf, which makes the
reconstruction of c y that of y times c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from recon_bench.core import Choice, Log, Method, Operator, Problem, Reconstructor
from recon_bench.operators.wavelet import Wavelet
from recon_bench.solvers import CHECK_EVERY, conjugate_gradients, dot, relative_change, remember, warn_not_converged

START = 10  # steps of conjugate gradients, which find in a few what proximal steps find in hundreds


@dataclass(frozen=True)
class Settings:
    """``weight`` of the sparsity relative to |A*y|_inf; ``wavelet``: an orthogonal one of PyWavelets.

    ``iterations`` are the most, when the coefficients still change by ``tolerance`` (relative) from one to the next.
    """

    weight: float = 2e-3
    wavelet: str = "db4"
    levels: int = 4
    iterations: int = 100
    tolerance: float = 5e-4


@torch.no_grad()
def steps(A: Operator, W: Wavelet, iterations: int = 15, seed: int = 0) -> Tensor:
    """Step of each wavelet coefficient ``(rows, columns)``, the same for all of a level."""
    generator = torch.Generator().manual_seed(seed)
    level = torch.arange(int(W.level.max()) + 1, device=A.device)[:, None, None]
    c = torch.randn((len(level), *A.domain_shape), generator=generator, dtype=A.dtype).to(A.device) * (W.level == level)
    norms = torch.ones(1)
    for _ in range(5):  # roughly is enough: what is missing is made up for below
        c = W(A.adjoint(A(W.adjoint(c)))) * (W.level == level)
        norms = torch.linalg.vector_norm(c, dim=(-2, -1), keepdim=True)
        c = c / norms
    root = norms.rsqrt().flatten()[W.level]
    c, largest = c.sum(0, keepdim=True), torch.ones(1)
    for _ in range(iterations):
        c = root * W(A.adjoint(A(W.adjoint(root * c))))
        largest = torch.linalg.vector_norm(c)
        c = c / largest
    return root**2 / (1.05 * largest)  # the power method comes from below


def minimise(
    A: Operator,
    y: Tensor,
    settings: Settings,
    accelerated: bool,
    W: Wavelet,
    step: Tensor,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """The minimiser for each image of a batch: ``y`` (batch, *range_shape) to (batch, rows, columns).

    ``step`` is that of :func:`steps`; ``watch(iteration, x)`` sees every iterate. Warns :class:`NotConverged` where
    ``settings.iterations`` are too few.
    """
    back = A.adjoint(y)
    threshold = step * settings.weight * back.abs().amax((-2, -1), keepdim=True)
    start, _ = conjugate_gradients(lambda x: A.adjoint(A(x)), back, 2, START)
    last = c = ahead = W(start)
    t = threshold.new_ones(len(y), 1, 1)
    for i in range(1, settings.iterations + 1):
        gradient = A.adjoint(A(W.adjoint(ahead)) - y)
        new = shrink(ahead - step * W(gradient), threshold, W.coarse)
        move = new - c
        if watch:
            watch(i, W.adjoint(new))
        if i % CHECK_EVERY == 0 and relative_change(new.detach(), c.detach()) <= settings.tolerance:
            return W.adjoint(new)
        if accelerated:
            t = torch.where(dot((ahead - new) / step, move, 2) > 0, 1, t)
            following = (1 + (1 + 4 * t * t).sqrt()) / 2
            ahead, t = new + (t - 1) / following * move, following
        else:
            ahead = new
        last, c = c, new
    name = "FISTA" if accelerated else "ISTA"
    warn_not_converged(name, settings.iterations, relative_change(c.detach(), last.detach()), settings.tolerance)
    return W.adjoint(c)


def shrink(c: Tensor, threshold: Tensor, coarse: tuple[int, ...]) -> Tensor:
    """Soft-threshold the modulus of the detail coefficients; the corner of shape ``coarse`` stays."""
    modulus = c.abs()
    shrunk = c * (1 - threshold / torch.maximum(modulus, threshold).clamp(min=torch.finfo(modulus.dtype).tiny))
    shrunk[..., : coarse[0], : coarse[1]] = c[..., : coarse[0], : coarse[1]]
    return shrunk


def build(problem: Problem, settings: Settings, accelerated: bool) -> Reconstructor:
    """The reconstructor starts from a few steps of conjugate gradients; real or complex, any device."""
    basis = remember(lambda A: Wavelet(A.domain_shape, settings.wavelet, settings.levels, A.device, A.dtype))
    step = remember(lambda A: steps(A, basis(A)))
    step(problem.operator)
    return lambda y, A: minimise(A, y, settings, accelerated, basis(A), step(A))


def _method(name: str, summary: str, reference: str, accelerated: bool) -> Method:
    return Method(
        name=name,
        title=f"{name.upper()}, wavelets",
        family="variational",
        summary=summary,
        reference=reference,
        build=partial(build, accelerated=accelerated),
        settings=Settings(),
        search={"wavelet": Choice(("haar", "db4", "sym8")), "weight": Log(2e-4, 5e-2)},
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
