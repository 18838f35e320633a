"""Seeds: accuracy on the test images of trainings that differ in nothing but their seed, and how far they spread."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence

from recon_bench import weights
from recon_bench.core import Cell, Measurement, Method, Metric, Record, SavePicture
from recon_bench.measurements.quality import score


def trained(method: Method, task: str) -> dict[int, str]:
    """Names of weights by seed; empty where there is only one training."""
    own, others = weights.own(method, task, (0,)), weights.variants(method, task, "seed")
    return dict(zip([0], own)) | others if own and others else {}


def names(method: Method, task: str) -> Sequence[str]:
    """The weights that are compared."""
    return list(trained(method, task).values())


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record per test image and seed, then one with the standard deviation of the seeds' means."""
    means = []
    for seed in trained(cell.method, cell.task.name):
        known = [record for record in done.values() if record.seed == seed and "psnr_seeds" in record.values]
        values = [record.values["psnr_seeds"] for record in known]
        for record in score(cell, dataclasses.replace(cell.settings, seed=seed), done, seed=seed):
            psnr = {"psnr_seeds": record.values["psnr"]} if record.values else {}
            values += psnr.values()
            yield dataclasses.replace(record, values=psnr)
        means.append(statistics.fmean(values))
    yield Record(sample="spread", values={"seed_spread": statistics.stdev(means)})


MEASUREMENT = Measurement(
    name="seeds",
    version=1,
    title="Trainings with other seeds",
    metrics=(
        Metric("psnr_seeds", "PSNR, mean of trainings", "dB", "higher"),
        Metric("seed_spread", "PSNR spread of trainings", "dB", "lower"),
    ),
    measure=measure,
    weights=names,
)
