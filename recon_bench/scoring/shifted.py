"""A cell under another operator than its task's: what is measured, and what the method is told."""

from __future__ import annotations

import dataclasses

import torch

from recon_bench.core import Operator, Sample
from recon_bench.measurement import Cell
from recon_bench.scoring.host import Host
from recon_bench.scoring.identify import Estimate
from recon_bench.task import Parameter, Shift


def observed(cell: Cell, shift: Shift | None, images: int) -> list[Sample]:
    """The first ``images`` of the test split, of as many as the rules score, with data of A1, or A0 without a shift."""
    task = cell.task.shifted(shift) if shift else cell.task
    count = min(images, cell.rules.images, task.sizes["test"])
    return [task.observe("test", index) for index in range(count)]


def told(cell: Cell, operator: Operator | None = None, task: str = "") -> Host:
    """The method set up for an operator, A0 unless given, with the weights of its own or another ``task``."""
    problem = cell.task.problem(cell.device)
    problem = dataclasses.replace(problem, operator=operator or problem.operator, task=task or problem.task)
    method = Host(cell.method, problem)
    method.set_up(cell.settings, cell.rules.seeds[0])
    return method


def assumed(parameter: Parameter | None, A0: Operator) -> Operator:
    """The operator that who is ignorant believes in."""
    return parameter.make_operator(parameter.assumed, A0.device, torch.float32) if parameter else A0


def chosen(parameter: Parameter, found: Estimate) -> float:
    """The value to take: what was found, or that of A0 where it is not identified."""
    return found.value if found.identified else parameter.assumed
