"""Adaptation of a network to another operator by measurements alone (Gilton, Ongie & Willett 2021,
doi:10.1109/TCI.2021.3094714).

Parametrise and perturb fits the parameters of the network, from those that were trained, to sum |y - A f(y)|^2, with a
penalty on leaving them; reuse and regularise keeps the network and its operator A0, and takes f(A0 x) as what removes
artefacts of an image x. Both in one: the parameters fitted through the iterations of the second. No truth is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recon_bench.core import Operator
from recon_bench.operators import norm
from recon_bench.scoring import clock, footprint
from recon_bench.solvers import conjugate_gradients

Reconstruct = Callable[[Tensor], Tensor]
LATE = "out of time: the best so far was kept"
DIVERGED = "diverged: the best before was kept"
NO_BETTER = "no step was better: the start was kept"
AT_NOISE = "held-out data are explained to within their noise"


@dataclass(frozen=True)
class Budget:
    """``steps`` of Adam at the ``rate``, each on ``batch`` measurements, with ``penalty`` times the squared relative
    distance from the start; every ``look`` steps held-out measurements are looked at, and after ``patience`` looks
    without a better one it ends, as it does after ``seconds``."""

    steps: int = 40
    batch: int = 2
    rate: float = 3e-4
    penalty: float = 1e-3
    look: int = 2
    patience: int = 5
    seconds: float = 180.0


@dataclass(frozen=True)
class Reuse:
    """``iterations`` of reuse and regularise; ``weight`` of the regulariser in units of |A1|^2; ``solver``: conjugate
    gradients in each."""

    iterations: int = 12
    weight: float = 0.1
    solver: int = 8


@dataclass(frozen=True)
class Measured:
    """What there is to adapt with: data ``y`` (n, *range_shape) and ``held`` ones (m, *range_shape) to stop by.

    ``floor``: the misfit that their noise alone leaves; who explains the held-out data better than that explains noise.
    ``seen`` and ``kept``, of the shape of one of the data, are 1 where these count and 0 elsewhere; all count without.
    """

    y: Tensor
    held: Tensor
    floor: float = 0.0
    seen: Tensor | None = None
    kept: Tensor | None = None

    def to(self, device: torch.device) -> Measured:
        """A copy on a ``device``, of which no part is a view of more."""
        seen, kept = (None if part is None else part.to(device).clone() for part in (self.seen, self.kept))
        return Measured(self.y.to(device).clone(), self.held.to(device).clone(), self.floor, seen, kept)


@dataclass(frozen=True)
class Adapted:
    """What an adaptation did: the held-out misfit by step and, ``least``, of what was kept, and the bytes of tensors
    that a step had alive at once, 0 where there was none.

    ``note`` says why it ended early or kept its start, None where it did neither.
    """

    trace: dict[int, float]
    least: float
    peak: int
    note: str | None


def prepared(
    built: Callable[[Tensor, Operator], Tensor], A0: Operator, A1: Operator, data: Measured, reuse: Reuse | None
) -> Callable[[Budget], Adapted]:
    """What fits the networks that a reconstruction ``built`` for A0 calls to ``data`` of A1, with ``reuse`` through it.

    Of held-out data reuse is not given the part that is ``kept``. RuntimeError where there is nothing to fit.
    """

    def f(y: Tensor, seen: Tensor | None = None) -> Tensor:
        return built(y, A1) if reuse is None else reusing(lambda d: built(d, A0), A0, A1, y, reuse, seen)

    def look(y: Tensor) -> Tensor:
        return f(y, None if data.kept is None else 1 - data.kept)

    with torch.no_grad(), called() as modules:
        f(data.held[:1].clone())
    if not (weights := parameters(modules)):
        raise RuntimeError("expected a network whose parameters could be fitted, the method calls no network")
    torch.optim.Adam(weights)  # the first one in a process imports for seconds
    return lambda budget: fit(f, look, weights, A1, data, budget)


@contextmanager
def called() -> Iterator[list[nn.Module]]:
    """The modules that are called within, each once, in order."""
    found: dict[int, nn.Module] = {}
    hook = nn.modules.module.register_module_forward_pre_hook(
        lambda module, arguments: found.update({id(module): module})
    )
    modules = list[nn.Module]()
    try:
        yield modules
    finally:
        hook.remove()
        modules.extend(found.values())


def parameters(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    """The parameters of these modules, each once."""
    return list({id(p): p for module in modules for p in module.parameters()}.values())


def fit(
    f: Reconstruct,
    look: Reconstruct,
    weights: Sequence[nn.Parameter],
    A: Operator,
    data: Measured,
    budget: Budget,
    seed: int = 0,
) -> Adapted:
    """Fit the ``weights`` of a reconstruction ``f`` to ``data`` of ``A``; those with the least misfit of the held-out
    ones, of which ``look`` makes images, stay.

    Misfits below that of the noise do not count, and end it; so does such a start.
    """
    start = [weight.detach().clone() for weight in weights]
    size = max(1e-30, sum(float(s.square().sum()) for s in start))
    best, least = start, held_out(look, A, data)
    if least < data.floor:
        return Adapted({0: least}, least, 0, f"{AT_NOISE}: the start was kept")
    trace, drawn, deadline = {0: least}, torch.Generator().manual_seed(seed), clock.Deadline(budget.seconds)
    peak, note, waited = 0, None, 0
    for weight in weights:
        weight.requires_grad_(True)
    optimiser = torch.optim.Adam(weights, lr=budget.rate)

    def step() -> None:
        chosen = torch.randperm(len(data.y), generator=drawn)[: budget.batch]
        loss = _squares(A(f(data.y[chosen])), data.y[chosen], data.seen).mean()
        away = torch.stack([(weight - s).square().sum() for weight, s in zip(weights, start)]).sum()
        optimiser.zero_grad(set_to_none=True)
        (loss + budget.penalty * away / size).backward()
        optimiser.step()

    for number in range(1, budget.steps + 1):
        if number == 1:
            peak = footprint.of(step, [data.y, *weights], A.device).peak
        else:
            step()
        late = deadline.passed
        if number % budget.look and number < budget.steps and not late:
            continue
        trace[number] = held_out(look, A, data)
        if not math.isfinite(trace[number]):
            trace.pop(number)
            note = DIVERGED
            break
        if trace[number] < data.floor:
            note = f"{AT_NOISE}: the {'start' if best is start else 'best before'} was kept"
            break
        waited = 0 if trace[number] < least else waited + 1
        if trace[number] < least:
            best, least = [weight.detach().clone() for weight in weights], trace[number]
        if late or waited >= budget.patience:
            note = LATE if late and number < budget.steps else note
            break
    restore(weights, best)
    return Adapted(trace, least, peak, note or (NO_BETTER if best is start else None))


def restore(weights: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    """Put ``values`` into the ``weights``, which need no gradient any more."""
    for weight, value in zip(weights, values):
        weight.requires_grad_(False).copy_(value)
        weight.grad = None


def held_out(look: Reconstruct, A: Operator, data: Measured) -> float:
    """The mean misfit |A x - y| / |y| of the held-out data ``y``, of which ``look`` makes the images x."""
    with torch.no_grad():
        return float(_squares(A(look(data.held.clone())), data.held, data.kept).sqrt().mean())


def _squares(found: Tensor, y: Tensor, counted: Tensor | None) -> Tensor:
    """Squared relative misfit of each of the data where it is ``counted``."""
    missed, size = (
        (each.abs().square() * (1 if counted is None else counted)).flatten(1).sum(1) for each in (found - y, y)
    )
    return missed / size


def reusing(f0: Reconstruct, A0: Operator, A1: Operator, y: Tensor, rules: Reuse, seen: Tensor | None) -> Tensor:
    """Images of data ``y`` (batch, *range_shape of A1) by reuse and regularise with ``f0``, made for data of ``A0``.

    x <- (A1* S A1 + weight)^-1 (A1* S y + weight f0(A0 x)), from f0 = 0, with S the data ``seen``, 1, and not, 0, all
    of them if None; autograd goes through it.
    """
    weight = rules.weight * norm(A1) ** 2
    shown = 1.0 if seen is None else seen
    back, x = A1.adjoint(shown * y), None

    def normal(z: Tensor) -> Tensor:
        return A1.adjoint(shown * A1(z)) + weight * z

    for _ in range(rules.iterations + 1):
        wanted = back if x is None else back + weight * f0(A0(x))
        x, _ = conjugate_gradients(normal, wanted, len(A1.domain_shape), rules.solver)
    assert x is not None
    return x
