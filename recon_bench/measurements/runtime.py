"""Runtime: setup and reconstruction apart, warmed up and synchronised, beside FBP's time in the same process.

At batch 1 and for a batch every repeat is a record. Operator applications are counted by a wrapper in a run of their
own, in pairs (A, adjoint); a method that works outside our operators counts none, and its record says so. MRI tasks
have no FBP: the zero-filled image takes its place.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from recon_bench import registry
from recon_bench.core import (
    Cell,
    Measurement,
    Metric,
    NotApplicable,
    NotConverged,
    Operator,
    Reconstructor,
    Record,
    SavePicture,
)
from recon_bench.scoring import clock
from recon_bench.scoring.reconstruct import Counting, reconstruct_each, seeded, with_operator


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """Records ``setup``, ``reconstruct-i``, ``batch-i``, ``fbp-i`` and ``operator``. Timings are never resumed."""
    problem = cell.task.problem(cell.device)
    operator = problem.operator
    settings = seeded(cell.settings, cell.rules.seeds[0])
    sample = cell.task.samples("test")[0]
    with _empty_cache():
        setup, reconstruct = clock.seconds(lambda: cell.method.build(problem, settings), cell.device)
    yield Record(sample="setup", values={"setup_seconds": setup})

    (outcome,) = reconstruct_each(reconstruct, operator, [sample], cell.device)
    if outcome.error:
        yield Record(sample="reconstruct-0", error=outcome.error)
        return
    y = sample.data[None].to(cell.device)
    yield from _timed(cell, "reconstruct", "seconds", reconstruct, operator, y)

    size = cell.rules.batch(torch.Size(operator.domain_shape).numel())
    yield from _timed(cell, "batch", "batch_seconds", reconstruct, operator, y.expand(size, *y.shape[1:]), least=1)

    reference = registry.method("zero-filled" if problem.complex else "fbp")
    with contextlib.suppress(NotApplicable):  # neither: then there is no multiple to give
        fbp = reference.build(problem, reference.settings)
        yield from _timed(cell, "fbp", "fbp_seconds", fbp, operator, y)
    yield _applications(cell, settings, y)


@contextlib.contextmanager
def _empty_cache() -> Iterator[None]:
    """Set-up is timed as on a first use: what a method keeps in the cache is built again."""
    before = os.environ.get("RECON_BENCH_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RECON_BENCH_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["RECON_BENCH_CACHE"]
            if before is not None:
                os.environ["RECON_BENCH_CACHE"] = before


def _timed(
    cell: Cell, name: str, metric: str, reconstruct: Reconstructor, operator: Operator, y: Tensor, least: int = 3
) -> Iterator[Record]:
    """Seconds per image of repeated calls, after the warm-up; at least ``least``, then until the time is up."""
    spent = 0.0
    for i in range(-cell.rules.warmup, cell.rules.repeats):
        data = y.clone()  # a method may work in place
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotConverged)
            seconds, _ = clock.seconds(lambda: reconstruct(data, operator), cell.device)  # noqa: B023
        spent += seconds
        if i >= 0:
            yield Record(sample=f"{name}-{i}", values={metric: seconds / len(y)})
        if i >= least - 1 and spent > cell.rules.timing_seconds:
            return


def _applications(cell: Cell, settings: object, y: Tensor) -> Record:
    counting = Counting(cell.task.make_operator(cell.device, torch.float32))
    reconstruct = cell.method.build(with_operator(cell.task.problem(cell.device), counting), settings)
    before = counting.pairs
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)
        reconstruct(y.clone(), counting)
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
