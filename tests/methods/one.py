"""A method in one file: the backprojection, scaled so that it fits the data; and how it could misbehave."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from recon_bench.core import Log, Method, NotApplicable


@dataclass(frozen=True)
class Settings:
    scale: float = 1.0
    trouble: str = ""
    tally: str = ""


def build(problem, settings):
    if settings.trouble == "not-applicable":
        raise NotApplicable("this method is shy")
    if settings.trouble == "build":
        raise RuntimeError("no such weights")

    def reconstruct(y, A):
        x = A.adjoint(y)
        x = settings.scale * x * (y * A(x)).sum((-2, -1), keepdim=True) / A(x).square().sum((-2, -1), keepdim=True)
        return misbehave(settings, x)

    return reconstruct


def misbehave(settings, x):
    if settings.tally:
        tally = Path(settings.tally)
        (tally / str(len(list(tally.iterdir())))).touch()
    match settings.trouble:
        case "nan":
            x[0, 0, 0] = torch.nan
        case "shape":
            return x[..., :-1]
        case "type":
            return "an image"
        case "raise":
            raise ValueError("I do not like this image")
        case "raise in a batch" if len(x) > 1:
            raise ValueError("too many at once")
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(600)
        case "hang at first" if len(list(tally.iterdir())) == 1:
            time.sleep(600)
        case "slow":
            time.sleep(0.3 * len(x))
    return x


METHODS = (
    Method(
        name="one",
        title="Scaled backprojection",
        family="direct",
        summary="Backprojection scaled to fit the data.",
        reference="none",
        build=build,
        settings=Settings(),
        search={"scale": Log(0.1, 10)},
    ),
)
