"""A method where its code runs: on its problem, in the process that it lives in. :mod:`.host` is what others see of it.

What is asked of it and what it answers is plain data and tensors, so that both can cross from one process to another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from recon_bench import implicit, processes
from recon_bench.core import Method, NotConverged, Operator, Problem, Reconstructor
from recon_bench.fixed_point import Map
from recon_bench.repeating import repeating
from recon_bench.scoring import adaptation, clock, equilibria, footprint
from recon_bench.scoring.adaptation import Adapted, Budget, Measured, Reuse
from recon_bench.scoring.counting import Counting
from recon_bench.scoring.equilibria import Effort, FixedPoint
from recon_bench.scoring.footprint import Cost, Footprint
from recon_bench.scoring.manners import Answer, Shared
from recon_bench.scoring.named import Named

T = TypeVar("T")
Values = Mapping[str, Any] | None


class Guest:
    """A ``method`` on a ``problem``. It is set up first, as often as other settings are wanted; then it is asked.

    ``double`` makes the operator in float64, ``others`` other operators of the task.
    """

    def __init__(
        self,
        method: Method,
        problem: Problem,
        double: Callable[[], Operator] | None = None,
        others: Callable[[Named], Operator] | None = None,
    ) -> None:
        self.method, self.problem, self._double, self._others = method, problem, double, others
        self.device = problem.operator.device
        self._reconstruct: Reconstructor | None = None
        self._network: nn.Module | None = None
        self._graph: tuple[Tensor, Tensor] | None = None
        self._fit: Callable[[Budget], Adapted] | None = None
        self._answer: Answer | None = None
        self._data, self._before = torch.empty(0), Shared.now()
        self._made: Any = None
        self._seen = dict[str, None]()  # what it did that it may not, said with the next reconstruction

    def repeating(self, weights: str) -> Guest:
        """Another guest: the same network with these weights, of which the last block is repeated."""
        return Guest(repeating(self.method, weights), self.problem, self._double, self._others)

    def set_up(self, settings: Values, seed: int, cached: bool) -> None:
        """Build the method with these values of its settings. Raises what it raises."""
        made = self._settings(settings, seed)
        with contextlib.nullcontext() if cached else _empty_cache():
            reconstruct = self._watched(lambda: self.method.build(self.problem, made))
            clock.synchronise(self.device)
        if not callable(reconstruct):
            raise TypeError(f"expected a function of y and A from build, got {type(reconstruct).__name__}")
        self._reconstruct = reconstruct
        self._network = None

    def set_up_untrained(self, settings: Values, seed: int) -> None:
        """As :meth:`set_up`, a learned method with its first weights."""
        if self.method.network is None:
            self.set_up(settings, seed, cached=True)
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = self.method.network(self.problem, self._settings(settings, seed))
        made = made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = self._network = made.to(self.device)
        scale = self.problem.data_range
        self._reconstruct = lambda y, A: network(y / scale, A) * scale

    def reconstruct(self, y: Tensor, operator: Named | None = None) -> tuple[Any, list[str], list[str]]:
        """What it gives for the data ``y`` (batch, *range_shape), its warnings, and what it did that it may not."""
        A = self.problem.operator if operator is None else self._other(operator)
        data = y.to(self.device).clone()
        kept = data.clone()
        with warnings.catch_warnings(record=True) as caught, torch.no_grad():
            warnings.simplefilter("always", NotConverged)
            x = self._watched(lambda: self._built(data, A))
        if not torch.equal(data, kept):
            self._seen["changed the data"] = None
        seen, self._seen = list(self._seen), {}
        said = [str(w.message) for w in caught if issubclass(w.category, NotConverged)]
        return _out(x), said, seen

    def ask_operator(self) -> list[str]:
        """Whether the operator still says what it said when this was first asked."""
        if self._answer is None:
            self._answer = Answer(self.problem.operator)
        return self._answer.changed()

    def take(self, y: Tensor) -> None:
        """Have the data ``y`` (batch, *range_shape) ready for :meth:`run`."""
        self._data = y.to(self.device).clone()  # a method may work in place
        self._before = Shared.now()
        clock.synchronise(self.device)

    def run(self) -> None:
        """Reconstruct the data that were taken, until all that this queued on the device has run."""
        with _quietly(), torch.no_grad():
            self._made = self._built(self._data, self.problem.operator)
        clock.synchronise(self.device)

    def give(self) -> Any:
        """What :meth:`run` made."""
        self._seen |= dict.fromkeys(self._before.restored())
        made, self._made = self._made, None
        return _out(made)

    def applications(self, y: Tensor, settings: Values, seed: int) -> float:
        """Pairs (A, adjoint) that a reconstruction takes, on an operator of its own; one of either is half."""
        counting = Counting(self.problem.operator)
        told = dataclasses.replace(self.problem, operator=counting)
        reconstruct = self.method.build(told, self._settings(settings, seed))
        before = counting.pairs
        with _quietly(), torch.no_grad():
            reconstruct(y.to(self.device).clone(), counting)
        return counting.pairs - before

    def fixed_points(self, y: Tensor, effort: Effort, settings: Values, seed: int) -> list[FixedPoint]:
        """The equilibria that a reconstruction looks for; what is exact with these settings and in float64."""
        with _quietly(), torch.no_grad(), implicit.watched() as found:
            self._built(y.to(self.device).clone(), self.problem.operator)
        exact: Sequence[Map | str]
        try:
            exact = self._maps_in_double(y, settings, seed)
            if len(exact) != len(found):
                raise ValueError(f"expected {len(found)} equilibria in float64, as in float32, found {len(exact)}")
        except Exception as error:  # nobody has promised that a method works in another precision
            exact = [f"{type(error).__name__}: {error}"] * len(found)
        return [point for pair in zip(found, exact) for point in equilibria.examine(*pair, effort)]

    def _maps_in_double(self, y: Tensor, settings: Values, seed: int) -> list[Map]:
        if self._double is None:
            raise ValueError("expected an operator in float64, this problem has none")
        problem = dataclasses.replace(self.problem, operator=self._double())
        with _quietly():
            return equilibria.in_double(self.method, problem, self._settings(settings, seed), y)

    def gradient(self, y: Tensor, weight: Tensor) -> Tensor:
        """Gradient of Re <weight, f(y)> with respect to ``y``."""
        with _quietly():
            return self._pull(y, weight)

    def linearise(self, y: Tensor) -> Tensor:
        """The images f(y), on the CPU; their graph is kept for the next :meth:`pull_back`."""
        if self.device.type == "cpu":
            processes.keep_freed_memory()  # this is asked for many times, and never timed
        with _quietly():
            self._graph = self._followed(y)
        return self._graph[1].detach().cpu()

    def pull_back(self, weight: Tensor) -> Tensor:
        """As :meth:`gradient`, on the CPU, at the data of the last :meth:`linearise`, once for each of these."""
        if self._graph is None:
            raise RuntimeError("expected a graph to go back through: call linearise first")
        (data, x), self._graph = self._graph, None
        with _quietly():
            (gradient,) = torch.autograd.grad(x, data, weight.to(x))
        return gradient.cpu()

    def step(self, y: Tensor, weight: Tensor) -> Cost:
        """What :meth:`gradient` of the same ``y`` and ``weight`` costs."""
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with _quietly(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            taken, _ = clock.seconds(lambda: self._pull(y, weight), self.device)
        return Cost(taken, sum(kept.values()))

    def training_memory(self, y: Tensor, weight: Tensor) -> Footprint:
        """The memory of a training step with ``weight`` as the gradient of the loss with respect to the images."""
        weights = self._parameters()
        data = y.to(self.device).clone().requires_grad_(not weights)
        gradient = weight.to(self.device, self.problem.operator.dtype)
        if self._network is not None:
            self._network.train().zero_grad(set_to_none=True)

        def step() -> None:
            self._differentiable(self._built(data, self.problem.operator)).backward(gradient)

        with _quietly():
            return footprint.of(step, [data, gradient, *weights], self.device)

    def inference_memory(self, y: Tensor) -> Footprint:
        """The memory of one reconstruction of the batch ``y``."""
        data = y.to(self.device).clone()
        if self._network is not None:
            self._network.eval()
        with _quietly(), torch.no_grad():
            call = lambda: self._built(data, self.problem.operator)  # noqa: E731
            return footprint.of(call, [data, *self._parameters()], self.device)

    def prepare(self, data: Measured, operator: Named, reuse: Reuse | None) -> None:
        """Have the networks that a reconstruction calls ready to be fitted to measurements of ``operator``."""
        A0, A1 = self.problem.operator, self._other(operator)
        with _quietly():
            self._fit = adaptation.prepared(self._built, A0, A1, data.to(self.device), reuse)

    def adapt(self, budget: Budget) -> Adapted:
        """Fit what :meth:`prepare` has made ready, which is used up."""
        if self._fit is None:
            raise RuntimeError("expected networks that are ready to be fitted: call prepare first")
        fit, self._fit = self._fit, None
        with _quietly():
            return fit(budget)

    def _other(self, operator: Named) -> Operator:
        if self._others is None:
            raise ValueError("expected other operators of the task, this problem has none")
        return self._others(operator)

    def _settings(self, values: Values, seed: int) -> Any:
        """The settings with these values, and their ``seed`` field, where they have one, set to ``seed``."""
        settings = self.method.settings
        if settings is None:
            return None
        known = {field.name for field in dataclasses.fields(settings)}
        return dataclasses.replace(settings, **{**(values or {}), **({"seed": seed} if "seed" in known else {})})

    def _watched(self, call: Callable[[], T]) -> T:
        """What ``call()`` gives; what it did to the process is noted, and put back."""
        before = Shared.now()
        try:
            return call()
        finally:
            self._seen |= dict.fromkeys(before.restored())

    def _parameters(self) -> list[Tensor]:
        return [] if self._network is None else [*self._network.parameters(), *self._network.buffers()]

    def _differentiable(self, x: Tensor) -> Tensor:
        if not x.requires_grad:
            raise RuntimeError(f"{self.method.name} is not differentiable: its reconstruction has no gradient")
        return x

    def _followed(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The data and the images, between which autograd keeps the way."""
        data = y.to(self.device).clone().requires_grad_()
        return data, self._differentiable(self._built(data, self.problem.operator))

    def _pull(self, y: Tensor, weight: Tensor) -> Tensor:
        data, x = self._followed(y)
        (gradient,) = torch.autograd.grad(x, data, weight.to(x))
        return gradient

    def _built(self, y: Tensor, operator: Operator) -> Tensor:
        if self._reconstruct is None:
            raise RuntimeError("expected a method that was set up: call set_up first")
        return self._reconstruct(y, operator)


def _out(x: Any) -> Any:
    """An answer as it leaves: a tensor on the CPU, which may have been the method's own buffer, or what it is."""
    return x.detach().to("cpu", copy=True) if isinstance(x, Tensor) else type(x).__name__


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
