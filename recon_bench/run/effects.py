"""What perturbations that are submitted do to a method at each level of robustness."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from recon_bench.measurement import Cell
from recon_bench.measurements.iterations import with_weights
from recon_bench.measurements.robustness import PROTOCOL
from recon_bench.scoring import attack, targets
from recon_bench.scoring.targets import Target, Unusable, score
from recon_bench.task import Task

Effects = Mapping[str, Mapping[float, float]]  # error by image and level, at 0 of the data as they are


def images(task: Task) -> int:
    """How many test images are attacked, the first ones."""
    return min(PROTOCOL.images, task.sizes["test"])


def effects(cell: Cell, given: Mapping[str, Tensor]) -> Effects:
    """Those of the perturbations (*range_shape) that are ``given`` by image, as the measurement counts them: brought
    into the ball of each level, NaN where there is no reconstruction. Unusable where data without them have none."""
    target = targets.plain(dataclasses.replace(cell, settings=with_weights(cell)), PROTOCOL.seeds)
    return {name: _of_image(target, name, e) for name, e in given.items()}


def _of_image(target: Target, name: str, e: Tensor) -> dict[float, float]:
    sample = target.cell.task.observe("test", int(name.removeprefix("test-")))
    size, found = float(torch.linalg.vector_norm(sample.data)), dict[float, float]()
    for level in PROTOCOL.levels:
        inside = attack.project(e[None], level * size)[0] if level else torch.zeros_like(e)
        try:
            found[level] = score(target, sample, sample.data + inside).error
        except Unusable:
            if not level:
                raise
            found[level] = math.nan
    return found
