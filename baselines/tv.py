"""Total variation: the x that minimises 0.5 |A x - y|^2 + w TV(x), with or without x >= 0.

The solver is the over-relaxed primal-dual hybrid gradient of Chambolle and Pock (doi:10.1007/s10851-010-0251-1), used
for tomography by Sidky et al. (doi:10.1088/0031-9155/57/10/3065). With K = (A, D), D the forward differences, a step is

    x+ = prox(x - tau K* u),    u+ = prox(u + Sigma K (2 x+ - x)),

and converges while |Sigma^1/2 K| tau^1/2 < 1. How fast depends on the steps.

Their scale decides most; with a poor one a ray transform needs thousands of iterations. x is about alpha A*y with the
least-squares alpha, and the dual of D x is at most w, so tau is their quotient times a constant; what tau leaves of the
step budget is shared equally by the two parts of K.

A step may also be a matrix (Pock and Chambolle, doi:10.1109/ICCV.2011.6126441). Here that of the data term is diagonal
in the Fourier domain of the detector, where its proximal map is diagonal as well: the ramp filter |f| / (|f| + f0).
Two views share the frequencies below 1 / (D sin(angle between them)), D the width of the image, so A A* grows as 1/|f|
below about f0 = views / (pi D) and is flat above it, where every view is alone; with this filter it is flat throughout.
That saves another third of the iterations. Operators without views (masked Fourier: A A* = I) need no filter.

The weight is relative to |A*y|_inf, which makes the reconstruction of c y that of y times c. At the default tolerance
images of ct-ellipses-30 and ct-head-50 are within 0.01 dB of their limit, after 100 to 150 iterations (MRI: some 400),
and autograd goes through all of them; what it needs again is not written over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from recon_bench.core import Log, Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.operators import ParallelBeam
from recon_bench.solvers import CHECK_EVERY, dot, relative_change, remember, warn_not_converged

BALANCE = 0.02  # step of x in units of its size, per unit of the dual of D x; 0.01 to 0.05 are about as fast
RELAXATION = 1.9


@dataclass(frozen=True)
class Settings:
    """``weight`` of TV relative to |A*y|_inf; ``iterations`` are the most, when x still changes by ``tolerance``."""

    weight: float = 2e-3
    iterations: int = 1000
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Preconditioner:
    """Dual step of the data term: multiplication by ``gain`` between ``forward`` and ``inverse``.

    ``norm`` is the largest singular value of gain^1/2 forward A.
    """

    gain: Tensor
    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    norm: float


def precondition(A: Operator, filtered: bool = True, iterations: int = 20, seed: int = 0) -> Preconditioner:
    """The filter for a parallel beam, none for other operators (or without ``filtered``); norm by a power method."""
    gain = torch.ones(1, device=A.device)
    forward: Callable[[Tensor], Tensor] = torch.clone
    inverse: Callable[[Tensor], Tensor] = torch.clone
    g = getattr(A, "geometry", None)
    if isinstance(g, ParallelBeam) and filtered:
        f = torch.fft.rfftfreq(g.bins, g.spacing, device=A.device)
        f[0] = f[1] / 4  # the mean of the ramp over its bin: a zero would never correct the mean of a view
        gain = f / (f + len(g.angles) / (math.pi * g.size * g.pixel))
        forward, inverse = torch.fft.rfft, partial(torch.fft.irfft, n=g.bins)
    x = torch.randn(1, *A.domain_shape, generator=torch.Generator().manual_seed(seed), dtype=A.dtype).to(A.device)
    for _ in range(iterations):
        x = A.adjoint(inverse(forward(A(x / torch.linalg.vector_norm(x))) * gain))
    return Preconditioner(gain, forward, inverse, 1.02 * float(torch.linalg.vector_norm(x)) ** 0.5)


def minimise(
    A: Operator,
    y: Tensor,
    settings: Settings,
    isotropic: bool,
    nonneg: bool,
    metric: Preconditioner,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """The minimiser for each image of a batch: ``y`` (batch, *range_shape) to (batch, rows, columns).

    ``watch(iteration, x)`` sees every iterate. Warns :class:`NotConverged` where ``settings.iterations`` are too few.
    """
    tiny = torch.finfo(metric.gain.dtype).tiny
    back = A.adjoint(y)
    w = (settings.weight * back.abs().amax((-2, -1), keepdim=True)).clamp(min=tiny)
    with torch.no_grad():  # the minimiser does not depend on the steps
        alpha = dot(back, back, 2) / dot(Ax := A(back), Ax, Ax.ndim - 1).reshape(-1, 1, 1).clamp(min=tiny)
        tau = (BALANCE / settings.weight * alpha).clamp(min=tiny)
        share = 0.5 / tau  # of 1/tau, each for |Sigma^1/2 A|^2 and for |sigma^1/2 D|^2, where |D|^2 <= 8
        gain = share.reshape(-1, *[1] * (y.ndim - 1)) / metric.norm**2 * metric.gain
        gain = RELAXATION * gain / (1 + gain)
    x = torch.zeros_like(back)
    p = metric.forward(torch.zeros_like(y))
    q = x.new_zeros(2, *x.shape)
    for i in range(1, settings.iterations + 1):
        new = A.adjoint(metric.inverse(p))
        _add_adjoint_differences(q, new)
        new.mul_(-tau).add_(x)
        if nonneg:
            new.clamp_(min=0)
        ahead = torch.lerp(x, new, 2.0)
        if watch:
            watch(i, new)
        if i % CHECK_EVERY == 0 and relative_change(ahead.detach(), new.detach()) <= settings.tolerance:
            return new
        x.lerp_(new, RELAXATION)
        p.add_(metric.forward(A(ahead) - y).sub_(p).mul_(gain))
        d = _differences(ahead).mul_(share / 8).add_(q)
        size = (d.abs() / w).square()  # whose root has no derivative at 0, where it is not taken
        q.lerp_(d * (size.sum(0) if isotropic else size).clamp(min=1).rsqrt(), RELAXATION)
    change = relative_change(ahead.detach(), new.detach())
    warn_not_converged("TV", settings.iterations, change, settings.tolerance)
    return new


def _differences(x: Tensor) -> Tensor:
    """Forward differences down the rows and along the columns, 0 at the far border: (2, *x.shape)."""
    d = x.new_zeros(2, *x.shape)
    d[0, ..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    d[1, ..., :-1] = x[..., 1:] - x[..., :-1]
    return d


def _add_adjoint_differences(q: Tensor, x: Tensor) -> None:
    """Add to ``x`` the adjoint of the differences of ``q`` (2, *x.shape), which is 0 at the far border."""
    x.sub_(q[0]).sub_(q[1])
    x[..., 1:, :].add_(q[0, ..., :-1, :])
    x[..., 1:].add_(q[1, ..., :-1])


def build(problem: Problem, settings: Settings, isotropic: bool, nonneg: bool) -> Reconstructor:
    """The reconstructor starts from zero; real or complex, any device.

    NotApplicable for x >= 0 where images are complex.
    """
    if nonneg and problem.complex:
        raise NotApplicable("x >= 0 means nothing for complex images; use the variant without it")
    prepared = remember(precondition)
    prepared(problem.operator)
    return lambda y, A: minimise(A, y, settings, isotropic, nonneg, prepared(A))


def _method(isotropic: bool, nonneg: bool) -> Method:
    kind = "isotropic" if isotropic else "anisotropic"
    return Method(
        name=f"tv-{kind}" + "-nonneg" * nonneg,
        title=f"TV, {kind}" + ", x ≥ 0" * nonneg,
        family="variational",
        summary=(
            "Least squares with the sum over pixels of the "
            + ("length of the gradient" if isotropic else "absolute differences to the neighbours")
            + (", among images without negative values" if nonneg else "")
            + "; preconditioned primal-dual iterations to convergence."
        ),
        reference=(
            "Rudin, Osher & Fatemi, Physica D 60, 1992, doi:10.1016/0167-2789(92)90242-F; "
            "Chambolle & Pock, J. Math. Imaging Vis. 40, 2011, doi:10.1007/s10851-010-0251-1"
        ),
        build=partial(build, isotropic=isotropic, nonneg=nonneg),
        settings=Settings(),
        search={"weight": Log(2e-4, 5e-2)},
        depth="iterations",
    )


METHODS = tuple(_method(isotropic, nonneg) for isotropic in (True, False) for nonneg in (False, True))
