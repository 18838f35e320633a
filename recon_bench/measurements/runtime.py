"""Runtime: setup and reconstruction apart, warmed up and synchronised, beside FBP's time in the same process.

At batch 1 and for a batch every repeat is a record. Operator applications are counted by a wrapper in a run of their
own, in pairs (A, adjoint); a method that works outside our operators counts none, and its record says so. MRI tasks
have no FBP: the zero-filled image takes its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from recon_bench import registry
from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring.host import Host, host


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """Records ``setup``, ``reconstruct-i``, ``batch-i``, ``fbp-i`` and ``operator``."""
    method, seed = host(cell), cell.rules.seeds[0]
    y = cell.task.samples("test")[0].data[None]
    yield Record(sample="setup", values={"setup_seconds": method.set_up(cell.settings, seed, cached=False)})

    (found,) = method.reconstruct(y)
    if found.error:
        yield Record(sample="reconstruct-0", error=found.error)
        return
    yield from _timed(cell, "reconstruct", "seconds", method, y)

    size = cell.rules.batch(torch.Size(method.operator.domain_shape).numel())
    yield from _timed(cell, "batch", "batch_seconds", method, y.expand(size, *y.shape[1:]), least=1)

    reference = registry.method("zero-filled" if method.problem.complex else "fbp")
    fbp = Host(reference, method.problem)
    with contextlib.suppress(NotApplicable):  # neither: then there is no multiple to give
        fbp.set_up(reference.settings)
        yield from _timed(cell, "fbp", "fbp_seconds", fbp, y)
    if pairs := method.applications(y, cell.settings, seed):
        yield Record(sample="operator", values={"applications": pairs})
    else:
        yield Record(sample="operator", note="no application of the benchmark's operator was seen")


def _timed(cell: Cell, name: str, metric: str, method: Host, y: Tensor, least: int = 3) -> Iterator[Record]:
    """Seconds per image of repeated calls, after the warm-up; at least ``least``, then until the time is up."""
    spent = 0.0
    for i in range(-cell.rules.warmup, cell.rules.repeats):
        seconds = method.seconds(y)
        spent += seconds
        if i >= 0:
            yield Record(sample=f"{name}-{i}", values={metric: seconds / len(y)})
        if i >= least - 1 and spent > cell.rules.timing_seconds:
            return


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
    order=2,
    alone=True,
    hidden=("setup_seconds", "batch_seconds", "fbp_seconds"),
    confirm="timing",
)
