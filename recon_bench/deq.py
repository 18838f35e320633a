"""What the equilibrium networks share: a form gives the map, here its equilibrium is found and differentiated.

A form is a module with ``begin(y, A) -> (f, start)``, the map of states ``(batch, channels, rows, columns)`` and where
to start, and ``image(state) -> (batch, channels, rows, columns)``. Settings begin with those of
:class:`Settings`. The solver works in float32, whatever the precision of the network in f.
"""

from __future__ import annotations

import dataclasses
import math
import random
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from recon_bench import learned
from recon_bench.core import NotConverged, Operator
from recon_bench.fixed_point import Limits, Map, Solution
from recon_bench.implicit import Backward, equilibrium, jacobian_energy, penalised, watched

SELDOM = 4  # the penalty costs as much as some steps of the map: one batch in four has it, four times as large


class Form(Protocol):
    """A map whose equilibrium is the reconstruction."""

    def begin(self, y: Tensor, A: Operator) -> tuple[Map, Tensor]:
        """The map of the state and where it starts, for data ``(batch, *range_shape)``."""

    def image(self, state: Tensor) -> Tensor:
        """The image ``(batch, *domain_shape)`` in a ``state``."""


@dataclass(frozen=True)
class Settings:
    """What the settings of an equilibrium method begin with.

    ``depth``: applications of the pair (A, A*), all but the start's; ``solver``: picard, anderson or broyden, with a
    ``tolerance`` of the relative residual and a ``history``; ``backward``: one of ``implicit.RULES``, with so many
    ``steps``, at most where it solves; ``jacobian``: the weight of the penalty on the squared Frobenius norm of the
    map's Jacobian over the number of elements; ``least``: in training the solver stops after a random number of
    evaluations from ``least`` to ``depth``, few being as likely as many, so that a map is learned that is fast; 0 for
    where it stops by itself.
    """

    depth: int = 50
    solver: str = "anderson"
    tolerance: float = 1e-3
    history: int = 5
    backward: str = "anderson"
    steps: int = 15
    jacobian: float = 0.0
    least: int = 0


class Equilibrium(nn.Module):
    """``(y, A) -> x``, the equilibrium of a form, whose map takes so many ``applications`` of the pair (A, A*).

    ``learning`` takes the place of all this in training.
    """

    def __init__(
        self,
        form: nn.Module,
        settings: Settings,
        applications: int = 1,
        learning: Callable[[Tensor, Operator], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.learning = learning
        most = settings.depth // applications - 1  # the last application of the map follows the solver
        if most < 0 or settings.least < 0:
            raise ValueError(f"expected a depth of at least {applications} and least >= 0, got {settings}")
        self.limits = Limits(most, settings.tolerance, settings.history)
        self.form, self.solver, self.penalty, self.least = form, settings.solver, settings.jacobian, settings.least
        backward = Limits(settings.steps, settings.tolerance, settings.history)
        self.backward = Backward(settings.backward, backward, settings.steps)

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        if self.training and self.learning:
            return self.learning(y, A)
        f, start = self.form.begin(y, A)  # type: ignore[operator]
        limits = self._sooner(y) if self.training and self.least else self.limits
        with watched() as seen:
            state = equilibrium(f, start, self.solver, limits, self.backward)
        self._warn(seen.pop().solution)
        x = learned.from_channels(self.form.image(state), A.dtype)  # type: ignore[operator]
        if self.training and self.penalty and (seed := seed_of(y)) % SELDOM == 0:
            x = penalised(x, SELDOM * self.penalty * jacobian_energy(f, state, seed).mean())
        return x

    def _sooner(self, y: Tensor) -> Limits:
        """Limits with a random number of iterations, log-uniform."""
        most = math.log(max(self.limits.iterations, self.least))
        iterations = math.exp(random.Random(seed_of(y)).uniform(math.log(self.least), most))
        return dataclasses.replace(self.limits, iterations=round(iterations))

    def _warn(self, found: Solution) -> None:
        open_ = int((~found.converged).sum())
        if not self.training and open_ and self.limits.tolerance:
            warnings.warn(
                f"{open_} of {len(found.z)} images did not reach the tolerance of {self.limits.tolerance:g}, "
                f"the worst has {float(found.residual.max()):.1e}: raise depth",
                NotConverged,
                stacklevel=2,
            )


class Repeated(nn.Module):
    """``(y, A) -> x``: ``depth`` applications of a form's map, for autograd to go through; weights tied by nature."""

    def __init__(self, form: nn.Module, depth: int) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"expected a depth of at least 1, got {depth}")
        self.form, self.depth = form, depth

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        f, state = self.form.begin(y, A)  # type: ignore[operator]
        for _ in range(self.depth):
            state = f(state)
        return learned.from_channels(self.form.image(state), A.dtype)  # type: ignore[operator]


def seed_of(y: Tensor) -> int:
    """A number that depends on the data alone: probes differ from batch to batch and repeat when it comes again."""
    return zlib.crc32(y.detach().abs().double().sum().cpu().numpy().tobytes())
