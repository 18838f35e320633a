"""Methods that a test can stop in the middle: each image leaves a file with the number of the process."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from recon_bench.core import Method


@dataclass(frozen=True)
class Settings:
    scale: float = 1.0
    tally: str = ""  # a folder
    seconds: float = 0.0  # that every image takes
    trouble: str = ""


def build(problem, settings):
    def reconstruct(y, A):
        if settings.trouble:
            raise ValueError(settings.trouble)
        x = A.adjoint(y)
        time.sleep(settings.seconds)
        if settings.tally:
            done = Path(settings.tally)
            (done / f"{len(list(done.iterdir()))}").write_text(str(os.getpid()))
        return settings.scale * x * (y * A(x)).sum((-2, -1), keepdim=True) / A(x).square().sum((-2, -1), keepdim=True)

    return reconstruct


METHODS = tuple(
    Method(
        name=name,
        title=name,
        family="iterative",
        summary="The backprojection, scaled so that it fits the data.",
        reference="none",
        build=build,
        settings=Settings(scale=scale, trouble="I do not like this image" * (name == "stops")),
    )
    for name, scale in {"steady": 1.0, "killed": 0.9, "preempted": 0.8, "stops": 0.7}.items()
)
