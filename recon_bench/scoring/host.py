"""A method as a measurement sees it, and the only way to it: data go in, reconstructions and costs come out.

A measurement keeps the truth, the score, the clock and the record. The method lives behind a :class:`Way`, in a process
of its own where a run measures it (:mod:`.home`), else in this one; only tensors and plain data cross. What it answers
is looked at here, where its code does not run. What needs its gradient or counts its memory runs beside it: these
figures are its process's word.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from recon_bench.core import Method, Operator, Problem, Sample
from recon_bench.measurement import Cell
from recon_bench.rules import Rules
from recon_bench.scoring import clock, sizes
from recon_bench.scoring.adaptation import Adapted, Budget, Measured, Reuse
from recon_bench.scoring.answers import Reconstruction, checked, reason
from recon_bench.scoring.equilibria import Effort, FixedPoint
from recon_bench.scoring.footprint import Cost, Footprint
from recon_bench.scoring.guest import Guest
from recon_bench.scoring.named import Named, operators

SLACK, SPEED = 0.005, 1e8  # seconds, and bytes a second, that a timed call may take on its way there and back


class Way(Protocol):
    """Where a :class:`.guest.Guest` is asked."""

    def call(self, name: str, *args: Any) -> Any:
        """What it answers. Raises NotApplicable and WeightsError as it does, else MethodError or what it raises."""

    def timed(self, name: str, *args: Any) -> tuple[float, Any]:
        """As :meth:`call`, after the seconds until it was done, by a clock that is not the method's."""

    def busy(self) -> float:
        """Seconds that the processors have spent on the guest's process; 0 where the system does not tell."""

    def repeating(self, weights: str) -> Way:
        """To another guest, see :meth:`.guest.Guest.repeating`."""


@dataclass(frozen=True)
class Inside:
    """The way to a guest in this process."""

    guest: Guest

    def call(self, name: str, *args: Any) -> Any:
        """As of :class:`Way`."""
        return getattr(self.guest, name)(*args)

    def timed(self, name: str, *args: Any) -> tuple[float, Any]:
        """As of :class:`Way`."""
        return clock.seconds(lambda: self.call(name, *args), self.guest.device)

    def busy(self) -> float:
        """As of :class:`Way`."""
        return time.process_time()

    def repeating(self, weights: str) -> Inside:
        """As of :class:`Way`."""
        return Inside(self.guest.repeating(weights))


class Host:
    """A ``method`` on a ``problem``. It is set up first, as often as other settings are wanted; then it is asked.

    ``problem`` is for shapes and data consistency; the method has its own, and ``way`` leads to it.
    """

    def __init__(self, method: Method, problem: Problem, way: Way | None = None) -> None:
        self.method, self.problem = method, problem
        self._way: Way = way or Inside(Guest(method, problem))

    @property
    def operator(self) -> Operator:
        """A0, for shapes and for data consistency."""
        return self.problem.operator

    @property
    def device(self) -> torch.device:
        """Where data consistency is computed; data may come from anywhere, images come back to the CPU."""
        return self.problem.operator.device

    def repeating(self, weights: str) -> Host:
        """Another host: the same network with the weights of this name, of which the last block is repeated."""
        return Host(self.method, self.problem, self._way.repeating(weights))

    def set_up(self, settings: Any, seed: int = 0, cached: bool = True) -> float:
        """Build the method with ``settings``, a field ``seed`` of which is set; the seconds that it took.

        ``cached=False``: as on a first use, what the method keeps in the cache is built again. Raises what the method
        raises, :class:`recon_bench.core.NotApplicable` where it cannot run.
        """
        return self._way.timed("set_up", _values(settings), seed, cached)[0]

    def set_up_untrained(self, settings: Any, seed: int = 0) -> None:
        """As :meth:`set_up`, a learned method with its first weights, to be trained, and without need of any others."""
        self._way.call("set_up_untrained", _values(settings), seed)

    def reconstruct(self, y: Tensor, operator: Named | None = None) -> list[Reconstruction]:
        """One reconstruction for each of the data ``y`` (batch, *range_shape), made as one batch.

        ``operator`` is what the method is told that measured them, that of its problem unless given. If the batch
        raises, one by one, so that only the guilty fail.
        """
        try:
            x, said, seen = self._way.call("reconstruct", y, operator)
        except Exception as error:  # a method may raise anything; the reason becomes its row
            failed = reason(error, self.device)
        else:
            return self._told(x, said, seen, len(y))
        if len(y) == 1:
            return [Reconstruction(error=failed)]
        return [self.reconstruct(each[None], operator)[0] for each in y]  # out here the memory of the batch is free

    def _told(self, x: Any, said: Sequence[str], seen: Sequence[str], count: int) -> list[Reconstruction]:
        """What a batch of ``count`` gave, with its warnings and what it did that it may not."""
        where = "" if count == 1 else f" (at least one of {count} images together)"
        notes = [*(f"{text}{where}" for text in said[-1:]), *(f"it {what}" for what in seen)]
        found = self._each(x, count, "; ".join(notes) or None)
        return [dataclasses.replace(each, seen=tuple(seen)) for each in found]

    def seconds(self, y: Tensor) -> tuple[float, list[Reconstruction]]:
        """Seconds of one call for the batch ``y`` (batch, *range_shape), and what it gave for each of the data.

        What the method's process computes on the way there and back, or waits for, counts as well, beyond what the
        bytes explain. Raises what the method raises, RuntimeError before :meth:`set_up`.
        """
        elapsed, (taken, computed, x) = clock.seconds(lambda: self._run(y), torch.device("cpu"))
        moved = y.nbytes + (x.nbytes if isinstance(x, Tensor) else 0)
        aside = max(computed, elapsed - taken) - SLACK - moved / SPEED
        return taken + max(0.0, aside), self._each(x, len(y))

    def _run(self, y: Tensor) -> tuple[float, float, Any]:
        """The seconds of a timed call, those that the method's process computed before and after it, and its answer."""
        busy = [self._way.busy()]
        self._way.call("take", y)
        busy.append(self._way.busy())
        taken, _ = self._way.timed("run")
        busy.append(self._way.busy())
        x = self._way.call("give")
        return taken, busy[1] - busy[0] + self._way.busy() - busy[2], x

    def changed_operator(self) -> list[str]:
        """Whether the method has changed its operator since this was first asked, in a few words."""
        return list(self._way.call("ask_operator"))

    def applications(self, y: Tensor, settings: Any, seed: int = 0) -> float:
        """Pairs (A, adjoint) that the reconstruction of ``y`` takes, on an operator of its own; one of either is half.

        0 where the method does not use our operator.
        """
        return float(self._way.call("applications", y, _values(settings), seed))

    def fixed_points(self, y: Tensor, effort: Effort, settings: Any, seed: int = 0) -> list[FixedPoint]:
        """The equilibria that the reconstruction of ``y`` (batch, *range_shape) looks for, one after the other, each
        with one of its own for each image; empty where the method looks for none.

        What is exact is found by the method with the same ``settings`` and the operator in float64.
        """
        return list(self._way.call("fixed_points", y, effort, _values(settings), seed))

    def gradient(self, y: Tensor, weight: Tensor) -> Tensor:
        """Gradient of Re <weight, f(y)> with respect to ``y`` (batch, *range_shape); ``weight`` (batch, *domain_shape).

        With the gradient of a scalar of the image as ``weight`` this is the gradient of that scalar. RuntimeError where
        the method is not differentiable.
        """
        return self._tensor("gradient", y, weight)

    def linearise(self, y: Tensor) -> Tensor:
        """The images f(y) (batch, *domain_shape), on the CPU; their graph is kept for the next :meth:`pull_back`.

        So one forward pass serves who must see the images to know of which scalar the gradient is wanted. RuntimeError
        where the method is not differentiable.
        """
        return self._tensor("linearise", y)

    def pull_back(self, weight: Tensor) -> Tensor:
        """As :meth:`gradient`, on the CPU, at the data of the last :meth:`linearise`, once for each of these.

        RuntimeError without it, or where the backward pass fails.
        """
        return self._tensor("pull_back", weight)

    def step(self, y: Tensor, weight: Tensor) -> Cost:
        """What :meth:`gradient` of the same ``y`` and ``weight`` costs: a forward and a backward pass."""
        return self._known("step", Cost, y, weight)

    def training_memory(self, y: Tensor, weight: Tensor) -> Footprint:
        """The memory of a training step, forward and backward, with ``weight`` (batch, *domain_shape) as the gradient
        of the loss with respect to the images: of an untrained network with respect to its parameters, else to ``y``.

        RuntimeError where the method is not differentiable.
        """
        return self._known("training_memory", Footprint, y, weight)

    def inference_memory(self, y: Tensor) -> Footprint:
        """The memory of one reconstruction of the batch ``y``."""
        return self._known("inference_memory", Footprint, y)

    def adapt(
        self, data: Measured, operator: Named, budget: Budget, reuse: Reuse | None = None
    ) -> tuple[float, Adapted]:
        """Fit the networks that a reconstruction calls to measurements of ``operator``; the seconds that it took once
        these were known, by the clock of this process, and what it did.

        With ``reuse`` through its iterations. What was fitted holds until the next :meth:`set_up`. RuntimeError where
        there is nothing to fit, or the method is not differentiable.
        """
        self._way.call("prepare", data, operator, reuse)
        taken, found = self._way.timed("adapt", budget)
        return taken, dataclasses.replace(found, trace={int(step): misfit for step, misfit in found.trace.items()})

    def _tensor(self, name: str, *args: Tensor) -> Tensor:
        return self._known(name, Tensor, *args)

    def _known(self, name: str, expected: type, *args: Tensor) -> Any:
        found = self._way.call(name, *args)
        if not isinstance(found, expected):
            raise TypeError(f"expected {expected.__name__} of {name}, got {type(found).__name__}")
        return found

    def _each(self, x: Any, count: int, note: str | None = None) -> list[Reconstruction]:
        """What a method gave for a batch, as one reconstruction each; of a wrong shape or type they are errors."""
        expected, dtype = (count, *self.operator.domain_shape), self.operator.dtype
        if not isinstance(x, Tensor) or tuple(x.shape) != expected:
            got = tuple(x.shape) if isinstance(x, Tensor) else x
            error = f"the reconstruction should be a tensor of shape {expected}, got {got}"
            return [Reconstruction(error=error)] * count
        if x.dtype != dtype:
            error = f"the reconstruction should be of type {_name(dtype)}, got {_name(x.dtype)}"
            return [Reconstruction(error=error)] * count
        return [checked(image, note, self.problem.data_range) for image in x]


def host(cell: Cell, size: int | None = None, operator: Named | None = None, weights: str = "") -> Host:
    """The method of a cell on the problem of its task, or on one that differs, see :func:`problem_of`; not set up yet.

    NotApplicable where the operator of the task is not known at other sizes.
    """
    if cell.home is not None:
        problem = problem_of(cell.task, torch.device("cpu"), size, operator, weights)
        return Host(cell.method, problem, cell.home(size, operator, weights))
    problem = problem_of(cell.task, cell.device, size, operator, weights)
    double, others = in_double(cell.task, cell.device), operators(cell.task, cell.device)
    return Host(cell.method, problem, Inside(Guest(cell.method, problem, double, others)))


def problem_of(
    task: Any, device: torch.device, size: int | None = None, operator: Named | None = None, weights: str = ""
) -> Problem:
    """The problem of a task, at another ``size`` of image, with another ``operator``, or with the name of another task,
    whose ``weights`` a method then takes, where these are given."""
    problem: Problem = task.problem(device)
    if operator is not None:
        problem = dataclasses.replace(problem, operator=operator.operator(task, device))
    problem = dataclasses.replace(problem, task=weights or problem.task)
    return problem if size is None else sizes.resized(problem, size)


def in_double(task: Any, device: torch.device) -> Callable[[], Operator]:
    """What makes the operator of a task in float64."""
    return partial(task.make_operator, device, torch.float64)


def reconstructed(
    method: Host, samples: Sequence[Sample], indices: Sequence[int], rules: Rules
) -> Iterator[tuple[int, Sample, Reconstruction]]:
    """Each index with its sample and its reconstruction, as many at a time as the rules allow."""
    size = rules.batch(torch.Size(method.operator.domain_shape).numel())
    for start in range(0, len(indices), size):
        part = indices[start : start + size]
        found = [samples[index] for index in part]
        yield from zip(part, found, method.reconstruct(torch.stack([sample.data for sample in found])))


def _values(settings: Any) -> Mapping[str, Any] | None:
    """Values of the fields of settings, by name."""
    if settings is None:
        return None
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
