"""Pictures: the same three test images of a task as each method reconstructs them, one grey panel each.

Which images, the task says (``Task.pictured``). In the tasks with committed results they are those where FBP (MRI:
zero-filling) is at the 10th, 50th and 90th percentile of its PSNR over the test images: a hard, a usual and an easy
one. Panels have the task's grey window, 8 bits, lossily compressed; the truth in the same window is beside the task's
card. Errors, zooms and whatever else is to be seen are made of these when the site is rendered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from recon_bench.core import Sample
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import pictures, quality
from recon_bench.scoring.answers import Reconstruction
from recon_bench.scoring.host import host


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record and one panel per pictured image, of as many as the rules score, under their first seed.

    An interrupted run begins anew: it left records without their pictures.
    """
    method, seed = host(cell), cell.rules.seeds[0]
    method.set_up(cell.settings, seed)
    for index in pictures.chosen(cell.task)[: cell.rules.images]:
        sample, name = cell.task.observe("test", index), pictures.name(index)
        (found,) = method.reconstruct(sample.data[None])
        record = _record(cell, name, sample, found, seed)
        if found.x is not None:
            save(name, pictures.grey(found.x, cell.task.display), _caption(record))
        if record.key not in done:
            yield record


def _record(cell: Cell, name: str, sample: Sample, found: Reconstruction, seed: int) -> Record:
    if found.x is None:
        return Record(sample=name, seed=seed, error=found.error)
    psnr = quality.psnr(cell.task, sample.truth, found.x)
    if not math.isfinite(psnr):
        return Record(sample=name, seed=seed, note=found.note or f"the PSNR is {psnr}")
    return Record(sample=name, values={"psnr": psnr}, seed=seed, note=found.note)


def _caption(record: Record) -> str:
    return f"{record.sample}, {record.values['psnr']:.2f} dB" if record.values else record.sample


MEASUREMENT = Measurement(
    name="pictures",
    version=1,
    title="Pictures of three test images",
    metrics=(Metric("psnr", "PSNR", "dB", "higher"),),
    measure=measure,
    board=False,
    confirm="accuracy",
)
