"""Memory against depth: what one training step and one reconstruction take, for every method that has a depth.

A learned method is measured with the untrained network of that depth: memory does not depend on weights, which exist
for one depth alone. Its step is forward and backward with the gradients of all parameters, in float32, without the
state of an optimiser. Any other method's step is the gradient with respect to the data. Iterations that stop by
themselves are told a tolerance of zero, so that they take as many as the depth allows. See
:mod:`recon_bench.scoring.footprint` for what is counted and what is not seen. :mod:`.memory_size` measures the same
against the size of the image.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_bench import deq
from recon_bench.core import NotApplicable, Problem
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring.answers import reason
from recon_bench.scoring.footprint import GPU, Footprint
from recon_bench.scoring.host import Host, host

MIB = 2**20
LOOK = (2, 5)  # depths that are measured where one process is to measure all, as to see whether values still hold


@dataclass(frozen=True)
class Protocol:
    """``depths``, of which rules without tuning have the first ``few``; ``batch``: images of a step.

    ``penalised``: so many batches are looked through for one at which a network with a penalty on its Jacobian takes
    it, as not every step does; a step without it is smaller.
    """

    depths: tuple[int, ...] = (1, 2, 5, 10, 20, 40, 80)
    few: int = 3
    batch: int = 1
    penalised: int = 8


PROTOCOL = Protocol()


class Steps(typing.Protocol):
    """What a protocol says of a training step, as above."""

    @property
    def batch(self) -> int:
        """Images of a step."""

    @property
    def penalised(self) -> int:
        """Batches that are looked through."""


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
    return footprints(cell, host(cell), depth, {"depth": float(depth)}, PROTOCOL)


def footprints(cell: Cell, method: Host, depth: int, at: Mapping[str, float], protocol: Steps) -> Record:
    """The memory of ``method`` in MiB at this depth, where it has one, as the record of the place ``at``.

    NotApplicable where the method cannot run on the problem; all else that it raises is the record's error, or its note
    where that leaves a reconstruction.
    """
    settings = fixed(cell, depth)
    try:
        method.set_up_untrained(settings, cell.rules.seeds[0])
        inference = _inference(method, _data(method.problem, 0, protocol))
    except NotApplicable:
        raise
    except Exception as error:  # a method may raise anything, as for a depth that its settings refuse
        return Record(at=at, error=reason(error, cell.device))
    values, note = {"inference": inference.peak / MIB}, None
    try:
        step = _step(method, settings, protocol)
        values |= {"step": step.peak / MIB, "saved": step.saved / MIB}
        values |= {f"gpu_{name}": size / MIB for name, size in step.gpu.items()}
    except Exception as error:
        note = f"no step: {reason(error, cell.device)}"
    return Record(at=at, values=values, note=note)


def fixed(cell: Cell, depth: int) -> Any:
    """The settings with this depth, where they have one, which is reached whatever the data: a tolerance is zero, and
    so is ``least``, which has equilibria trained at random depths."""
    names = {field.name for field in dataclasses.fields(cell.settings)}
    changes: dict[str, Any] = {name: 0 for name in ("tolerance", "least") if name in names}
    if cell.method.depth is not None:
        changes[cell.method.depth] = depth
    return dataclasses.replace(cell.settings, **changes)


def _inference(method: Host, y: Tensor) -> Footprint:
    method.inference_memory(y)  # what is made on a first use is constant, and there from now on
    return method.inference_memory(y)


def _step(method: Host, settings: Any, protocol: Steps) -> Footprint:
    """A training step, with the penalty of a network that has one."""
    looked_through = protocol.penalised if getattr(settings, "jacobian", 0) else 1
    batches = [_data(method.problem, number, protocol) for number in range(looked_through)]
    penalised = [y for y in batches if deq.seed_of(y / method.problem.data_range) % deq.SELDOM == 0]
    weight = torch.ones(protocol.batch, *method.operator.domain_shape)
    return method.training_memory((penalised or batches)[0], weight)


def _data(problem: Problem, number: int, protocol: Steps) -> Tensor:
    """The data of a batch (batch, *range_shape) of training samples."""
    samples, size = problem.train, protocol.batch
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
