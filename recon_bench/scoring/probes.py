"""Where the error of a reconstruction grows with its data: by the method's gradient, and by what does without one.

A probe takes data ``(batch, *range_shape)`` and an objective, and gives the images with a direction in which the
objective should grow, of any length. With J the Jacobian of a method f and r the error of its image:

- :func:`gradient` is J* r, by autograd through the method; of an equilibrium, implicit or unrolled, as it is set up;
- :func:`transfer` is B* r with a linear B, FBP or zero-filling: the direction is the surrogate's, the error is not
  (as in Athalye, Carlini & Wagner 2018, arXiv:1802.00420);
- :func:`curvature` is A H^-1 r with H = A*A + w TV'' at the image: the gradient of total variation, slightly smoothed,
  by the implicit function theorem, where the image is not zero;
- :func:`secant` asks the method alone: A (f(y + B* r) - f(y)). A minimiser of |A x - y|^2 + R(x) has J = S A* with S
  symmetric, and A* B* is nearly the identity, so this is A S r = J* r up to that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recon_bench.core import NotApplicable, Operator
from recon_bench.scoring.answers import out_of_memory
from recon_bench.scoring.attack import Ask, Objective, unit
from recon_bench.scoring.host import Host
from recon_bench.solvers import conjugate_gradients

Probe = Callable[[Tensor, Objective], tuple[Tensor, Tensor]]
Pull = Callable[[Tensor, Tensor], Tensor]  # data and weights of images to a direction of data
SMOOTH = 0.01  # of the largest value: a step between pixels that counts as none
SOLVES = 30  # iterations of conjugate gradients
WIDTH = 0.01  # of |y|: a secant is taken over so much


def images(method: Host, y: Tensor) -> Tensor:
    """The reconstructions (batch, *domain_shape) of ``y`` on the CPU, NaN where one failed."""
    A = method.operator
    nothing = torch.full(A.domain_shape, torch.nan, dtype=A.dtype)
    return torch.stack([nothing if each.x is None else each.x for each in method.reconstruct(y)])


def gradient(method: Host) -> Probe:
    """By the method's own gradient, in parts where all data of an image at once do not fit into memory. RuntimeError
    where it has none."""
    most = sys.maxsize

    def together(y: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        x = method.linearise(y)
        return x, method.pull_back(objective.weight(x))

    def probe(y: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        nonlocal most
        while True:
            try:
                x, direction = zip(*(together(part, objective) for part in y.split(most)))
                return torch.cat(x), torch.cat(direction)
            except (RuntimeError, MemoryError) as error:
                if min(most, len(y)) == 1 or not out_of_memory(error):
                    raise
            most = (min(most, len(y)) + 1) // 2

    return probe


def transfer(method: Host, pull: Pull) -> Probe:
    """By the gradient of a linear surrogate."""

    def probe(y: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        x = images(method, y)
        return x, pull(y, objective.weight(x))

    return probe


def secant(method: Host, pull: Pull) -> Probe:
    """By a second reconstruction of each."""

    def probe(y: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        x = images(method, y)
        size = torch.linalg.vector_norm(y.flatten(1), dim=1).reshape(-1, *[1] * (y.ndim - 1))
        moved = images(method, y + WIDTH * size * unit(pull(y, objective.weight(x))))
        return x, _forward(method.operator, moved - x)

    return probe


def curvature(method: Host, weight: float) -> Probe:
    """By total variation of this ``weight`` relative to |A*y|_inf, smoothed, at the method's own image."""

    def probe(y: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        x, A = images(method, y), method.operator
        level = weight * _adjoint(A, y).abs().amax((-2, -1), keepdim=True)
        free = (x != 0).to(x.dtype)
        second = total_variation_curvature(x, level)

        def H(v: Tensor) -> Tensor:
            return free * (_adjoint(A, _forward(A, v)) + second(v))

        solved, _ = conjugate_gradients(H, free * objective.weight(x).to(x.dtype), 2, SOLVES)
        return x, _forward(A, solved)

    return probe


def total_variation_curvature(x: Tensor, level: Tensor) -> Callable[[Tensor], Tensor]:
    """v -> (second derivative of ``level`` sum sqrt(|D x|^2 + s^2)) v for images ``(batch, rows, columns)``."""
    smooth = SMOOTH * x.abs().amax((-2, -1), keepdim=True) + torch.finfo(x.real.dtype).tiny
    d = _differences(x)
    size = (d.abs().square().sum(0) + smooth**2).sqrt()

    def apply(v: Tensor) -> Tensor:
        dv = _differences(v)
        along = (d.conj() * dv).real.sum(0) / size**3
        return _adjoint_differences(level * (dv / size - d * along))

    return apply


def _differences(x: Tensor) -> Tensor:
    down = torch.nn.functional.pad(x.diff(dim=-2), (0, 0, 0, 1))
    return torch.stack([down, torch.nn.functional.pad(x.diff(dim=-1), (0, 1))])


def _adjoint_differences(q: Tensor) -> Tensor:
    down = torch.nn.functional.pad(q[0, ..., :-1, :], (0, 0, 1, 1)).diff(dim=-2)
    return -down - torch.nn.functional.pad(q[1, ..., :-1], (1, 1)).diff(dim=-1)


def linear_pull(method: Host, surrogates: Sequence[Host]) -> Pull:
    """B* of the first of the linear ``surrogates`` that applies to the problem, set up here; A where none does."""
    for surrogate in surrogates:
        try:
            surrogate.set_up(surrogate.method.settings)
        except NotApplicable:
            continue
        return lambda y, weight: surrogate.gradient(y, weight).cpu()
    return lambda y, weight: _forward(method.operator, weight)


def asking(groups: Sequence[Probe], y: Tensor, objective: Objective) -> Ask:
    """What an attack on the data ``y`` (*range_shape) asks: means over probes, which are of one method's seeds."""

    def ask(e: Tensor) -> tuple[Tensor, Tensor]:
        found = [probe(y + e, objective) for probe in groups]
        errors = torch.stack([objective.errors(x) for x, _ in found]).mean(0)
        return errors, torch.stack([direction for _, direction in found]).mean(0)

    return ask


def _forward(A: Operator, x: Tensor) -> Tensor:
    return A(x.to(A.device, A.dtype)).cpu()


def _adjoint(A: Operator, y: Tensor) -> Tensor:
    return A.adjoint(y.to(A.device, A.dtype)).cpu()
