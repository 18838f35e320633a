"""Less and more data than a method was made for: whether more make it worse.

The views of a ray transform are spaced more and less closely over the same half turn, or more and fewer columns of
k-space drawn, with noise of the task's level, relative to the mean of what is measured but for Poisson's; images,
settings and weights are those of the task. The method is set up for each rate as for a task of its own; a network is
also handed the operator of the rate after it was set up for its own task's, by which its step sizes may no longer fit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from recon_bench.core import NotApplicable, Sample
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.rules import UNSWAPPED
from recon_bench.scoring import quality, shifted
from recon_bench.scoring.answers import Reconstruction, reason
from recon_bench.scoring.host import Host
from recon_bench.scoring.named import Named

AXES = {"ct": "views", "mri": "acceleration"}


@dataclass(frozen=True)
class Protocol:
    """``images``: test images at most."""

    images: int = 4


PROTOCOL = Protocol()


def points(cell: Cell) -> Sequence[Mapping[str, float]]:
    """One for each rate: an operator of many views takes much memory."""
    return [{AXES[cell.task.family]: rate} for rate in cell.task.rates]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """A record for each rate and image; what fails at one rate leaves the others.

    NotApplicable without rates, or where the method cannot run on the task as it is.
    """
    if not cell.task.rates:
        raise NotApplicable("the task has no measurement of less or more data")
    home = shifted.told(cell)
    axis = AXES[cell.task.family]
    for rate in cell.task.rates:
        if cell.at in ({}, {axis: rate}):
            yield from (record for record in at_rate(cell, home, {axis: rate}, rate) if record.key not in done)


def at_rate(cell: Cell, home: Host, at: Mapping[str, float], rate: float) -> Iterator[Record]:
    """A record for each image, or one that says why there are none."""
    shift, blank = cell.task.rates[rate], Record(at=at, seed=cell.rules.seeds[0])
    samples = shifted.observed(cell, shift, PROTOCOL.images)
    y, A = torch.stack([sample.data for sample in samples]), Named(rate=rate)
    try:
        fitted = shifted.told(cell, A).reconstruct(y)
    except Exception as error:  # a method may raise anything; the other rates go on
        yield dataclasses.replace(blank, error=reason(error, cell.device))
        return
    swapped = home.reconstruct(y, A) if cell.method.network is not None else [None] * len(y)
    for sample, found, other in zip(samples, fitted, swapped):
        values = _psnr(cell, sample, "psnr", found) | _psnr(cell, sample, "swapped_psnr", other)
        lost = f"{UNSWAPPED}{other.error}" if other and other.error else None
        note = "; ".join(filter(None, [found.note, lost])) or None
        yield dataclasses.replace(blank, sample=sample.id, values=values, error=found.error, note=note)


def _psnr(cell: Cell, sample: Sample, name: str, found: Reconstruction | None) -> dict[str, float]:
    if found is None or found.x is None:
        return {}
    return quality.finite({name: quality.psnr(cell.task, sample.truth, found.x)})


MEASUREMENT = Measurement(
    name="sampling",
    version=1,
    title="Less and more data",
    metrics=(
        Metric("psnr", "PSNR", "dB", "higher"),
        Metric("swapped_psnr", "PSNR, set up for the task's own", "dB", "higher"),
    ),
    measure=measure,
    protocol=PROTOCOL,
    points=points,
    confirm="accuracy",
)
