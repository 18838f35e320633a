"""Robustness: the worst that a small change of the data does to a reconstruction, with one budget for every method.

For the first test images and each level, relative to |y|, the worst perturbation that was found in the l2 ball, of
every method in as many steps of as many starts: by its own gradient where it has one, else half by queries and half by
surrogates, from the largest level down; then by queries and by surrogates alone at the level ``reported``: where these
beat the gradient, it is masked. Iterative solvers are differentiated through with the settings of the board; half of
the starts at an equilibrium follow its implicit gradient, half an unrolled one. Random noise of the same norm stands
beside it. Submitted perturbations (``scoring/submitted.py``) are tried as well and count where they are worse. A
perturbation whose image is not finite or has diverged has no error: such are counted in ``failed``, and where one is
all that was found the level says so. A point of its own seeks one perturbation for all images.

Accuracy stands beside stability, as a constant map is perfectly stable.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recon_bench.core import Sample
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.measurements.iterations import with_weights
from recon_bench.rules import BROKEN, LATE
from recon_bench.scoring import attack, pictures, probes, quality, submitted, targets
from recon_bench.scoring.answers import reason
from recon_bench.scoring.attack import Ask, Budget, Found, Objective
from recon_bench.scoring.clock import Deadline
from recon_bench.scoring.probes import Probe
from recon_bench.scoring.targets import Score, Target, Unusable, score

BESIDE = ("query", "transfer")  # what needs no gradient
SUBMITTED = "by_submitted"
STRIP = ("attack-0-before", "attack-1-perturbation", "attack-2-after")


@dataclass(frozen=True)
class Protocol:
    """``levels`` relative to |y|, of which summaries are about ``reported``; ``images``: test images at most; ``draws``
    of random noise; ``seeds`` of methods that draw random numbers; ``unrolled``: steps of an equilibrium's unrolled
    gradient; ``minutes`` for an image, at most three quarters of a cell's; ``part``: the side of the region of the
    localised attack, in sides of the image."""

    levels: tuple[float, ...] = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, submitted.LARGEST)
    reported: float = 0.02
    images: int = 10
    draws: int = 4
    seeds: tuple[int, ...] = (0, 1, 2)
    unrolled: int = 20
    minutes: float = 15.0
    part: float = 0.125
    budget: Budget = field(default_factory=Budget)


@dataclass
class Attempts:
    """What was tried at a level: the worst that each attack ``found``, by its name; ``steps``: the sum over sweeps of
    the mean of their starts; ``whole``: whether none was stopped by the deadline before it or at it.

    ``broken``: whether a submitted perturbation has no reconstruction.
    """

    found: dict[str, Found] = field(default_factory=dict)
    steps: float = 0
    whole: bool = True
    broken: bool = False

    @property
    def note(self) -> str | None:
        """What a reader of the level has to know."""
        return "; ".join([LATE] * (not self.whole) + [BROKEN] * self.broken) or None

    def add(self, name: str, found: Found, share: float) -> None:
        """Keep the worse, and count the steps of a ``share`` of the starts of a sweep."""
        self.steps += share * found.steps
        before = self.found.get(name)
        if before is None or found.errors.max() > before.errors.max():
            self.found[name] = found


PROTOCOL = Protocol()
QUICK = dataclasses.replace(PROTOCOL, levels=(0.0, 0.02), draws=2, budget=Budget(restarts=4, first=4, steps=2))


def protocol(cell: Cell) -> Protocol:
    """That of rules without tuning is only a look."""
    return PROTOCOL if cell.rules.tuning_evaluations else QUICK


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """One for each image, and one for the perturbation of all."""
    return [*({"image": index} for index in range(_count(cell))), {"universal": protocol(cell).reported}]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """For each image: a record for each level and a scalar one; for all together: one for each image.

    NotApplicable where the method cannot run; what fails on an image leaves the others.
    """
    cell = dataclasses.replace(cell, settings=with_weights(cell))
    target = targets.build(cell, PROTOCOL.seeds, PROTOCOL.unrolled, protocol(cell).budget.restarts)
    for at in [cell.at] if cell.at else points(cell):
        try:
            found = of_image(target, int(at["image"]), save) if "image" in at else universal(target)
            yield from (record for record in found if record.key not in done)
        except Exception as error:  # a method may raise anything; the other images go on
            why = str(error) if isinstance(error, Unusable) else reason(error, cell.device)
            yield Record(at=at, seed=cell.rules.seeds[0], error=why)


def of_image(target: Target, index: int, save: SavePicture) -> Iterator[Record]:
    """All about one test image; a level without a reconstruction has its reason."""
    cell, name, at = target.cell, pictures.name(index), {"image": float(index)}
    rules, seed, sample = protocol(cell), cell.rules.seeds[0], cell.task.samples("test")[index]
    clean = score(target, sample, sample.data)
    given, files = submitted.perturbations(cell.task, cell.method.name, sample.id)
    note = "; ".join(filter(None, [target.without, targets.unsteady(target, sample), *files])) or None
    yield Record(name, {**clean.values, "reached": 0.0}, {**at, "level": 0.0}, seed, note=note)
    deadline = _deadline(target)
    attempts = _attempts(target, sample, index, deadline)
    worst = (clean, torch.zeros_like(sample.data))
    for level in sorted(rules.levels)[1:]:
        place = {**at, "level": level}
        try:
            worst, values = _level(target, sample, level, attempts[level], given, 7 + index, worst)
        except Unusable as error:
            yield Record(name, {}, place, seed, error=str(error))
            continue
        if level == rules.reported:
            values |= _local(target, sample, level, deadline) | {"exact": targets.exact(target, sample, level)}
            yield Record(name, summary(values, clean, level), {}, seed, note=note)
            if index == 0:
                _strip(target, sample, clean, worst, level, save)
        yield Record(name, quality.finite(values), place, seed, note=attempts[level].note)


def summary(values: Mapping[str, float], clean: Score, level: float) -> dict[str, float]:
    """What stands on the board."""
    found = {"attacked": values["error"], "attacked_psnr": values["psnr"]}
    found["amplification"] = (values["error"] - clean.error) / level
    found["over_random"] = values["error"] / max(values["random"], 1e-30)
    return quality.finite(found)


def _attempts(target: Target, sample: Sample, index: int, deadline: Deadline) -> Mapping[float, Attempts]:
    """What was tried at each level: at every one by the gradient, or by queries and surrogates where there is none, and
    at the reported one by queries alone and by surrogates alone."""
    rules = protocol(target.cell)
    levels, starts = [level for level in rules.levels if level], rules.budget.restarts
    main = ("gradient",) if target.attacks["gradient"] else BESIDE
    beside = [((name,), [rules.reported], max(1, starts // 2)) for name in BESIDE]
    attempts = {level: Attempts() for level in levels}
    for number, (names, sought, count) in enumerate([(main, levels, starts), *beside]):
        groups = [(name, group) for name in names for group in target.attacks[name]]
        for place, (name, group) in enumerate(groups):
            share = max(1, count // len(names) // len(target.attacks[name]))
            budget = dataclasses.replace(rules.budget, restarts=share)
            ask = probes.asking(group, sample.data, Objective(sample.truth[None]))
            seed = 1000 * index + 10 * number + place
            for found in attack.sweep(ask, sample.data, sought, budget, seed, deadline):
                attempts[found.level].add(name, found, share / count)
                for level in sought if not found.whole else ():
                    attempts[level].whole &= level > found.level
    return attempts


def _level(
    target: Target,
    sample: Sample,
    level: float,
    attempts: Attempts,
    given: Sequence[Tensor],
    seed: int,
    before: tuple[Score, Tensor],
) -> tuple[tuple[Score, Tensor], dict[str, float]]:
    """The worst of the ``attempts``, of what was ``given``, of random noise drawn from ``seed`` and of the worst at the
    level below, as the method answers.

    Unusable where nothing was found.
    """
    found = attempts.found
    if not found:
        raise Unusable(LATE)
    if max(float(each.errors.max()) for each in found.values()) == -math.inf:
        raise Unusable(f"no perturbation of {100 * level:g} % has a reconstruction")
    size = float(torch.linalg.vector_norm(sample.data))
    candidates = [(f"by_{name}", each.perturbations[int(each.errors.argmax())]) for name, each in found.items()]
    candidates += [(SUBMITTED, attack.project(e[None], level * size)[0]) for e in given]
    values, worst = dict[str, float](), before
    for name, e in candidates:
        try:
            scored = score(target, sample, sample.data + e)
        except Unusable:
            if name != SUBMITTED:
                raise
            attempts.broken = True
            continue
        values[name] = max(scored.error, values.get(name, 0.0))
        worst = (scored, e) if scored.error > worst[0].error else worst
    values["random"], noise = targets.with_noise(target, sample, level, protocol(target.cell).draws, seed)
    worst = max(worst, (score(target, sample, sample.data + noise), noise), key=lambda each: each[0].error)
    leading = max(found.values(), key=lambda each: float(each.errors.max()))
    values |= {"gain": leading.gain, "failed": leading.failed, "blind": found.get("gradient", leading).blind}
    values["steps"] = attempts.steps
    return worst, {**values, **worst[0].values, "reached": float(torch.linalg.vector_norm(worst[1])) / size}


def _local(target: Target, sample: Sample, level: float, deadline: Deadline) -> dict[str, float]:
    """The error in a small region before and after an attack from one start that counts errors there alone."""
    rules = protocol(target.cell)
    objective = Objective(sample.truth[None], targets.region(sample.truth, rules.part))
    budget = dataclasses.replace(rules.budget, restarts=1, first=rules.budget.first // len(target.main))
    clean, worst = math.nan, 0.0
    for group in target.main:
        ask = probes.asking(group, sample.data, objective)
        clean = float(ask(torch.zeros_like(sample.data)[None])[0])
        (found,) = attack.sweep(ask, sample.data, [level], budget, 0, deadline)
        worst = max(worst, clean, float(found.errors.max()))
    return {"local_clean": clean, "local": worst}


def universal(target: Target) -> Iterator[Record]:
    """One direction for all images, each perturbed by the same part of its own |y|: the mean squared error counts."""
    rules, cell = protocol(target.cell), target.cell
    samples = [cell.task.samples("test")[index] for index in range(_count(cell))]
    level, deadline, start = rules.reported, _deadline(target), torch.zeros_like(samples[0].data)[None]
    steps = rules.budget.first // len(target.main)
    ascents = [
        attack.ascend(_together(group, samples), start, level, level, steps, rules.budget, deadline)
        for group in target.main
    ]
    found, whole = max(ascents, key=lambda each: float(each.errors.max())), all(each.whole for each in ascents)
    for index, sample in enumerate(samples):
        e = float(torch.linalg.vector_norm(sample.data)) * found.perturbations[0]
        at = {"universal": level, "image": float(index)}
        values = {"universal": score(target, sample, sample.data + e).error, "gain": found.gain}
        yield Record(sample.id, quality.finite(values), at, cell.rules.seeds[0], note=None if whole else LATE)


def _together(group: Sequence[Probe], samples: Sequence[Sample]) -> Ask:
    """What an attack on all ``samples`` by one perturbation, in units of each |y|, asks."""
    asks = [probes.asking(group, sample.data, Objective(sample.truth[None])) for sample in samples]
    sizes = [float(torch.linalg.vector_norm(sample.data)) for sample in samples]

    def ask(u: Tensor) -> tuple[Tensor, Tensor]:
        found = [each(size * u) for each, size in zip(asks, sizes)]
        squares = torch.stack([errors.square() for errors, _ in found])
        return squares.mean(0).sqrt(), torch.stack([size * g for (_, g), size in zip(found, sizes)]).sum(0)

    return ask


def _deadline(target: Target) -> Deadline:
    return Deadline(60 * min(PROTOCOL.minutes, 0.75 * target.cell.rules.cell_minutes))


def _strip(
    target: Target, sample: Sample, clean: Score, worst: tuple[Score, Tensor], level: float, save: SavePicture
) -> None:
    """Pictures before and after, and the perturbation in a window that depends on the data alone."""
    (scored, e), window = worst, target.cell.task.display
    spread = 3 * level * float(torch.linalg.vector_norm(sample.data)) / math.sqrt(sample.data.numel())
    shown = e.real if e.is_complex() else e
    panels = (
        (clean.x, window, f"{sample.id}, {clean.values['psnr']:.2f} dB"),
        (shown + spread, (0.0, 2 * spread), f"perturbation of {100 * level:g} %"),
        (scored.x, window, f"{sample.id} with it, {scored.values['psnr']:.2f} dB"),
    )
    for name, (image, shades, caption) in zip(STRIP, panels):
        save(name, pictures.grey(image, shades), caption)


def _count(cell: Cell) -> int:
    return min(protocol(cell).images, cell.rules.images, cell.task.sizes["test"])


MEASUREMENT = Measurement(
    name="robustness",
    version=1,
    title="Robustness: the worst of a small change of the data",
    metrics=(
        Metric("attacked", "Error under attack", "", "lower", 3),
        Metric("attacked_psnr", "PSNR under attack", "dB", "higher"),
        Metric("amplification", "Growth of the error per relative change of the data", "", "lower"),
        Metric("over_random", "Attack over random noise", "×", "lower"),
        Metric("error", "Relative error", "", "lower", 4),
        Metric("psnr", "PSNR", "dB", "higher"),
        Metric("misfit", "Data misfit", "", "lower", 4),
        Metric("random", "Relative error with random noise", "", "lower", 4),
        Metric("reached", "Size of the perturbation", "", "higher", 4),
        Metric("gain", "Gain of the last fifth of the steps", "", "lower", 4),
        Metric("blind", "Steps without a gradient", "", "lower", 3),
        Metric("failed", "Perturbations without a reconstruction", "", "lower", 3),
        Metric("steps", "Steps", "", "lower", 0),
        Metric("by_gradient", "Error by gradient", "", "lower", 4),
        Metric("by_query", "Error by queries", "", "lower", 4),
        Metric("by_transfer", "Error by surrogates", "", "lower", 4),
        Metric("by_submitted", "Error by submitted perturbations", "", "lower", 4),
        Metric("exact", "Exact worst error of a linear method", "", "lower", 4),
        Metric("local", "Error of a region under its own attack", "", "lower", 4),
        Metric("local_clean", "Error of that region", "", "lower", 4),
        Metric("universal", "Error under one perturbation for all", "", "lower", 4),
    ),
    measure=measure,
    protocol=PROTOCOL,
    points=points,
    hidden=("attacked_psnr", "amplification", "over_random"),
    confirm="accuracy",
)
