"""Runtime: setup and reconstruction apart, warmed up and synchronised, each time on data that were never seen before.

At batch 1 and for a batch every repeat is a record. What was timed is compared with an untimed reconstruction of the
same data, and what else the machine was doing is measured. Operator applications are counted by a wrapper in a run of
their own, in pairs (A, adjoint); a method that works outside our operators counts none, and its record says so.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.processes import cores
from recon_bench.rules import Rules
from recon_bench.scoring.answers import Reconstruction
from recon_bench.scoring.host import Host, host
from recon_bench.scoring.load import Load, during
from recon_bench.task import Task


@dataclass(frozen=True)
class Protocol:
    """``batches`` that are timed, at most. ``checks``: so many timed images at batch 1, and so many out of batches, are
    reconstructed again, and may differ by ``agree`` and ``agree_batch`` (relative, l2). A timing while others used more
    than ``others`` cores is made again after ``wait_seconds``, up to ``attempts`` in all.
    """

    batches: int = 3
    checks: int = 2
    agree: float = 1e-3  # the same computation again: rounding and the order of sums, enlarged by iterations
    agree_batch: float = 0.03  # a stopping rule that waits for the slowest of a batch gives the others more iterations
    others: float = 0.2
    attempts: int = 3
    wait_seconds: float = 1.0


PROTOCOL = Protocol()


@dataclass(frozen=True)
class Repeat:
    """Data ``y`` (batch, *range_shape), the ``seconds`` of their reconstruction, and what was ``found``."""

    y: Tensor
    seconds: float
    found: list[Reconstruction]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """Records ``setup``, ``load``, ``reconstruct-i``, ``batch-i`` and ``operator``."""
    method, seed = host(cell), cell.rules.seeds[0]
    taken, load = during(lambda: method.set_up(cell.settings, seed, cached=False))
    yield Record(sample="setup", values={"setup_seconds": taken}, note=_note(load))

    data = _data(cell.task)
    y = next(data)[None]
    (found,) = method.reconstruct(y)
    if found.error:
        yield Record(sample="reconstruct-0", error=found.error)
        return
    (single, batch), load = _least_disturbed(lambda: _attempt(cell.rules, method, data), cell.rules)
    yield Record(sample="load", values=_values(load))
    yield from _records("reconstruct", "seconds", single, _differing(method, single, PROTOCOL.agree), load)
    yield from _records("batch", "batch_seconds", batch, _differing(method, batch, PROTOCOL.agree_batch), load)

    if pairs := method.applications(y, cell.settings, seed):
        yield Record(sample="operator", values={"applications": pairs})
    else:
        yield Record(sample="operator", note="no application of the benchmark's operator was seen")


def _data(task: Task) -> Iterator[Tensor]:
    """Data (*range_shape), every time others: of the test images, then of training images, then of both again.

    All have fresh noise. Only a task that has none, and fewer images than are asked for, repeats itself.
    """
    noise = np.random.default_rng()
    images = [(split, index) for split in ("test", "train") for index in range(task.sizes[split])]
    for split, index in itertools.cycle(images):
        yield task.observe_again(split, index, noise).data


def _attempt(rules: Rules, method: Host, data: Iterator[Tensor]) -> tuple[list[Repeat], list[Repeat]]:
    """Repeats at batch 1 and for a batch."""
    size = rules.batch(torch.Size(method.operator.domain_shape).numel())
    single = _repeats(rules, method, data, 1, least=3, most=rules.repeats)
    return single, _repeats(rules, method, data, size, least=1, most=min(PROTOCOL.batches, rules.repeats))


def _repeats(rules: Rules, method: Host, data: Iterator[Tensor], size: int, least: int, most: int) -> list[Repeat]:
    """Timed calls after the warm-up, so many as take ``timing_seconds`` if all are like the last warm-up.

    Their data are made before, so that the calls follow each other closely.
    """
    count = most
    for _ in range(rules.warmup):
        taken, _ = method.seconds(_stacked(data, size))
        count = min(most, max(least, int(rules.timing_seconds / taken)))
    batches = [_stacked(data, size) for _ in range(count)]
    return [Repeat(y, *method.seconds(y)) for y in batches]


def _stacked(data: Iterator[Tensor], size: int) -> Tensor:
    return torch.stack(list(itertools.islice(data, size)))


Timed = tuple[list[Repeat], list[Repeat]]


def _least_disturbed(attempt: Callable[[], Timed], rules: Rules) -> tuple[Timed, Load]:
    """The attempt during which others used least, with the load; a quiet one is the last, and so is one after which
    half of the cell's time is gone.
    """
    made = [during(attempt)]
    while (
        _note(made[-1][1])
        and len(made) < PROTOCOL.attempts
        and sum(load.seconds for _, load in made) < 30 * rules.cell_minutes
    ):
        time.sleep(PROTOCOL.wait_seconds)
        made.append(during(attempt))
    return min(made, key=lambda each: each[1].others or 0.0)


def _note(load: Load) -> str | None:
    busy = load.others is not None and load.others > PROTOCOL.others
    return f"timed on a loaded machine: {load}" if busy else None


def _values(load: Load) -> dict[str, float]:
    known = {} if load.others is None else {"others": load.others}
    return {**known, "load_average": load.average, "cores": float(cores())}


def _differing(method: Host, repeats: list[Repeat], limit: float) -> dict[int, str]:
    """By repeat, how it differs from the untimed reconstruction of its images one by one, in a few drawn by chance."""
    images = [(number, index) for number, repeat in enumerate(repeats) for index in range(len(repeat.y))]
    wrong = {}
    for number, index in secrets.SystemRandom().sample(images, min(PROTOCOL.checks, len(images))):
        timed = repeats[number].found[index]
        (scored,) = method.reconstruct(repeats[number].y[index : index + 1])
        if problem := _difference(timed, scored, limit):
            wrong[number] = problem
    return wrong


def _difference(timed: Reconstruction, scored: Reconstruction, limit: float) -> str | None:
    if timed.x is None or scored.x is None:
        return timed.error or scored.error
    away, size = float((timed.x - scored.x).norm()), float(scored.x.norm())
    if away <= limit * size:
        return None
    by = f"{100 * away / size:.3g} %" if size else "all of it"
    return f"the timed reconstruction differs from the scored one by {by}, expected at most {100 * limit:g} %"


def _records(
    name: str, metric: str, repeats: list[Repeat], differing: Mapping[int, str], load: Load
) -> Iterator[Record]:
    """Seconds per image of each repeat, or what is wrong with its images."""
    for number, repeat in enumerate(repeats):
        sample = f"{name}-{number}"
        error = next((found.error for found in repeat.found if found.error), differing.get(number))
        if error:
            yield Record(sample=sample, error=error)
        else:
            yield Record(sample=sample, values={metric: repeat.seconds / len(repeat.y)}, note=_note(load))


MEASUREMENT = Measurement(
    name="runtime",
    version=2,
    title="Runtime at batch 1, and what it is made of",
    metrics=(
        Metric("seconds", "Time per image", "s", "lower", 4),
        Metric("setup_seconds", "Setup", "s", "lower", 3),
        Metric("batch_seconds", "Time per image in a batch", "s", "lower", 4),
        Metric("applications", "Pairs of A and adjoint", "", "lower", 1),
        Metric("others", "Cores that others used meanwhile", "", "lower", 2),
        Metric("load_average", "Load average of the machine", "", "lower", 2),
        Metric("cores", "Cores available", "", "higher", 0),
    ),
    measure=measure,
    protocol=PROTOCOL,
    order=2,
    alone=True,
    hidden=("setup_seconds", "batch_seconds", "others", "load_average", "cores"),
    confirm="timing",
)
