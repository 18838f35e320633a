"""Seconds, peak memory and error of reconstructions of validation images; nothing is chosen by them."""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from recon_bench.core import NotConverged
from recon_bench.registry import method, task, with_settings
from recon_bench.scoring.metrics import nmse

TV = "tv-isotropic-nonneg"
TASKS = ("ct-ellipses-30", "ct-ellipses-50")


def prepare(method_name: str, task_name: str, images: int, **settings: float) -> tuple[Tensor, Callable[[], Tensor]]:
    """The first truths ``(images, rows, columns)`` and what reconstructs them, set up."""
    chosen, problem = method(method_name), task(task_name).problem()
    samples = [problem.validation[i] for i in range(images)]
    data = torch.stack([sample.data for sample in samples])
    call = chosen.build(problem, with_settings(chosen, settings))
    return torch.stack([sample.truth for sample in samples]), lambda: call(data, problem.operator)


class Fbp:
    """Filtered backprojection of one image."""

    params = TASKS
    param_names = ("task",)

    def setup(self, task_name: str) -> None:
        _, self.reconstruct = prepare("fbp", task_name, 1)

    def time_reconstruct(self, task_name: str) -> None:
        self.reconstruct()

    def peakmem_reconstruct(self, task_name: str) -> None:
        self.reconstruct()


class TotalVariation:
    """Ten iterations of TV on one image, from zero."""

    params = TASKS
    param_names = ("task",)

    def setup(self, task_name: str) -> None:
        warnings.simplefilter("ignore", NotConverged)
        _, self.reconstruct = prepare(TV, task_name, 1, iterations=10, tolerance=0.0)

    def time_ten_iterations(self, task_name: str) -> None:
        self.reconstruct()

    def peakmem_ten_iterations(self, task_name: str) -> None:
        self.reconstruct()


class Quality:
    """Mean NMSE of two images with the default settings."""

    params = ("fbp", TV)
    param_names = ("method",)
    unit = "NMSE"

    def track_nmse(self, name: str) -> float:
        truth, reconstruct = prepare(name, "ct-ellipses-30", 2)
        error = float(nmse(truth, reconstruct()).mean())
        if not math.isfinite(error):
            raise ValueError(f"the NMSE of {name} is {error}: its reconstruction holds numbers that are not finite")
        return error
