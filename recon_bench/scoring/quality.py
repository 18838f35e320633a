"""PSNR and SSIM of the test images under given settings: what measurements of many trainings share."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from recon_bench import weights
from recon_bench.core import Cell, NotApplicable, Record
from recon_bench.recipe import Recipe
from recon_bench.scoring import metrics, pictures
from recon_bench.scoring.reconstruct import reconstruct_each


def score(
    cell: Cell, settings: Any, done: Mapping[str, Record], at: Mapping[str, float] | None = None, seed: int = 0
) -> Iterator[Record]:
    """One record per test image with values ``psnr`` and ``ssim``, at ``at`` and ``seed``; none of ``done``."""
    task, count = cell.task, min(cell.rules.images, cell.task.sizes["test"])
    blank = [Record(sample=f"test-{index:04d}", at=at or {}, seed=seed) for index in range(count)]
    todo = [index for index, record in enumerate(blank) if record.key not in done]
    if not todo:
        return
    problem = task.problem(cell.device)
    size = cell.rules.batch(torch.Size(problem.operator.domain_shape).numel())
    reconstruct = cell.method.build(problem, settings)
    for start in range(0, len(todo), size):
        part = todo[start : start + size]
        samples = [task.observe("test", index) for index in part]
        outcomes = reconstruct_each(reconstruct, problem.operator, samples, cell.device)
        for index, sample, outcome in zip(part, samples, outcomes):
            if outcome.x is None:
                yield dataclasses.replace(blank[index], error=outcome.error)
                continue
            x, truth = pictures.magnitude(outcome.x[None]), pictures.magnitude(sample.truth[None])
            values = {
                "psnr": float(metrics.psnr(truth, x, task.data_range)),
                "ssim": float(metrics.ssim(truth, x, task.data_range, task.ssim)),
            }
            finite = {name: value for name, value in values.items() if math.isfinite(value)}
            yield dataclasses.replace(blank[index], values=finite, note=outcome.note)


def same_budgets(names: Sequence[str], but: str) -> None:
    """Raise :class:`NotApplicable` unless the weights of these ``names`` were trained alike, ``but`` for one thing."""
    cards = {name: weights.card(name) for name in names}
    budgets = {}
    for name, card in cards.items():
        recipe, before = dataclasses.asdict(Recipe(**card["recipe"])), weights.spent(card)["samples"] - card["samples"]
        budgets[name] = json.dumps([recipe, card["budget"], card["finished"], before])
    if len(set(budgets.values())) > 1:
        told = "; ".join(f"{name}: {budget}" for name, budget in budgets.items())
        raise NotApplicable(f"the trainings differ in more than their {but}: {told}")
