"""An equilibrium z = f(z) that autograd can differentiate, in memory that does not depend on how it was found.

The solver runs without a graph; then f is applied once more, with one. With J the Jacobian of f at z, a gradient g of a
loss with respect to z becomes w = g + J* w, and w goes on backwards through that one application, to all that f depends
on: weights, data, whatever requires a gradient (Bai, Kolter & Koltun 2019, arXiv:1909.01377). How w is found is one
setting, the rule:

- "anderson", "broyden", "neumann": w is solved for, the last by its series g + J* g + J* J* g + ...
- "jacobian-free": w = g (Fung et al. 2022, doi:10.1609/aaai.v36i6.20619).
- "phantom": no w; f is applied a few times more, damped, and autograd goes through these (Geng et al. 2021,
  arXiv:2111.05177). Memory grows with their number.

Small print: J* w needs the graph of that application again and again, so a second derivative through the rules that
solve is refused. A penalty on J (Bai, Koltun & Kolter 2021, arXiv:2106.14342) makes f contract; its own gradient takes
two derivatives of f, not of the equilibrium.

:func:`watched` tells of every equilibrium that is found meanwhile, whoever asked for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recon_bench.fixed_point import SOLVERS, Limits, Map, Solution

SOLVED = {"anderson": "anderson", "broyden": "broyden", "neumann": "picard"}
RULES = (*SOLVED, "jacobian-free", "phantom")


@dataclass(frozen=True)
class Backward:
    """``rule``: one of RULES; ``limits``: of the solver for w; ``steps``, ``damping``: of the phantom gradient."""

    rule: str = "anderson"
    limits: Limits = field(default_factory=lambda: Limits(iterations=40, tolerance=1e-4))
    steps: int = 3
    damping: float = 1.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"expected a backward rule of {', '.join(RULES)}, got {self.rule!r}")
        if self.steps < 1 or not 0 < self.damping <= 1:
            raise ValueError(f"expected steps >= 1 and a damping in (0, 1], got {self.steps} and {self.damping}")


@dataclass(frozen=True)
class Found:
    """An equilibrium of the map ``f``: what the solver found, and the ``backward`` rule that goes with it."""

    f: Map
    solution: Solution
    backward: Backward


_watching: ContextVar[tuple[list[Found], ...]] = ContextVar("watching", default=())


@contextmanager
def watched() -> Iterator[list[Found]]:
    """A list to which every equilibrium is added that is found in this thread meanwhile; it keeps their maps alive."""
    found: list[Found] = []
    token = _watching.set((*_watching.get(), found))
    try:
        yield found
    finally:
        _watching.reset(token)


def equilibrium(f: Map, start: Tensor, solver: str, limits: Limits, backward: Backward) -> Tensor:
    """The equilibrium of ``f`` from ``start``, both ``(batch, ...)``: f of the best iterate of the ``solver``.

    ``f`` may depend on anything else that requires a gradient.
    """
    if solver not in SOLVERS:
        raise ValueError(f"expected a solver of {', '.join(SOLVERS)}, got {solver!r}")
    found = Found(f, SOLVERS[solver](f, start, limits), backward)
    for seen in _watching.get():
        seen.append(found)
    z = found.solution.z
    if not torch.is_grad_enabled():
        return f(z)
    if backward.rule == "phantom":
        for _ in range(backward.steps):
            z = f(z) if backward.damping == 1 else torch.lerp(z, f(z), backward.damping)
        return z
    z.requires_grad_(backward.rule in SOLVED)
    value = f(z)
    if backward.rule in SOLVED and value.requires_grad:
        result = value.view_as(value)  # a hook on ``value`` itself would also see the products with J*
        result.register_hook(lambda g: _solved(value, z, g, backward))
        return result
    return value


def _solved(value: Tensor, z: Tensor, g: Tensor, backward: Backward) -> Tensor:
    """The solution w of w = g + J* w, per sample."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"an equilibrium with the backward rule {backward.rule!r} has no second derivative: "
            "expected backward() without create_graph=True; the rules 'phantom' and 'jacobian-free' allow it"
        )
    return pulled_back(lambda w: _product(value, z, w), g, backward)[0]


def pulled_back(adjoint: Map, g: Tensor, backward: Backward) -> tuple[Tensor, Tensor]:
    """What a rule makes of the gradient ``g`` (batch, ...), and with how many products with J*, per sample (batch,).

    ``adjoint(w)`` is J* w, of the Jacobian at the equilibrium, where K phantom steps are K terms of the series.
    """
    if backward.rule in SOLVED:
        found = SOLVERS[SOLVED[backward.rule]](lambda w: g + adjoint(w), g, backward.limits)
        return found.z, found.evaluations
    steps, damping = (backward.steps, backward.damping) if backward.rule == "phantom" else (1, 1.0)
    w = damping * g
    for _ in range(steps - 1):
        w = torch.lerp(w, g + adjoint(w), damping)
    return w, torch.full((len(g),), steps - 1, device=g.device)


def adjoint_jacobian(f: Map, z: Tensor) -> Map:
    """w -> J* w, J being the Jacobian of ``f`` at ``z``; keeps the graph of one application of ``f``."""
    point = z.detach().requires_grad_()
    with torch.enable_grad():
        value = f(point)
    return lambda w: _product(value, point, w)


def _product(value: Tensor, z: Tensor, w: Tensor) -> Tensor:
    with torch.enable_grad(), _as_usual(z):
        (product,) = torch.autograd.grad(value, z, w.to(value.dtype), retain_graph=True)
    return product


def jacobian_energy(f: Map, z: Tensor, seed: int) -> Tensor:
    """|J|_F^2 over the number of elements, per sample ``(batch,)``: Hutchinson's estimate with one random vector.

    Differentiable in what ``f`` depends on. Of a map that scales by c it is c^2, whatever the vector.
    """
    point = z.detach().requires_grad_()
    signs = torch.randint(0, 2, z.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    with torch.enable_grad():
        value = f(point)
        with _as_usual(z):
            (product,) = torch.autograd.grad(value, point, signs.to(value), create_graph=True)
    return product.square().flatten(1).mean(1)


def contraction(f: Map, z: Tensor, iterations: int = 20, seed: int = 0) -> Tensor:
    """The largest singular value of the Jacobian of ``f`` at ``z``, per sample ``(batch,)``, by the power method.

    An estimate from below. Under 1 the plain iteration contracts near z, in the norm; Anderson may do above it.
    """
    point = z.detach().requires_grad_()
    v = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)).to(z)
    size = v.new_zeros(len(v))
    with torch.enable_grad():
        value = f(point)
        probe = torch.zeros_like(value, requires_grad=True)
        (back,) = torch.autograd.grad(
            value, point, probe, create_graph=True
        )  # linear in the probe: its gradient is J v
        for _ in range(iterations):
            v = v / _length(v).clamp_min(torch.finfo(v.dtype).tiny)
            (forth,) = torch.autograd.grad(back, probe, v, retain_graph=True)
            size = _length(forth).flatten()
            (v,) = torch.autograd.grad(value, point, forth, retain_graph=True)
    return size.detach()


def _as_usual(x: Tensor) -> AbstractContextManager[None]:
    """Without autocast, as backward passes are: operators in it would be handed bfloat16."""
    return torch.autocast(x.device.type, enabled=False)


def _length(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.dim() - 1))


class _Penalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, penalty: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], torch.ones((), dtype=torch.float32, device=grads[0].device)


def penalised(x: Tensor, penalty: Tensor) -> Tensor:
    """``x`` itself; going backwards through it adds the gradient of the scalar ``penalty``, whatever the loss is.

    So a network can have a penalty of its own under a training loop that knows the loss alone.
    """
    return _Penalised.apply(x, penalty)
