"""Memory against image size: what one training step and one reconstruction take at a fixed depth.

The operator of the task is made for other sizes of image over the same field of view, see
:mod:`recon_bench.scoring.sizes`; images are random, as memory does not depend on values. All else is as in
:mod:`.memory`, and methods without a depth are measured as they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell, Measurement, Record, SavePicture
from recon_bench.measurements import memory
from recon_bench.scoring.host import host

LOOK = (64, 96)  # sizes that are measured where one process is to measure all, as to see whether values still hold


@dataclass(frozen=True)
class Protocol:
    """``sizes``: sides in pixels, of which rules without tuning have the first ``few``; one is odd. ``depth`` of all.

    ``batch`` and ``penalised`` as in :mod:`.memory`.
    """

    sizes: tuple[int, ...] = (64, 96, 128, 181, 256, 362, 512)
    few: int = 3
    depth: int = 10
    batch: int = 1
    penalised: int = 64


PROTOCOL = Protocol()


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """One for each size."""
    found = PROTOCOL.sizes if cell.rules.tuning_evaluations else PROTOCOL.sizes[: PROTOCOL.few]
    return [{"size": size} for size in found]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """A record for the size of the cell, or for each size of LOOK where it has none."""
    for size in [int(cell.at["size"])] if cell.at else LOOK:
        record = at_size(cell, size)
        if record.key not in done:
            yield record


def at_size(cell: Cell, size: int) -> Record:
    """The memory for images of ``size`` x ``size`` pixels in MiB, or why there is none.

    NotApplicable where the operator has no other sizes, or the method cannot run at the smallest.
    """
    at = {"size": float(size)}
    method = host(cell, size)
    try:
        return memory.footprints(cell, method, PROTOCOL.depth, at, PROTOCOL)
    except NotApplicable as why:
        if size == min(PROTOCOL.sizes):
            raise
        return Record(at=at, error=f"not applicable: {why}")


MEASUREMENT = Measurement(
    name="memory-size",
    version=1,
    title="Memory against image size",
    metrics=memory.MEASUREMENT.metrics,
    measure=measure,
    protocol=PROTOCOL,
    points=points,
    board=False,
)
