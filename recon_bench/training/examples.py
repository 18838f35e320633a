"""What the training loop is fed: batch number i is a function of (seed, i) alone, made ahead in a thread.

So a training resumes exactly with nothing to remember but its step. Samples are fresh ones of the task where it
has one, otherwise images of the training split, each read (and, for post-processing, prepared) once as far as there is
room to keep them. For post-processing the expensive half, ``prepare``, is done here too, on whole images, before
anything is cropped.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recon_bench.core import NotApplicable, Problem, Sample, Samples

AHEAD = 3  # batches
_OURS = 2**31  # first number of every seed here; those of the tasks' splits are smaller
_KEPT_BYTES = 4 * 2**30  # of samples that are read once

Batch = tuple[Tensor, Tensor]
Draw = Callable[[np.random.Generator, int], Batch]


@dataclass
class Spent:
    """Seconds: ``making`` batches (in the thread), ``waiting`` for them (in the training loop)."""

    making: float = 0.0
    waiting: float = 0.0


def on_phantoms(problem: Problem) -> Problem:
    """The problem with random ellipses, measured in the same way, for training and for validation.

    Raises NotApplicable for a task that has none.
    """
    if problem.phantoms is None:
        raise NotApplicable("has no phantoms to train on: expected a task of scans that can measure them as well")
    phantoms = problem.phantoms

    def split(number: int, length: int) -> Samples:
        def sample(index: int) -> Sample:
            truth, data = phantoms(np.random.default_rng([_OURS + number, index]), 1)
            return Sample(f"phantom-{index:04d}", truth[0], data[0])

        return Samples(length, sample)

    train, validation = split(1, len(problem.train)), split(2, len(problem.validation))
    return dataclasses.replace(problem, fresh=phantoms, train=train, validation=validation)


def source(problem: Problem, network: nn.Module, images: int, crop: int) -> Draw:
    """``draw(rng, n)`` of (network input, truth) in units of the data range, on the operator's device.

    The input is the data ``(n, *range_shape)``, or the prepared start ``(n, *domain_shape)`` of a post-processing
    network, the truth ``(n, *domain_shape)``. ``images``: only the first so many of the training split; 0 for fresh
    ones, or for all. ``crop``: the side of random crops of start and truth in pixels, 0 for whole images. Raises
    ValueError where there are not so many images, or where a network that needs the data is to be cropped.
    """
    if crop and not hasattr(network, "prepare"):
        raise ValueError("only post-processing networks can be trained on crops: set the recipe's crop to 0")
    fresh = problem.fresh
    if images > len(problem.train):
        raise ValueError(f"expected at most the {len(problem.train)} images of the training split, got {images}")
    if fresh is None or images:
        draw = _from_split(problem, network, images or len(problem.train))
    else:
        draw = lambda rng, n: _prepared(problem, network, *fresh(rng, n))  # noqa: E731
    return _cropped(draw, crop) if crop else draw


def _prepared(problem: Problem, network: nn.Module, truth: Tensor, data: Tensor) -> Batch:
    A = problem.operator
    truth, data = (part.to(A.device) / problem.data_range for part in (truth, data))
    prepare = getattr(network, "prepare", lambda data, A: data)
    with torch.no_grad():
        return prepare(data, A), truth


def _from_split(problem: Problem, network: nn.Module, count: int) -> Draw:
    kept: dict[int, Batch] = {}

    def one(index: int) -> Batch:
        if index in kept:
            return kept[index]
        sample = problem.train[index]
        batch = _prepared(problem, network, sample.truth[None], sample.data[None])
        size = sum(part.numel() * part.element_size() for part in batch)
        if (len(kept) + 1) * size < _KEPT_BYTES:
            kept[index] = batch
        return batch

    def draw(rng: np.random.Generator, n: int) -> Batch:
        parts = [one(int(i)) for i in rng.choice(count, n, replace=n > count)]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    return draw


def _cropped(draw: Draw, size: int) -> Draw:
    def cropping(rng: np.random.Generator, n: int) -> Batch:
        start, truth = draw(rng, n)
        room = [max(0, length - size) + 1 for length in truth.shape[-2:]]
        corners = rng.integers(room, size=(n, 2))
        where = [np.s_[..., i : i + size, j : j + size] for i, j in corners]
        return (
            torch.stack([image[w] for image, w in zip(start, where)]),
            torch.stack([image[w] for image, w in zip(truth, where)]),
        )

    return cropping


@contextmanager
def batches(draw: Draw, seed: int, first: int, size: int, spent: Spent) -> Iterator[Iterator[Batch]]:
    """The batches ``first``, ``first + 1``, ... of ``size`` samples, a few of them made ahead in a thread.

    Batch i depends on ``seed`` and i alone. What ``draw`` raises is raised where its batch is due.
    """

    def make(index: int) -> Batch:
        start = time.perf_counter()
        batch = draw(np.random.default_rng([_OURS, seed, index]), size)
        spent.making += time.perf_counter() - start
        return batch

    def each(pool: ThreadPoolExecutor) -> Iterator[Batch]:
        ahead: deque[Future[Batch]] = deque(pool.submit(make, first + i) for i in range(AHEAD))
        index = first + AHEAD
        while True:
            start = time.perf_counter()
            batch = ahead.popleft().result()
            spent.waiting += time.perf_counter() - start
            ahead.append(pool.submit(make, index))
            index += 1
            yield batch

    pool = ThreadPoolExecutor(1, thread_name_prefix="examples")
    try:
        yield each(pool)
    finally:
        pool.shutdown(cancel_futures=True)
