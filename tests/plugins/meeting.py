"""A measurement to test with: which of its points were under way at the same time."""

from __future__ import annotations

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

    The method's ``tally`` is the folder where points say that they have begun; what does not apply says so at point 1,
    and what is unwritable has values that are no numbers.
    """
    point, folder = cell.at["point"], Path(cell.settings.tally)
    (folder / f"{point:g}-{time.monotonic_ns()}").touch()
    if point in MEET and cell.settings.trouble != "alone":
        until = time.monotonic() + PATIENCE
        while not (met := bool(list(folder.glob(f"{MEET[point]:g}-*")))) and time.monotonic() < until:
            time.sleep(0.02)
        if point == 1 and cell.settings.trouble == "not-applicable":
            raise NotApplicable("there is no point 1")
        if point == 2 and cell.settings.trouble == "not-applicable":
            time.sleep(600)
    else:
        met = False
    begun = len({path.name.split("-")[0] for path in folder.iterdir()})
    save(f"point-{point:g}", np.full((2, 2, 3), int(point), np.uint8), "a shade")
    values = {"begun": float(begun), "met": float(met)}
    yield Record(f"point-{point:g}", {"met": None} if cell.settings.trouble == "unwritable" else values, cell.at)


MEASUREMENT = Measurement(
    name="meeting",
    version=1,
    title="Points that meet",
    metrics=(Metric("begun", "Points begun", "", "lower", 0), Metric("met", "Met", "", "higher", 0)),
    measure=measure,
    points=points,
)
