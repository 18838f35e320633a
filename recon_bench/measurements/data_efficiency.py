"""Data efficiency: accuracy on the test images over the number of different images a network was trained on.

Points are weights trained with `recon-bench train --images N`, for as many N as there are, two at least, with the same
recipe and budget.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from recon_bench import weights
from recon_bench.core import Method
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring.quality import same_budgets, score


def points(method: Method, task: str) -> dict[int, str]:
    """Names of weights by the number of images they were trained on; empty where there is only one number."""
    found = weights.variants(method, task, "images")
    return found if len(found) > 1 else {}


def names(method: Method, task: str) -> Sequence[str]:
    """The weights that are compared."""
    return list(points(method, task).values())


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """One record per test image and number of training images."""
    found = points(cell.method, cell.task.name)
    same_budgets(list(found.values()), "number of images")
    for images, name in found.items():
        yield from score(cell, dataclasses.replace(cell.settings, weights=name), done, {"images": images})


MEASUREMENT = Measurement(
    name="data-efficiency",
    version=1,
    title="Accuracy over the number of training images",
    metrics=(Metric("psnr", "PSNR", "dB", "higher"), Metric("ssim", "SSIM", "", "higher", 3)),
    measure=measure,
    weights=names,
)
