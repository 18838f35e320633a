"""Worst-case perturbations of data: projected gradient ascent on the error of a reconstruction, in balls of l2.

A perturbation e has a size relative to the data, |e| / |y|, and is sought where |f(y + e) - truth| is largest. Every
attack asks the same: for some perturbations, how large the errors are and where they grow. How this is found out, by
the method's own gradient or without one, is the matter of ``probes.py``.

The largest level comes first, from zero and from random places on its sphere; each smaller level begins at the worst
perturbations of the one above it, scaled down (Genzel, Macdonald & März 2022, doi:10.1109/TPAMI.2022.3148324). A step
goes along the gradient, by a length in units of the radius that falls geometrically, and back to the ball: at first
nearly the power method, which is the fastest where a method is linear. It needs no scale of a method, so that one rule
serves all; the worst iterate of each start is kept.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon_bench.scoring.clock import Deadline
from recon_bench.scoring.metrics import magnitude

Ask = Callable[[Tensor], tuple[Tensor, Tensor]]
KRYLOV = 200  # dimensions at most in which the worst case of a linear method is found
SETTLED = 1e-5  # relative: so little it still grows when LOOK more dimensions are there
LOOK = 20


@dataclass(frozen=True)
class Budget:
    """What every method is attacked with.

    ``restarts`` of ``first`` steps at the largest level and ``steps`` at each below, of a level that is sought alone
    half as many; a multiple of 4, so that what a method is attacked by can share them. The length of a step falls from
    ``longest`` to ``shortest`` radii.
    """

    restarts: int = 4
    first: int = 40
    steps: int = 10
    longest: float = 8.0
    shortest: float = 0.5


@dataclass(frozen=True)
class Objective:
    """The relative error of images against ``truth`` (batch or 1, *domain_shape), complex ones by magnitude.

    ``region`` (*domain_shape): 1 where errors count and 0 elsewhere; everywhere unless given.
    """

    truth: Tensor
    region: Tensor | None = None

    def errors(self, x: Tensor) -> Tensor:
        """|x - truth| / |truth| of each image, in double precision."""
        return _norm(self._inside(magnitude(x) - magnitude(self.truth))) / self._size()

    def weight(self, x: Tensor) -> Tensor:
        """The gradient of half the squared errors with respect to the images."""
        missed = self._inside(magnitude(x) - magnitude(self.truth)) / _tall(self._size().square(), x).to(x.real.dtype)
        return missed * torch.sgn(x) if x.is_complex() else missed

    def _inside(self, image: Tensor) -> Tensor:
        return image if self.region is None else image * self.region

    def _size(self) -> Tensor:
        return _norm(self._inside(magnitude(self.truth)))


@dataclass(frozen=True)
class Found:
    """The worst perturbations of an attack at a ``level``, with their ``errors``, one for each start.

    ``gain``: by which part of itself the largest squared error still grew in the last fifth of the steps, NaN where too
    few were made; ``steps``: made; ``whole``: not stopped by the deadline; of all that was asked, ``blind`` had no
    direction, because the gradient was zero or not finite, and ``failed`` no reconstruction.
    """

    level: float
    perturbations: Tensor
    errors: Tensor
    gain: float
    steps: int
    whole: bool
    blind: float
    failed: float


def sweep(
    ask: Ask, y: Tensor, levels: Sequence[float], budget: Budget, seed: int, deadline: Deadline
) -> Iterator[Found]:
    """The worst perturbations found at each of the ``levels`` (positive, relative to |y|), from the largest down.

    ``y`` (*range_shape); ``ask`` takes perturbations (batch, *range_shape). Ends early at the deadline.
    """
    size, ordered = float(torch.linalg.vector_norm(y)), sorted(levels, reverse=True)
    e, above = starts(y, budget.restarts, ordered[0] * size, seed), ordered[0]
    for level in ordered:
        steps = budget.first if level == ordered[0] else budget.steps
        found = ascend(ask, e * (level / above), level, level * size, steps, budget, deadline)
        yield found
        if not found.whole:
            return
        e, above = found.perturbations, level


def starts(y: Tensor, count: int, radius: float, seed: int) -> Tensor:
    """Zero, and ``count`` - 1 random places on the sphere, as perturbations of ``y`` (*range_shape)."""
    e = noise(y, count, radius, seed)
    e[0] = 0
    return e


def noise(y: Tensor, count: int, radius: float, seed: int) -> Tensor:
    """White Gaussian noise of norm ``radius`` in the shape and type of ``y``: (count, *range_shape)."""
    drawn = torch.randn((count, *y.shape), generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    return radius * unit(drawn)


def ascend(ask: Ask, e: Tensor, level: float, radius: float, steps: int, budget: Budget, deadline: Deadline) -> Found:
    """``steps`` steps from each of the perturbations ``e`` (batch, *range_shape) in the ball of a ``radius``."""
    worst, errors = e.clone(), torch.full((len(e),), -math.inf, dtype=torch.float64)
    trace, blind, failed = list[float](), 0, 0
    fall = (budget.shortest / budget.longest) ** (1 / max(1, steps - 2))
    for step in range(steps):
        if trace and deadline.passed:
            break
        found, direction = ask(e)
        better = found > errors
        worst, errors = torch.where(_tall(better, e), e, worst), torch.where(better, found, errors)
        trace.append(float(errors.max()))
        direction = unit(direction)
        blind, failed = blind + int((_norm(direction) == 0).sum()), failed + int((~torch.isfinite(found)).sum())
        e = project(e + budget.longest * fall**step * radius * direction, radius)
    asked = len(trace) * len(e)
    return Found(level, worst, errors, _gain(trace), len(trace), len(trace) == steps, blind / asked, failed / asked)


def project(e: Tensor, radius: float) -> Tensor:
    """The nearest perturbations (batch, *range_shape) in the ball."""
    return e * _tall((radius / _norm(e).clamp(min=1e-30)).clamp(max=1), e).to(e.real.dtype)


def unit(direction: Tensor) -> Tensor:
    """Directions (batch, ...) of norm one; zero where they are zero or not finite."""
    size = _norm(direction)
    fine = torch.isfinite(size) & (size > 0)
    scaled = direction / _tall(torch.where(fine, size, 1.0), direction).to(direction.real.dtype)
    return torch.where(_tall(fine, direction), scaled, torch.zeros_like(direction))


def exact(forward: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], r: Tensor, radius: float) -> float:
    """The largest |r + B e| over |e| <= ``radius``, for a linear B given by ``forward`` and its transpose ``back``.

    In the Krylov space of B*B and B*r, where it is a small problem that is solved exactly (Gould, Lucidi, Roma & Toint
    1999, doi:10.1137/S1052623497322735), of so many dimensions that it has settled, KRYLOV at most; beside B*r it
    begins with noise, as r may have no part in the directions that grow most. ``r`` is a real image of B's range; all
    are without a batch dimension."""
    basis, images = list[Tensor](), list[Tensor]()
    start, largest = back(r).double(), float(torch.linalg.vector_norm(r.double()))
    following = deque([start, noise(start, 1, 1.0, seed=0)[0]])
    while following and len(basis) < KRYLOV:
        v = following.popleft()
        before = float(torch.linalg.vector_norm(v))
        for _ in range(2):  # twice is enough
            for other in basis:
                v = v - (other * v).sum() * other
        if not (size := float(torch.linalg.vector_norm(v))) > 1e-6 * before:
            continue
        basis.append(v / size)
        images.append(forward(basis[-1].to(r.dtype)).double())
        following.append(back(images[-1].to(r.dtype)).double())
        if len(basis) % LOOK == 0:
            less, largest = largest, _within(images, r, radius)
            if largest <= (1 + SETTLED) * less:
                return largest
    return _within(images, r, radius) if images else largest


def _within(images: Sequence[Tensor], r: Tensor, radius: float) -> float:
    """The largest |r + sum z_i images_i| over |z| <= ``radius``."""
    W = torch.stack([image.flatten() for image in images], 1)
    values, Q = torch.linalg.eigh(W.T @ W)
    c = Q.T @ (W.T @ r.double().flatten())
    z = Q @ _on_sphere(values, c, radius)
    return float(torch.linalg.vector_norm(r.double().flatten() + W @ z))


def _on_sphere(values: Tensor, c: Tensor, radius: float) -> Tensor:
    """The z of norm ``radius`` that maximises z* diag(values) z + 2 c*z: c / (mu - values), mu at least all values.

    Where c has so small a part along the largest value that mu is that value, z goes on along it.
    """
    top = float(values.max())
    low, high = top, top + float(c.norm()) / radius + 1e-12 * (1 + abs(top))
    for _ in range(200):
        middle = (low + high) / 2
        longer = float((c / (middle - values).clamp(min=1e-300)).norm()) > radius
        low, high = (middle, high) if longer else (low, middle)
    z = c / (high - values).clamp(min=1e-300)
    lacking = radius**2 - float(z.square().sum())
    if lacking > 1e-6 * radius**2:
        along = int(values.argmax())
        z[along] += math.copysign(math.sqrt(float(z[along]) ** 2 + lacking) - abs(float(z[along])), float(z[along]))
    return z


def _gain(trace: Sequence[float]) -> float:
    last = len(trace) // 5
    if not last or not math.isfinite(trace[-1]) or trace[-1] == 0:
        return math.nan
    return 1 - (trace[-1 - last] / trace[-1]) ** 2


def _norm(x: Tensor) -> Tensor:
    """Norm of each of a batch, in double precision."""
    return torch.linalg.vector_norm(x.flatten(1).to(torch.complex128 if x.is_complex() else torch.float64), dim=1)


def _tall(values: Tensor, like: Tensor) -> Tensor:
    """One value for each of a batch, ready to be multiplied with the batch ``like``."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
