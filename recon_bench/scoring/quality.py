"""Quality of reconstructions: PSNR and misfit, and PSNR and SSIM of the test images as many measurements need them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recon_bench import weights
from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell, Record
from recon_bench.recipe import Recipe
from recon_bench.scoring import metrics
from recon_bench.scoring.host import Host, host, reconstructed
from recon_bench.task import Task


def score(
    cell: Cell, settings: Any, done: Mapping[str, Record], at: Mapping[str, float] | None = None, seed: int = 0
) -> Iterator[Record]:
    """One record per test image with values ``psnr`` and ``ssim``, at ``at`` and ``seed``; none of ``done``.

    Raises what the method's ``build`` raises; an image that fails is a record with its error.
    """
    test, count = cell.task.samples("test"), min(cell.rules.images, cell.task.sizes["test"])
    blank = [Record(sample=f"test-{index:04d}", at=at or {}, seed=seed) for index in range(count)]
    todo = [index for index, record in enumerate(blank) if record.key not in done]
    if not todo:
        return
    method = host(cell)
    method.set_up(settings, seed)
    for index, sample, found in reconstructed(method, test, todo, cell.rules):
        if found.x is None:
            yield dataclasses.replace(blank[index], error=found.error)
            continue
        values = similarity(cell.task, sample.truth, found.x)
        yield dataclasses.replace(blank[index], values=finite(values), note=found.note)


def similarity(task: Task, truth: Tensor, x: Tensor) -> dict[str, float]:
    """``psnr`` in dB and ``ssim`` of one image ``x`` (*domain_shape), compared by magnitude, as the task wants them."""
    both = metrics.magnitude(truth[None]), metrics.magnitude(x[None])
    return {"psnr": psnr(task, truth, x), "ssim": float(metrics.ssim(*both, task.data_range, task.ssim))}


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Those that a record can hold."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def psnr(task: Task, truth: Tensor, x: Tensor) -> float:
    """PSNR in dB of one image ``x`` (*domain_shape), compared by magnitude, in the task's data range."""
    return float(metrics.psnr(metrics.magnitude(truth), metrics.magnitude(x), task.data_range))


def misfit(method: Host, x: Tensor, y: Tensor) -> float:
    """|A x - y| / |y| of an image (*domain_shape) and data (*range_shape), both on the CPU."""
    operator = method.operator
    missed = operator(x.to(operator.device, operator.dtype)[None])[0].cpu() - y
    return float(torch.linalg.vector_norm(missed) / torch.linalg.vector_norm(y))


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
