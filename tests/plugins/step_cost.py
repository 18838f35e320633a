"""A measurement to test with: what a step of a method costs over its depth, each depth in a process of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring.host import host


@dataclass(frozen=True)
class Protocol:
    """``depths`` that are measured; the process of the depth ``fatal`` dies."""

    depths: tuple[int, ...] = (1, 2, 4)
    fatal: int = 3


PROTOCOL = Protocol()


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """One for each depth."""
    return [{"depth": depth} for depth in (*PROTOCOL.depths, PROTOCOL.fatal)]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """Bytes that autograd keeps for one step, at the depth of the cell, and the process that was asked."""
    if cell.at["depth"] == PROTOCOL.fatal:
        os._exit(3)
    method = host(cell)
    method.set_up(dataclasses.replace(cell.settings, depth=int(cell.at["depth"])))
    y = cell.task.samples("test")[0].data[None]
    cost = method.step(y, torch.ones(1, *method.operator.domain_shape))
    yield Record(at=cell.at, values={"saved": cost.saved_bytes / 2**20, "process": os.getpid()})


MEASUREMENT = Measurement(
    name="step-cost",
    version=1,
    title="Memory of a step over depth",
    metrics=(Metric("saved", "Kept for backward", "MiB", "lower"), Metric("process", "Process", "", "lower", 0)),
    measure=measure,
    protocol=PROTOCOL,
    points=points,
)
