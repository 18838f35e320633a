"""A quick score of a method with its settings as they come, and where it would stand among committed results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from recon_bench.core import Method
from recon_bench.results import RANKING_KIND, Result, ResultError
from recon_bench.rules import FULL
from recon_bench.scoring import contract, quality
from recon_bench.scoring.host import Host, reconstructed
from recon_bench.scoring.probes import images
from recon_bench.submission.look import Finding
from recon_bench.tables.board import RANKING_METRIC, board
from recon_bench.tables.columns import bootstrap, scalars
from recon_bench.tables.statistics import Interval, difference, interval
from recon_bench.task import Task

SECONDS = 15.0  # of reconstruction that a quick score may take
BATCH = 8  # images at a time


@dataclass(frozen=True)
class Standing:
    """A quick score, over the first ``images`` of the test set, and the rank that it would have among ``others``.

    ``best`` and ``worst`` are the ranks if all that is not significantly different were below or above. ``seconds`` are
    those of an image, roughly.
    """

    images: int
    psnr: Interval
    ssim: Interval
    rank: int
    best: int
    worst: int
    others: int
    seconds: float


@dataclass(frozen=True)
class Score:
    """PSNR and SSIM by test image, what was found out with the task's own images, and seconds per image."""

    values: Mapping[str, Mapping[str, float]]
    findings: Sequence[Finding]
    seconds: float


def score(method: Method, task: Task, device: str = "cpu") -> Score:
    """Of as many test images as can be reconstructed in SECONDS, of one batch at least.

    With the settings as they come. Raises what setting the method up raises; ValueError where an image fails.
    """
    host = Host(method, task.problem(device))
    host.set_up(method.settings)
    test, count = task.samples("test"), min(task.sizes["test"], FULL.images)
    values, zero, spent = dict[str, dict[str, float]](), 0.0, 0.0
    for start in range(0, count, BATCH):
        begun, indices = time.monotonic(), range(start, min(start + BATCH, count))
        for _, sample, made in reconstructed(host, test, indices, FULL):
            if made.x is None:
                raise ValueError(f"{sample.id}: {made.error}")
            values[sample.id] = quality.similarity(task, sample.truth, made.x)
            zero += quality.psnr(task, sample.truth, torch.zeros_like(made.x))
        last = time.monotonic() - begun
        spent += last
        if spent + last > SECONDS:
            break
    mean, zero = sum(each[RANKING_METRIC] for each in values.values()) / len(values), zero / len(values)
    worse = f"{mean:.2f} dB, an image of zeros has {zero:.2f} dB" if mean <= zero else None
    y = test[0].data[None]
    table = contract.looked_up(images(host, y), images(host, contract.nearly(y)))
    found = [Finding("beats zero on the task", worse), Finding("no table of the task", table)]
    return Score(values, found, spent / len(values))


def standing(method: Method, task: Task, scored: Score, known: Sequence[Result]) -> Standing:
    """Where a method of this score would stand on the task's board of ``known`` results."""
    values, names = scored.values, sorted(scored.values)
    own = np.array([values[name][RANKING_METRIC] for name in names])
    above, better, worse, others = 0, 0, 0, 0
    for theirs in rivals(method, task, known):
        found = scalars(theirs, RANKING_METRIC)
        if not found.keys() >= values.keys():
            continue
        gap = difference(np.array([found[name] for name in names]), own, **bootstrap(theirs))
        others, above = others + 1, above + (gap.value > 0)
        better, worse = better + (gap.low > 0), worse + (gap.high < 0)
    ssim = np.array([values[name]["ssim"] for name in names])
    first, second = (interval(each, confidence=FULL.confidence, draws=FULL.bootstrap) for each in (own, ssim))
    return Standing(len(names), first, second, 1 + above, 1 + better, 1 + others - worse, others, scored.seconds)


def rivals(method: Method, task: Task, known: Sequence[Result]) -> list[Result]:
    """The accuracy of every other method that is fine on the task's board under the full rules; empty without one."""
    try:
        made = board(known, task.name, FULL.name)
    except ResultError:
        return []
    if (made.hash, made.rules["hash"]) != (task.hash, FULL.hash):
        return []
    cells = made.cells.items()
    fine = {name: cell for (name, kind), cell in cells if kind == RANKING_KIND and cell.status == "ok"}
    return [cell for name, cell in fine.items() if name != method.name]
