"""Seconds to the first image of a task that is at hand: reading the weights, building the network, reconstructing."""

from __future__ import annotations

import pytest
import torch

from recon_bench import registry, weights
from recon_bench.scoring import clock

OWN = [facts for facts in weights.registry().values() if not facts["seed"] and not facts["variant"]]
TRAINED = sorted((facts["task"], facts["method"]) for facts in OWN)
CPU = torch.device("cpu")
REQUIRED = 3.0  # seconds


@pytest.mark.parametrize(("task", "method"), TRAINED)
def test_first_image(task, method, benchmark, tables):
    problem, item = registry.task(task).problem(), registry.method(method)
    y = registry.task(task).observe("test", 0).data[None]

    def first() -> torch.Tensor:
        with torch.no_grad():
            return item.build(problem, item.settings)(y, problem.operator)

    seconds, _ = clock.seconds(first, CPU)
    benchmark.pedantic(first, rounds=3)
    row = {"task": task, "method": method, "first": f"{seconds:.2f} s", "again": f"{benchmark.stats['median']:.2f} s"}
    missed = ", missed" if seconds >= REQUIRED else ""
    tables.add("Weights and the first image", row | {"required": f"< {REQUIRED:g} s{missed}"})
