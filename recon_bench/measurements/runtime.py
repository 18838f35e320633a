"""Runtime: setup and reconstruction apart, warmed up and synchronised, beside FBP's time in the same process.

At batch 1 every repeat is a record; the throughput is that of one batch. Operator applications are counted by a
wrapper in a run of their own, in pairs (A, adjoint); a method that works outside our operators counts none, and its
record says so. MRI tasks have no FBP: the zero-filled image takes its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import torch

from recon_bench import clock, registry
from recon_bench.core import Cell, Measurement, Metric, Reconstructor, Record, SavePicture
from recon_bench.reconstruct import Counting, reconstruct_each, seeded, with_operator


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """Records ``setup``, ``reconstruct-i``, ``batch``, ``fbp-i`` and ``operator``. Timings are never resumed."""
    problem = cell.task.problem(cell.device)
    operator = problem.operator
    settings = seeded(cell.settings, cell.rules.seeds[0])
    sample = cell.task.samples("test")[0]
    setup, reconstruct = clock.seconds(lambda: cell.method.build(problem, settings), cell.device)
    yield Record(sample="setup", values={"setup_seconds": setup})

    (outcome,) = reconstruct_each(reconstruct, operator, [sample], cell.device)
    if outcome.error:
        yield Record(sample="reconstruct-0", error=outcome.error)
        return
    y = sample.data[None].to(cell.device)
    yield from _timed(cell, "reconstruct", "seconds", lambda: reconstruct(y, operator))

    size = cell.rules.batch(torch.Size(operator.domain_shape).numel())
    batch = y.expand(size, *y.shape[1:]).contiguous()
    spent, _ = clock.seconds(lambda: reconstruct(batch, operator), cell.device)
    yield Record(sample="batch", values={"batch_seconds": spent / size})

    reference = registry.method("zero-filled" if problem.complex else "fbp")
    fbp: Reconstructor = reference.build(problem, reference.settings)
    yield from _timed(cell, "fbp", "fbp_seconds", lambda: fbp(y, operator))
    yield _applications(cell, settings, y)


def _timed(cell: Cell, name: str, metric: str, call: Callable[[], object]) -> Iterator[Record]:
    for _ in range(cell.rules.warmup):
        call()
    start = time.perf_counter()
    for i in range(cell.rules.repeats):
        spent, _ = clock.seconds(call, cell.device)
        yield Record(sample=f"{name}-{i}", values={metric: spent})
        if i >= 2 and time.perf_counter() - start > cell.rules.timing_seconds:
            return


def _applications(cell: Cell, settings: object, y: torch.Tensor) -> Record:
    counting = Counting(cell.task.make_operator(cell.device, torch.float32))
    reconstruct = cell.method.build(with_operator(cell.task.problem(cell.device), counting), settings)
    before = counting.pairs
    reconstruct(y, counting)
    if counting.pairs == before:
        return Record(sample="operator", note="no application of the benchmark's operator was seen")
    return Record(sample="operator", values={"applications": counting.pairs - before})


MEASUREMENT = Measurement(
    name="runtime",
    version=1,
    title="Runtime at batch 1, and what it is made of",
    metrics=(
        Metric("seconds", "Time per image", "s", "lower", 4),
        Metric("setup_seconds", "Setup", "s", "lower", 3),
        Metric("batch_seconds", "Time per image in a batch", "s", "lower", 4),
        Metric("fbp_seconds", "FBP in the same run", "s", "lower", 4),
        Metric("applications", "Pairs of A and adjoint", "", "lower", 1),
    ),
    measure=measure,
)
