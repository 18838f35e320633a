"""Seeds: accuracy on the test images of trainings that differ in nothing but their seed, and how far they spread.

Needs weights trained with `recon-bench train --seed N` beside those of seed 0, with the same recipe and budget. Seeds
of which backward rules are compared are left to :mod:`.backward_rules`.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence

from recon_bench import weights
from recon_bench.core import Method
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.measurements import backward_rules
from recon_bench.scoring.quality import same_budgets, score


def trained(method: Method, task: str) -> dict[int, str]:
    """Names of weights by seed; empty where there is only one training."""
    compared = backward_rules.trained(method, task)
    own, others = weights.own(method, task), weights.variants(method, task, "seed")
    others = {seed: name for seed, name in others.items() if seed not in compared}
    return dict(zip([0], own)) | others if own and others else {}


def names(method: Method, task: str) -> Sequence[str]:
    """The weights that are compared."""
    return list(trained(method, task).values())


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record per test image and seed, then one with the standard deviation of the seeds' means."""
    seeds = trained(cell.method, cell.task.name)
    same_budgets(list(seeds.values()), "seed")
    means = []
    for seed in seeds:
        known = [record for record in done.values() if record.seed == seed and "psnr_seeds" in record.values]
        values = [record.values["psnr_seeds"] for record in known]
        for record in score(cell, cell.settings, done, seed=seed):
            psnr = {"psnr_seeds": record.values["psnr"]} if "psnr" in record.values else {}
            values += psnr.values()
            yield dataclasses.replace(record, values=psnr)
        if not values:
            return
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
    hidden=("psnr_seeds",),
)
