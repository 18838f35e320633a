"""Memory against depth: what one training step and one reconstruction take, for every method that has a depth.

A learned method is measured with the untrained network of that depth: memory does not depend on weights, which exist
for one depth alone. Its step is forward and backward with the gradients of all parameters, in float32, without the
state of an optimiser. Any other method's step is the gradient with respect to the data. Iterations that stop by
themselves are told a tolerance of zero, so that they take as many as the depth allows. See
:mod:`recon_bench.scoring.footprint` for what is counted and what is not seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring.footprint import GPU, Footprint
from recon_bench.scoring.host import Host, host, reason

MIB = 2**20
LOOK = (2, 5)  # depths that are measured where one process is to measure all, as to see whether values still hold


@dataclass(frozen=True)
class Protocol:
    """``depths``, of which rules without tuning have the first ``few``; ``batch``: images of a step.

    ``penalised``: so many batches of a network with a penalty, which is not taken at every step; the largest counts.
    """

    depths: tuple[int, ...] = (1, 2, 5, 10, 20, 40, 80)
    few: int = 3
    batch: int = 1
    penalised: int = 8


PROTOCOL = Protocol()


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """One for each depth; a single empty one where the method has no depth."""
    if cell.method.depth is None:
        return [{}]
    depths = PROTOCOL.depths if cell.rules.tuning_evaluations else PROTOCOL.depths[: PROTOCOL.few]
    return [{"depth": depth} for depth in depths]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """A record for the depth of the cell, or for each depth of LOOK where it has none."""
    if cell.method.depth is None:
        raise NotApplicable("has no setting for its depth")
    for depth in [int(cell.at["depth"])] if cell.at else LOOK:
        record = at_depth(cell, depth)
        if record.key not in done:
            yield record


def at_depth(cell: Cell, depth: int) -> Record:
    """The memory at a depth in MiB, or why there is none; NotApplicable where the method cannot run on the task."""
    method, at = host(cell), {"depth": float(depth)}
    try:
        method.set_up_untrained(fixed(cell, depth), cell.rules.seeds[0])
        inference = _inference(method, _data(cell, 0))
    except NotApplicable:
        raise
    except Exception as error:  # a method may raise anything, as for a depth that its settings refuse
        return Record(at=at, error=reason(error, cell.device))
    values, note = {"inference": inference.peak / MIB}, None
    try:
        step = _step(cell, method)
        values |= {"step": step.peak / MIB, "saved": step.saved / MIB}
        values |= {f"gpu_{name}": size / MIB for name, size in step.gpu.items()}
    except Exception as error:
        note = f"no step: {reason(error, cell.device)}"
    return Record(at=at, values=values, note=note)


def fixed(cell: Cell, depth: int) -> Any:
    """The settings with this depth, which is reached whatever the data: with a tolerance of zero."""
    assert cell.method.depth is not None
    names = {field.name for field in dataclasses.fields(cell.settings)}
    changes: dict[str, Any] = {cell.method.depth: depth} | ({"tolerance": 0.0} if "tolerance" in names else {})
    return dataclasses.replace(cell.settings, **changes)


def _inference(method: Host, y: Tensor) -> Footprint:
    method.inference_memory(y)  # what is made on a first use is constant, and there from now on
    return method.inference_memory(y)


def _step(cell: Cell, method: Host) -> Footprint:
    """The largest of the steps that are looked at."""
    weight = torch.ones(PROTOCOL.batch, *method.operator.domain_shape)
    batches = PROTOCOL.penalised if getattr(cell.settings, "jacobian", 0) else 1
    steps = [method.training_memory(_data(cell, number), weight) for number in range(batches)]
    return max(steps, key=lambda step: step.peak)


def _data(cell: Cell, number: int) -> Tensor:
    """The data of a batch (batch, *range_shape) of training samples."""
    samples, size = cell.task.samples("train"), PROTOCOL.batch
    return torch.stack([samples[(number * size + i) % len(samples)].data for i in range(size)])


MEASUREMENT = Measurement(
    name="memory",
    version=1,
    title="Memory against depth",
    metrics=(
        Metric("step", "Peak of a training step", "MiB", "lower", 1),
        Metric("saved", "Saved for the backward pass", "MiB", "lower", 1),
        Metric("inference", "Peak of a reconstruction", "MiB", "lower", 1),
        *(Metric(f"gpu_{name}", f"GPU memory, {name}", "MiB", "lower", 1) for name in GPU),
    ),
    measure=measure,
    protocol=PROTOCOL,
    points=points,
    board=False,
)
