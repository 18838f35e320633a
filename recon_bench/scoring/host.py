"""Where a method lives while it is measured, and the only way to it: data go in, reconstructions and costs come out.

A measurement keeps the truth, the score and the record; :class:`Host` keeps the problem and the method. Only tensors
and plain data cross, so that a method may live in a process of its own without a change to any measurement.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recon_bench import implicit
from recon_bench.core import Method, NotConverged, Operator, Problem, Reconstructor, Sample
from recon_bench.measurement import Cell
from recon_bench.rules import Rules
from recon_bench.scoring import adaptation, clock, equilibria, footprint
from recon_bench.scoring.adaptation import Adapted, Budget, Measured, Reuse
from recon_bench.scoring.equilibria import Effort, FixedPoint
from recon_bench.scoring.footprint import Footprint


@dataclass(frozen=True)
class Reconstruction:
    """An image ``x`` (*domain_shape) on the CPU, or the ``error`` that it ended in; ``note`` warns."""

    x: Tensor | None = None
    error: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Cost:
    """What forward and backward through a reconstruction cost.

    ``seconds`` for both; ``saved_bytes`` that autograd keeps from one for the other, each storage counted once.
    """

    seconds: float
    saved_bytes: int


class Host:
    """A ``method`` on a ``problem``. It is set up first, as often as other settings are wanted; then it is asked."""

    def __init__(self, method: Method, problem: Problem) -> None:
        self.method, self.problem = method, problem
        self._reconstruct: Reconstructor | None = None
        self._network: nn.Module | None = None
        self._graph: tuple[Tensor, Tensor] | None = None

    @property
    def operator(self) -> Operator:
        """A0, for shapes and for data consistency."""
        return self.problem.operator

    @property
    def device(self) -> torch.device:
        """Where the method computes; data may come from anywhere, images come back to the CPU."""
        return self.problem.operator.device

    def set_up(self, settings: Any, seed: int = 0, cached: bool = True) -> float:
        """Build the method with ``settings``, a field ``seed`` of which is set; the seconds that it took.

        ``cached=False``: as on a first use, what the method keeps in the cache is built again. Raises what the method
        raises, :class:`recon_bench.core.NotApplicable` where it cannot run.
        """
        settings = _seeded(settings, seed)
        with contextlib.nullcontext() if cached else _empty_cache():
            taken, self._reconstruct = clock.seconds(lambda: self.method.build(self.problem, settings), self.device)
        self._network = None
        return taken

    def set_up_untrained(self, settings: Any, seed: int = 0) -> None:
        """As :meth:`set_up`, a learned method with its first weights, to be trained, and without need of any others."""
        if self.method.network is None:
            self.set_up(settings, seed)
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = self.method.network(self.problem, _seeded(settings, seed))
        made = made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = self._network = made.to(self.device)
        scale = self.problem.data_range
        self._reconstruct = lambda y, A: network(y / scale, A) * scale

    def reconstruct(self, y: Tensor, operator: Operator | None = None) -> list[Reconstruction]:
        """One reconstruction for each of the data ``y`` (batch, *range_shape), made as one batch.

        ``operator`` is what the method is told that measured them, A0 unless given. If the batch raises, one by one, so
        that only the guilty fail.
        """
        try:
            return self._batch(y, operator or self.operator)
        except Exception as error:  # a method may raise anything; the reason becomes its row
            if len(y) == 1:
                return [Reconstruction(error=reason(error, self.device))]
        return [self.reconstruct(each[None], operator)[0] for each in y]

    def seconds(self, y: Tensor) -> tuple[float, list[Reconstruction]]:
        """Seconds of one call for the batch ``y`` (batch, *range_shape), and what it gave for each of the data.

        Raises what the method raises, RuntimeError before :meth:`set_up`.
        """
        data = y.to(self.device).clone()  # a method may work in place
        with _quietly(), torch.no_grad():
            taken, x = clock.seconds(lambda: self._built(data, self.operator), self.device)
        return taken, _each(x, (len(y), *self.operator.domain_shape))

    def applications(self, y: Tensor, settings: Any, seed: int = 0) -> float:
        """Pairs (A, adjoint) that the reconstruction of ``y`` takes, on an operator of its own; one of either is half.

        0 where the method does not use our operator.
        """
        counting = Counting(self.operator)
        told = dataclasses.replace(self.problem, operator=counting)
        reconstruct = self.method.build(told, _seeded(settings, seed))
        before = counting.pairs
        with _quietly(), torch.no_grad():
            reconstruct(y.to(self.device).clone(), counting)
        return counting.pairs - before

    def fixed_points(self, y: Tensor, effort: Effort) -> list[FixedPoint]:
        """The equilibria that the reconstruction of ``y`` (batch, *range_shape) looks for, one after the other, each
        with one of its own for each image; empty where the method looks for none.
        """
        with _quietly(), torch.no_grad(), implicit.watched() as found:
            self._built(y.to(self.device).clone(), self.operator)
        return [point for each in found for point in equilibria.examine(each, effort)]

    def gradient(self, y: Tensor, weight: Tensor) -> Tensor:
        """Gradient of Re <weight, f(y)> with respect to ``y`` (batch, *range_shape); ``weight`` (batch, *domain_shape).

        With the gradient of a scalar of the image as ``weight`` this is the gradient of that scalar. RuntimeError where
        the method is not differentiable.
        """
        with _quietly():
            return self._pull(y, weight)

    def linearise(self, y: Tensor) -> Tensor:
        """The images f(y) (batch, *domain_shape), on the CPU; their graph is kept for the next :meth:`pull_back`.

        So one forward pass serves who must see the images to know of which scalar the gradient is wanted. RuntimeError
        where the method is not differentiable.
        """
        with _quietly():
            self._graph = self._followed(y)
        return self._graph[1].detach().cpu()

    def pull_back(self, weight: Tensor) -> Tensor:
        """As :meth:`gradient`, on the CPU, at the data of the last :meth:`linearise`, once for each of these.

        RuntimeError without it, or where the backward pass fails.
        """
        if self._graph is None:
            raise RuntimeError("expected a graph to go back through: call linearise first")
        (data, x), self._graph = self._graph, None
        with _quietly():
            (gradient,) = torch.autograd.grad(x, data, weight.to(x))
        return gradient.cpu()

    def step(self, y: Tensor, weight: Tensor) -> Cost:
        """What :meth:`gradient` of the same ``y`` and ``weight`` costs: a forward and a backward pass."""
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with _quietly(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            taken, _ = clock.seconds(lambda: self._pull(y, weight), self.device)
        return Cost(taken, sum(kept.values()))

    def training_memory(self, y: Tensor, weight: Tensor) -> Footprint:
        """The memory of a training step, forward and backward, with ``weight`` (batch, *domain_shape) as the gradient
        of the loss with respect to the images: of an untrained network with respect to its parameters, else to ``y``.

        RuntimeError where the method is not differentiable.
        """
        weights = self._parameters()
        data = y.to(self.device).clone().requires_grad_(not weights)
        gradient = weight.to(self.device, self.operator.dtype)
        if self._network is not None:
            self._network.train().zero_grad(set_to_none=True)

        def step() -> None:
            self._differentiable(self._built(data, self.operator)).backward(gradient)

        with _quietly():
            return footprint.of(step, [data, gradient, *weights], self.device)

    def inference_memory(self, y: Tensor) -> Footprint:
        """The memory of one reconstruction of the batch ``y``."""
        data = y.to(self.device).clone()
        if self._network is not None:
            self._network.eval()
        with _quietly(), torch.no_grad():
            call = lambda: self._built(data, self.operator)  # noqa: E731
            return footprint.of(call, [data, *self._parameters()], self.device)

    def adapt(
        self, data: Measured, operator: Operator, budget: Budget, reuse: Reuse | None = None
    ) -> tuple[float, Adapted]:
        """Fit the networks that a reconstruction calls to measurements of ``operator``; the seconds, and what it did.

        With ``reuse`` through its iterations. What was fitted holds until the next :meth:`set_up`. RuntimeError where
        there is nothing to fit, or the method is not differentiable.
        """

        def f(y: Tensor) -> Tensor:
            if reuse is None:
                return self._built(y, operator)
            return adaptation.reuse(lambda d: self._built(d, self.operator), self.operator, operator, y, reuse)

        data = data.to(self.device)
        with _quietly():
            with torch.no_grad(), adaptation.called() as modules:
                f(data.held[:1].clone())
            if not (weights := adaptation.parameters(modules)):
                raise RuntimeError(f"{self.method.name} calls no network whose parameters could be fitted")
            return clock.seconds(lambda: adaptation.fit(f, weights, operator, data, budget), self.device)

    def _parameters(self) -> list[Tensor]:
        return [] if self._network is None else [*self._network.parameters(), *self._network.buffers()]

    def _differentiable(self, x: Tensor) -> Tensor:
        if not x.requires_grad:
            raise RuntimeError(f"{self.method.name} is not differentiable: its reconstruction has no gradient")
        return x

    def _followed(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The data and the images, between which autograd keeps the way."""
        data = y.to(self.device).clone().requires_grad_()
        return data, self._differentiable(self._built(data, self.operator))

    def _pull(self, y: Tensor, weight: Tensor) -> Tensor:
        data, x = self._followed(y)
        (gradient,) = torch.autograd.grad(x, data, weight.to(x))
        return gradient

    def _built(self, y: Tensor, operator: Operator) -> Tensor:
        if self._reconstruct is None:
            raise RuntimeError("expected a method that was set up: call set_up first")
        return self._reconstruct(y, operator)

    def _batch(self, y: Tensor, operator: Operator) -> list[Reconstruction]:
        with warnings.catch_warnings(record=True) as caught, torch.no_grad():
            warnings.simplefilter("always", NotConverged)
            x = self._built(y.to(self.device).clone(), operator)
        where = "" if len(y) == 1 else f" (at least one of {len(y)} images together)"
        notes = [f"{w.message}{where}" for w in caught if issubclass(w.category, NotConverged)]
        return _each(x, (len(y), *operator.domain_shape), notes[-1] if notes else None)


def host(cell: Cell) -> Host:
    """The method of a cell on the problem of its task, not set up yet."""
    return Host(cell.method, cell.task.problem(cell.device))


def reconstructed(
    method: Host, samples: Sequence[Sample], indices: Sequence[int], rules: Rules
) -> Iterator[tuple[int, Sample, Reconstruction]]:
    """Each index with its sample and its reconstruction, as many at a time as the rules allow."""
    size = rules.batch(torch.Size(method.operator.domain_shape).numel())
    for start in range(0, len(indices), size):
        part = indices[start : start + size]
        found = [samples[index] for index in part]
        yield from zip(part, found, method.reconstruct(torch.stack([sample.data for sample in found])))


def _each(x: Any, expected: tuple[int, ...], note: str | None = None) -> list[Reconstruction]:
    """What a method gave for a batch, as one reconstruction each; of a wrong shape they are errors."""
    if not isinstance(x, Tensor) or tuple(x.shape) != expected:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        error = f"the reconstruction should be a tensor of shape {expected}, got {got}"
        return [Reconstruction(error=error)] * expected[0]
    return [_checked(image, note) for image in x.detach().to("cpu", copy=True)]  # it may be the method's own buffer


def _checked(image: Tensor, note: str | None) -> Reconstruction:
    bad = int((~torch.isfinite(torch.view_as_real(image) if image.is_complex() else image)).sum())
    if bad:
        return Reconstruction(error=f"the reconstruction has {bad} values that are NaN or infinite")
    return Reconstruction(x=image, note=note)


def reason(error: Exception, device: torch.device) -> str:
    """Why a method failed, for its row."""
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)  # torch has no class for it
    if on_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError):
        return f"out of memory on {device}: {error}"
    return f"{type(error).__name__}: {error}"


def _seeded(settings: Any, seed: int) -> Any:
    """The settings with their ``seed`` field, where they have one, set to ``seed``."""
    fields = {field.name for field in dataclasses.fields(settings)} if settings is not None else set()
    return dataclasses.replace(settings, seed=seed) if "seed" in fields else settings


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings of :class:`NotConverged`, which the reconstruction that is scored has given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)
        yield


@contextlib.contextmanager
def _empty_cache() -> Iterator[None]:
    before = os.environ.get("RECON_BENCH_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RECON_BENCH_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["RECON_BENCH_CACHE"]
            if before is not None:
                os.environ["RECON_BENCH_CACHE"] = before


@dataclass
class Counting:
    """An operator that counts its applications; everything else is the operator's own.

    ``weight`` is the part of the whole that one application is: the parts of ``split(n)`` weigh 1/n.
    """

    operator: Any
    weight: float = 1.0
    tally: list[float] = dataclasses.field(default_factory=lambda: [0.0])

    def __call__(self, x: Tensor) -> Tensor:
        """Images ``(..., *domain_shape)`` to data ``(..., *range_shape)``, which counts as half a pair."""
        self.tally[0] += self.weight / 2
        return self.operator(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Data ``(..., *range_shape)`` to images ``(..., *domain_shape)``, which counts as half a pair."""
        self.tally[0] += self.weight / 2
        return self.operator.adjoint(y)

    def __getattr__(self, name: str) -> Any:
        if name == "operator":  # not set yet, as while unpickling
            raise AttributeError(name)
        value = getattr(self.operator, name)
        if name == "split":  # of operators that can be
            return lambda n: [Counting(part, self.weight / n, self.tally) for part in value(n)]
        return value

    @property
    def pairs(self) -> float:
        """Applications of the pair (A, adjoint) so far; one of either counts half."""
        return self.tally[0]
