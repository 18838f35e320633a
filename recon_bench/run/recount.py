"""What submitted perturbations do to a method at each level of robustness, without its attack being made anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recon_bench.measurement import Cell
from recon_bench.measurements.iterations import with_weights
from recon_bench.measurements.robustness import PROTOCOL
from recon_bench.scoring import attack, targets
from recon_bench.scoring.targets import Target, Unusable, score
from recon_bench.task import Task

SAME = 1e-6  # relative: by so little an error differs between machines


@dataclass(frozen=True)
class Effect:
    """What was submitted about an image, at a level: the error ``by`` the worst of it, none without a reconstruction.

    ``values``, with the size ``reached`` relative to |y|, are of the worst at this level and below, which is in the
    ball as well. ``broken``: whether one has no reconstruction.
    """

    by: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    broken: bool = False

    def worse_than(self, error: float) -> bool:
        """Whether it makes the error larger than it was."""
        return self.values.get("error", 0.0) > error * (1 + SAME)


Effects = Mapping[str, Mapping[float, Effect]]  # by image and level; at 0 stands the error of the data as they are


def images(task: Task) -> int:
    """How many test images are attacked, the first ones."""
    return min(PROTOCOL.images, task.sizes["test"])


def levels() -> tuple[float, ...]:
    """Those at which perturbations are counted."""
    return tuple(level for level in PROTOCOL.levels if level)


def effects(cell: Cell, given: Mapping[str, Sequence[Tensor]]) -> Effects:
    """Those of the perturbations that are ``given`` by image. Unusable where data without them have no image."""
    target = targets.plain(dataclasses.replace(cell, settings=with_weights(cell)), PROTOCOL.seeds)
    return {name: _of_image(target, name, each) for name, each in given.items()}


def _of_image(target: Target, name: str, given: Sequence[Tensor]) -> dict[float, Effect]:
    sample = target.cell.task.observe("test", int(name.removeprefix("test-")))
    size = float(torch.linalg.vector_norm(sample.data))
    clean = score(target, sample, sample.data)
    found, worst = {0.0: Effect(clean.error, clean.values)}, dict[str, float]()
    for level in levels():
        errors, broken = list[float](), False
        for e in (attack.project(each[None], level * size)[0] for each in given):
            try:
                scored = score(target, sample, sample.data + e)
            except Unusable:
                broken = True
                continue
            errors.append(scored.error)
            if scored.error > worst.get("error", 0.0):
                worst = {**scored.values, "reached": float(torch.linalg.vector_norm(e)) / size}
        found[level] = Effect(max(errors, default=None), worst, broken)
    return found
