"""The ways in which one network meets one other operator: naively, adapted by measurements alone, and the two ends."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recon_bench.core import Noise, NotApplicable, Operator, Sample
from recon_bench.measurement import Cell
from recon_bench.scoring import adaptation, clock, identify, metrics, shifted
from recon_bench.scoring.adaptation import Adapted, Budget, Measured, Reuse
from recon_bench.scoring.answers import Reconstruction, checked
from recon_bench.scoring.host import Host
from recon_bench.scoring.identify import Estimate, Search
from recon_bench.scoring.named import Named, operators
from recon_bench.task import Shift

MIB = 2**20


@dataclass(frozen=True)
class Plan:
    """``measurements`` of A1 to fit and ``held`` out ones; ``images``: test images at most, of which the first
    ``single`` are adapted to alone; ``left_out``: the part of data that is left out of a sum to tell how good the rest
    is; ``weights`` are tried in reuse and regularise, of which fitting goes ``through`` so many iterations."""

    measurements: int = 6
    held: int = 2
    images: int = 10
    single: int = 2
    left_out: float = 0.1
    weights: tuple[float, ...] = (0.01, 0.1, 1.0)
    through: int = 3
    budget: Budget = field(default_factory=Budget)
    reuse: Reuse = field(default_factory=Reuse)
    search: Search = field(default_factory=Search)


@dataclass(frozen=True)
class Trial:
    """One network and one shift.

    ``told``: the operator that adaptation is told, A1 or, of an unknown parameter, that of the value ``found``; ``A``
    is what it does, on this side. ``start``: the operator that the network is set up for. ``own`` and ``samples``: test
    images with data of A0 and of A1.
    """

    cell: Cell
    shift: Shift
    rules: Plan
    measured: Measured
    told: Named
    A: Operator
    start: Named
    found: Estimate | None
    own: Sequence[Sample]
    samples: Sequence[Sample]

    @property
    def y(self) -> Tensor:
        """The test data of A1 (images, *range_shape)."""
        return torch.stack([sample.data for sample in self.samples])

    @property
    def kept(self) -> Tensor:
        """1 where held-out data are kept from reuse and regularise, to judge it, and 0 elsewhere (*range_shape)."""
        return _left_out(self.rules, self.measured.held[0], 0)

    def host(self, operator: Named | None = None, weights: str = "") -> Host:
        """The network as of :func:`.shifted.told`."""
        return shifted.told(self.cell, operator, weights)


@dataclass(frozen=True)
class Outcome:
    """What a way gave for the first test images, with what it cost and the held-out misfit by step."""

    images: Sequence[Reconstruction]
    values: Mapping[str, float] = field(default_factory=dict)
    trace: Mapping[int, float] = field(default_factory=dict)
    note: str | None = None


def begin(cell: Cell, unmoved: Host, shift: Shift, rules: Plan) -> Trial:
    """Measure, find the parameter if there is one, with the method that is set up for A0, ``unmoved``, and choose what
    the network is set up for."""
    task = cell.task.shifted(shift)
    number = min(rules.measurements + rules.held, task.sizes["validation"])
    free = torch.stack([task.observe("validation", index).data for index in range(number)])
    held = free[-rules.held :]
    measured = Measured(free[: -rules.held], held, _noise(task.noise, held))
    found = sought(unmoved, cell, shift, measured.held, rules.search)
    told = shifted.chosen(shift, found)
    A = operators(cell.task, unmoved.device)(told)
    start = min((Named(), told), key=lambda each: held_out(shifted.told(cell, each), told, A, measured.held))
    own, samples = (shifted.observed(cell, each, rules.images) for each in (None, shift))
    return Trial(cell, shift, rules, measured, told, A, start, found, own, samples)


def _noise(noise: Noise, y: Tensor, kept: Tensor | None = None) -> float:
    """The misfit that the noise of data ``y`` (batch, *range_shape) alone leaves, where they are ``kept`` if given; 0
    of an unknown kind of noise."""
    expected = metrics.noise_norm(noise, y, y.ndim - 1)
    if expected is None:
        return 0.0
    part, counted = (1.0, y) if kept is None else (math.sqrt(float(kept.mean())), kept * y)
    return float((part * expected / torch.linalg.vector_norm(counted.flatten(1), dim=1)).mean())


def _left_out(rules: Plan, y: Tensor, seed: int) -> Tensor:
    """1 where data ``y`` (*range_shape) are left out of a sum and 0 elsewhere, at random."""
    return (torch.rand(y.shape, generator=torch.Generator().manual_seed(seed)) < rules.left_out).float()


def sought(method: Host, cell: Cell, shift: Shift, held: Tensor, rules: Search) -> Estimate | None:
    """The parameter with which the images of a method explain data best; None where A1 has none that is unknown."""
    if shift.parameter is None:
        return None
    made: Callable[[Named], Operator] = operators(cell.task, method.device)

    def misfit(value: float) -> float:
        told = Named(shift.name, value)
        return held_out(method, told, made(told), held)

    return identify.estimate(misfit, shift.parameter.low, shift.parameter.high, rules)


def images(found: Sequence[Reconstruction]) -> Tensor:
    """Reconstructions as one batch; RuntimeError with the reason where one failed."""
    for each in found:
        if each.x is None:
            raise RuntimeError(each.error)
    return torch.stack([each.x for each in found if each.x is not None])


def held_out(method: Host, told: Named, A: Operator, y: Tensor) -> float:
    """The mean misfit of the method's images of data ``y`` of A, of which it is ``told``; infinite without images."""
    found = method.reconstruct(y, told)
    if any(each.x is None for each in found):
        return math.inf
    return identify.relative(A(images(found).to(A.device, A.dtype)).cpu(), y)


def home(trial: Trial) -> Outcome:
    """A0 in the data and in the network."""
    return Outcome(trial.host().reconstruct(torch.stack([sample.data for sample in trial.own])))


def ignorant(trial: Trial) -> Outcome:
    """A1 in the data, A0 in the network."""
    method = trial.host()
    return Outcome(method.reconstruct(trial.shift.mapped(trial.y), shifted.assumed(trial.shift)))


def naive(trial: Trial) -> Outcome:
    """A1 put into the network, and nothing else."""
    method = trial.host(trial.start)
    values = {"held": held_out(method, trial.told, trial.A, trial.measured.held)}
    known, note = shifted.known(trial.shift, trial.found)
    return Outcome(method.reconstruct(trial.y, trial.told), values | known, note=note)


def fitted(trial: Trial) -> Outcome:
    """Parametrise and perturb on a set of measurements; then, where a parameter of A1 is unknown, that in its turn.

    The value that the fitted network finds is taken if held-out measurements are explained better with it.
    """
    method, held = trial.host(trial.start), trial.measured.held
    seconds, adapted = method.adapt(trial.measured, trial.told, trial.rules.budget)
    found = sought(method, trial.cell, trial.shift, held, trial.rules.search)
    told, values = trial.told, cost(seconds, adapted)
    if found is not None:
        other = shifted.chosen(trial.shift, found)
        misfit = held_out(method, other, operators(trial.cell.task, method.device)(other), held)
        if misfit < values["held"]:
            told, values["held"] = other, misfit
        else:
            found = trial.found
    known, note = shifted.known(trial.shift, found)
    notes = "; ".join(filter(None, [adapted.note, note])) or None
    return Outcome(method.reconstruct(trial.y, told), values | known, adapted.trace, notes)


def alone(trial: Trial) -> Outcome:
    """Parametrise and perturb on the data of each of the first images; the cost is that of the last of them."""
    found, last = list[Reconstruction](), Outcome([])
    for index, sample in enumerate(trial.samples[: trial.rules.single]):
        kept = _left_out(trial.rules, sample.data, index)
        y, method = sample.data[None], trial.host(trial.start)
        data = Measured(y, y, _noise(trial.cell.task.noise, y, kept), 1 - kept, kept)
        seconds, adapted = method.adapt(data, trial.told, trial.rules.budget)
        found += method.reconstruct(y, trial.told)
        last = Outcome([], cost(seconds, adapted), adapted.trace, adapted.note)
    return dataclasses.replace(last, images=found)


def cost(seconds: float, adapted: Adapted) -> dict[str, float]:
    """What an adaptation took, and what it came to."""
    return {
        "seconds": seconds,
        "mib": adapted.peak / MIB,
        "steps": float(max(adapted.trace)),
        "held": adapted.least,
    }


def reusing(trial: Trial, method: Host, y: Tensor, rules: Reuse, seen: Tensor | None = None) -> Tensor:
    """Images of data ``y``, of those that are ``seen``, by reuse and regularise, on the CPU."""
    data = y.to(trial.A.device, trial.A.dtype)

    def clean(d: Tensor) -> Tensor:
        return images(method.reconstruct(d)).to(data.device)

    shown = None if seen is None else seen.to(data.device)
    return adaptation.reusing(clean, method.operator, trial.A, data, rules, shown).cpu()


def weighted(trial: Trial, method: Host, iterations: int) -> tuple[Reuse, float]:
    """Reuse in so many ``iterations`` with the weight that best explains a part of held-out data that it has not seen,
    and that misfit, infinite without images."""
    held, kept = trial.measured.held, trial.kept

    def misfit(rules: Reuse) -> float:
        try:
            x = reusing(trial, method, held, rules, 1 - kept)
        except RuntimeError:  # one of its images failed
            return math.inf
        found = identify.relative(kept * trial.A(x.to(trial.A.device)).cpu(), kept * held)
        return found if math.isfinite(found) else math.inf

    rules = dataclasses.replace(trial.rules.reuse, iterations=iterations)
    tried = [dataclasses.replace(rules, weight=weight) for weight in trial.rules.weights]
    return min(((each, misfit(each)) for each in tried), key=lambda found: found[1])


def reused(trial: Trial) -> Outcome:
    """Reuse and regularise."""
    method = trial.host()
    rules, misfit = weighted(trial, method, trial.rules.reuse.iterations)
    seconds, x = clock.seconds(lambda: reusing(trial, method, trial.y, rules), trial.A.device)
    values = {"held": misfit, "weight": rules.weight, "seconds": seconds / len(x)}
    return Outcome(_checked(trial, x), values)


def refitted(trial: Trial) -> Outcome:
    """Parameters fitted through a few iterations of reuse and regularise, and as many with these."""
    method, (y, held) = trial.host(), (trial.measured.y, trial.measured.held)
    rules, _ = weighted(trial, method, trial.rules.through)
    kept = trial.kept
    data = Measured(y, held, _noise(trial.cell.task.noise, held, kept), kept=kept)
    seconds, adapted = method.adapt(data, trial.told, trial.rules.budget, rules)
    x = reusing(trial, method, trial.y, rules)
    values = cost(seconds, adapted) | {"weight": rules.weight}
    return Outcome(_checked(trial, x), values, adapted.trace, adapted.note)


def _checked(trial: Trial, x: Tensor) -> list[Reconstruction]:
    return [checked(image, None, trial.cell.task.data_range) for image in x]


def oracle(trial: Trial) -> Outcome:
    """The network that was trained on A1."""
    if not trial.shift.oracle:
        raise NotApplicable("no network was trained on A1")
    return Outcome(trial.host(Named(trial.shift.name), trial.shift.oracle).reconstruct(trial.y))


WAYS = {way.__name__: way for way in (home, ignorant, naive, fitted, alone, reused, refitted, oracle)}
