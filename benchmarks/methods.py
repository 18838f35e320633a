"""Seconds, peak memory and error of a method of each family, on validation images; nothing is chosen by them."""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from recon_bench import registry
from recon_bench.core import NotConverged
from recon_bench.scoring.metrics import nmse

TASK = "ct-ellipses-30"
METHODS = (
    "fbp",
    "tsvd",
    "cgls",
    "tv-isotropic-nonneg",
    "fista",
    "plug-and-play",
    "unet",
    "learned-primal-dual",
    "equilibrium",
)


def prepare(name: str, images: int) -> tuple[Tensor, Callable[[], Tensor]]:
    """The first truths ``(images, rows, columns)`` and what reconstructs them, set up with settings as they come."""
    if name not in registry.methods():
        raise NotImplementedError(f"{name} came later")
    warnings.simplefilter("ignore", NotConverged)
    problem, method = registry.task(TASK).problem(), registry.method(name)
    samples = [problem.validation[index] for index in range(images)]
    data, A = torch.stack([sample.data for sample in samples]), problem.operator
    call = method.build(problem, method.settings)

    @torch.no_grad()
    def reconstruct() -> Tensor:
        return call(data, A)

    reconstruct()  # what is made once and kept is made now
    return torch.stack([sample.truth for sample in samples]), reconstruct


class Reconstruction:
    """One image."""

    params = METHODS
    param_names = ("method",)
    repeat = (1, 5, 10.0)
    timeout = 300

    def setup(self, name: str) -> None:
        _, self.reconstruct = prepare(name, 1)

    def time_reconstruct(self, name: str) -> None:
        self.reconstruct()

    def peakmem_reconstruct(self, name: str) -> None:
        self.reconstruct()


class Quality:
    """Mean NMSE of two images."""

    params = METHODS
    param_names = ("method",)
    unit = "NMSE"
    timeout = 300

    def track_nmse(self, name: str) -> float:
        truth, reconstruct = prepare(name, 2)
        error = float(nmse(truth, reconstruct()).mean())
        if not math.isfinite(error):
            raise ValueError(f"the NMSE of {name} is {error}: its reconstruction holds numbers that are not finite")
        return error
