"""Solvers of z = f(z) for a batch of images: Picard, Anderson, Broyden, with one signature.

``solver(f, z, limits) -> Solution``: ``f`` maps ``(batch, ...)`` to the same shape, each sample for itself, ``z`` is
where to start. Sizes and stopping are per sample: the residual is |f(z) - z| / |f(z)| over all but the first dimension;
a sample that is done stays as it is while others go on, so that a slow or diverging one changes nothing for them.

What diverges is declared, and never gives NaN. A sample whose step is not finite, or ``LOST`` times longer than its
shortest so far, goes back to the iterate that had the shortest, forgets its history and takes half a plain step, then a
quarter; after ``RETRIES`` it stays there. Returned is for every sample the iterate with the shortest step, not the last
one, and where f is not even finite at the start, the start with an infinite residual.

Picard 1890: z <- f(z). Anderson 1965, doi:10.1145/321296.321305 (Walker & Ni 2011, doi:10.1137/10078356X): the mixture
of the last points whose mixed step is the shortest. A singular system for its weights gets ten times the
regularisation, again and again; if nothing helps, a plain step. Broyden 1965, doi:10.1090/S0025-5718-1965-0198670-6:
an inverse Jacobian in rank-one terms, begun anew after as many as ``history``. Histories grow as they are used.

Not torchdeq 0.1.0, which installs and has constant memory and statistics: its solvers go on for a whole batch until the
slowest sample is done, its Broyden allocates room for all iterations before the first, and a singular Anderson system
is an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]
Propose = Callable[[Tensor, Tensor, Tensor], Tensor]  # points, their steps f(z) - z, who must forget: the next points

LOST = 1e3
RETRIES = 3
LARGEST = 1e4  # sum of magnitudes of Anderson's weights, beyond which its system counts as singular


@dataclass(frozen=True)
class Limits:
    """``iterations``: evaluations of f at most; ``tolerance``: of the residual, 0 to use all of them.

    ``history``: earlier points (Anderson) or rank-one terms (Broyden) kept; ``regularisation`` of Anderson's system,
    relative to each squared step; ``damping``: the part of a step that is taken, 1 for all of it.
    """

    iterations: int = 50
    tolerance: float = 1e-3
    history: int = 5
    regularisation: float = 1e-4
    damping: float = 1.0

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.history < 1 or not 0 < self.damping <= 1:
            raise ValueError(f"expected iterations >= 0, history >= 1 and a damping in (0, 1], got {self}")
        if not (self.tolerance >= 0 and self.regularisation >= 0):
            raise ValueError(f"expected a tolerance and a regularisation of at least 0, got {self}")


@dataclass(frozen=True)
class Solution:
    """``z``: the best iterates. Per sample, ``(batch,)``: ``evaluations`` of f until it was done, the ``residual`` at
    ``z``, whether that ``converged`` to the tolerance, and how often the sample was ``lost`` and went back."""

    z: Tensor
    evaluations: Tensor
    residual: Tensor
    converged: Tensor
    lost: Tensor


def picard(f: Map, z: Tensor, limits: Limits) -> Solution:
    """Plain, or damped, steps."""
    return _iterate(f, z, limits, lambda points, steps, _: points + limits.damping * steps)


def anderson(f: Map, z: Tensor, limits: Limits) -> Solution:
    """Anderson acceleration; memory grows to ``history`` points and steps."""
    points: list[Tensor] = []
    steps: list[Tensor] = []

    def propose(point: Tensor, step: Tensor, forget: Tensor) -> Tensor:
        _append(points, point, forget, limits.history, lambda old: point)
        _append(steps, step, forget, limits.history, lambda old: step)
        weights = _weights(steps, limits.regularisation).to(step.dtype)
        mixed = torch.zeros_like(point)
        for i, (p, s) in enumerate(zip(points, steps)):
            mixed = mixed + weights[:, i, None] * (p + limits.damping * s)
        return mixed

    return _iterate(f, z, limits, propose)


def broyden(f: Map, z: Tensor, limits: Limits) -> Solution:
    """Broyden's good method on f(z) - z; memory grows to ``history`` rank-one terms."""
    left: list[Tensor] = []
    right: list[Tensor] = []
    last: list[Tensor] = []

    def inverse(x: Tensor) -> Tensor:  # an approximation of the inverse Jacobian of f(z) - z, at first minus one
        return sum((u * _dot(v, x) for u, v in zip(left, right)), -x)

    def transposed(x: Tensor) -> Tensor:
        return sum((v * _dot(u, x) for u, v in zip(left, right)), -x)

    def propose(point: Tensor, step: Tensor, forget: Tensor) -> Tensor:
        if len(left) == limits.history:  # the terms build on each other: without the oldest the others mislead
            del left[:], right[:]
        if last:
            moved, changed = point - last[0], step - last[1]
            image = inverse(changed)
            v = transposed(moved)
            scale = _dot(moved, image)
            firm = scale.abs() > 1e-6 * moved.norm(dim=1, keepdim=True) * image.norm(dim=1, keepdim=True)
            u = torch.where(firm & ~forget[:, None], (moved - image) / torch.where(firm, scale, 1), 0)
            _append(left, u, forget, limits.history, torch.zeros_like)
            _append(right, v, forget, limits.history, torch.zeros_like)
        last[:] = [point, step]
        return point - limits.damping * inverse(step)

    return _iterate(f, z, limits, propose)


SOLVERS: dict[str, Callable[[Map, Tensor, Limits], Solution]] = {
    "picard": picard,
    "anderson": anderson,
    "broyden": broyden,
}


@torch.no_grad()
def _iterate(f: Map, start: Tensor, limits: Limits, propose: Propose) -> Solution:
    """The loop that all solvers share, on points ``(batch, elements)``."""
    z, count = start.detach().flatten(1), len(start)
    best, best_step, shortest = z, torch.zeros_like(z), z.new_full((count,), torch.inf)
    residual = shortest.clone()
    evaluations = torch.zeros(count, dtype=torch.int64, device=z.device)
    lost, done = torch.zeros_like(evaluations), torch.zeros(count, dtype=torch.bool, device=z.device)
    for _ in range(limits.iterations):
        value = f(z.reshape(start.shape)).to(z.dtype).flatten(1)
        evaluations += ~done
        step = value - z
        length = step.norm(dim=1)
        away = ~torch.isfinite(length) | (length > LOST * shortest)
        better = ~done & ~away & (length < shortest)
        best, best_step = torch.where(better[:, None], z, best), torch.where(better[:, None], step, best_step)
        shortest = torch.where(better, length, shortest)
        tiny = torch.finfo(z.dtype).tiny
        residual = torch.where(better, length / value.norm(dim=1).clamp_min(tiny), residual)
        lost += away & ~done
        done = done | (residual <= limits.tolerance) | (lost > RETRIES) | (away & shortest.isinf())
        if done.all():
            break
        back = best + best_step * 0.5 ** lost[:, None]
        point, step = torch.where(away[:, None], best, z), torch.where(away[:, None], best_step, step)
        following = propose(point, step, away)
        finite = torch.isfinite(following).all(1)
        following = torch.where((away | ~finite)[:, None], torch.where(away[:, None], back, point + step), following)
        z = torch.where(done[:, None], best, following)
    return Solution(best.reshape(start.shape), evaluations, residual, residual <= limits.tolerance, lost)


def _append(items: list[Tensor], new: Tensor, forget: Tensor, most: int, blank: Map) -> None:
    """Add ``new``, drop the oldest beyond ``most``; samples that ``forget`` get a blank in the place of the old."""
    if forget.any():
        items[:] = [torch.where(forget[:, None], blank(old), old) for old in items]
    items.append(new)
    del items[:-most]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)


def _weights(steps: list[Tensor], regularisation: float) -> Tensor:
    """Weights ``(batch, points)`` of sum one that make the mixed step short, in float64."""
    count = len(steps)
    products = torch.stack([torch.stack([(a * b).sum(1) for b in steps], 1) for a in steps], 1).double()
    diagonal = products.diagonal(dim1=1, dim2=2)
    products = products / diagonal.amax(1).clamp_min(torch.finfo(torch.float64).tiny)[:, None, None]
    diagonal = products.diagonal(dim1=1, dim2=2)
    plain = torch.zeros_like(diagonal)
    plain[:, -1] = 1
    found, wanting = plain, torch.ones(len(plain), dtype=torch.bool, device=plain.device)
    for raised in range(5 if count > 1 else 0):
        system = products + torch.diag_embed((regularisation or 1e-12 * bool(raised)) * 10.0**raised * diagonal)
        solved, failed = torch.linalg.solve_ex(system, torch.ones_like(diagonal))
        tried = solved / solved.sum(1, keepdim=True)
        good = wanting & (failed == 0) & (tried.abs().sum(1) < LARGEST)  # false for NaN
        found = torch.where(good[:, None], tried, found)
        wanting = wanting & ~good
        if not wanting.any():
            break
    return found
