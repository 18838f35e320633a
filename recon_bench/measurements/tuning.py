"""Tuning: the settings a method may choose, tried on the validation split within the budget; the ledger of all tries.

A record is one evaluation: ``at`` holds the values tried (a choice by its index), ``psnr`` the mean over the validation
images. The result's header holds the chosen settings. Nothing of the test split is touched.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from recon_bench.core import Sample
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import quality, tuner
from recon_bench.scoring.host import Host, host, reconstructed


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record per evaluation, as many as the rules allow."""
    method, space = host(cell), cell.method.search
    validation = method.problem.validation
    samples = [validation[index] for index in range(min(cell.rules.tuning_images, len(validation)))]
    points = tuner.search(space, {name: getattr(cell.settings, name) for name in space}, cell.rules.tuning_evaluations)
    point = next(points, None)
    while point is not None:
        key = Record(sample="validation", at=point).key
        record = done.get(key) or _evaluate(cell, method, samples, point)
        if key not in done:
            yield record
        try:
            point = points.send(record.values.get("psnr", -math.inf))
        except StopIteration:
            return


def _evaluate(cell: Cell, method: Host, samples: Sequence[Sample], point: tuner.Point) -> Record:
    method.set_up(dataclasses.replace(cell.settings, **tuner.value(cell.method.search, point)), cell.rules.seeds[0])
    values, note = [], None
    for _, sample, found in reconstructed(method, samples, range(len(samples)), cell.rules):
        if found.x is None:
            return Record(sample="validation", at=point, error=found.error)
        note = found.note or note
        values.append(quality.psnr(cell.task, sample.truth, found.x))
    return Record(sample="validation", at=point, values={"psnr": sum(values) / len(values)}, note=note)


MEASUREMENT = Measurement(
    name="tuning",
    version=1,
    title="Tuning on the validation images",
    metrics=(Metric("psnr", "Validation PSNR", "dB", "higher"),),
    measure=measure,
    order=0,
    ledger=True,
    confirm="accuracy",
)
