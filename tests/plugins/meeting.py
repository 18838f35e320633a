"""A measurement to test with: which of its points were under way at the same time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture

PATIENCE = 60.0  # seconds that a point waits for the other one
MEET = {1.0: 2.0, 2.0: 1.0}  # points that wait for each other


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """Four."""
    return [{"point": float(number)} for number in range(4)]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """How many points had begun before this one ended, whether it met another, and a picture of it.

    The method's ``tally`` is the folder where points say that they have begun, its ``trouble`` what the points 1 and 2
    do instead of meeting, or once they have met.
    """
    point, folder, trouble = cell.at["point"], Path(cell.settings.tally), cell.settings.trouble
    (folder / f"{point:g}-{time.monotonic_ns()}").touch()
    met = False
    if trouble == "slow":
        time.sleep(0.8)
    elif trouble == "stuck" and point in MEET:
        time.sleep(600)
    elif trouble != "alone" and point in MEET:
        met = _meet(folder, MEET[point])
        if trouble == "dies" and point == 2:
            os._exit(3)
        if trouble == "not-applicable" and point == 1:
            raise NotApplicable("there is no point 1")
        if trouble == "not-applicable":
            time.sleep(600)
    begun = len({path.name.split("-")[0] for path in folder.iterdir()})
    save(f"point-{point:g}", np.full((2, 2, 3), int(point), np.uint8), "a shade")
    values = {"begun": float(begun), "met": float(met)}
    yield Record(f"point-{point:g}", {"met": None} if trouble == "unwritable" else values, cell.at)


def _meet(folder: Path, other: float) -> bool:
    """Whether another point begins before patience ends."""
    until = time.monotonic() + PATIENCE
    while not list(folder.glob(f"{other:g}-*")):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


MEASUREMENT = Measurement(
    name="meeting",
    version=1,
    title="Points that meet",
    metrics=(Metric("begun", "Points begun", "", "lower", 0), Metric("met", "Met", "", "higher", 0)),
    measure=measure,
    points=points,
)
