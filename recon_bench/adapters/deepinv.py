"""deepinv: operators of ours as its ``LinearPhysics`` and back; its models and optimisers as methods.

There, images and data are ``(batch, channels, rows, columns)``, complex ones as two channels. A model is handed an
operator of norm one and data in units of the data range, so that images lie in about [0, 1], as its denoisers and
step sizes expect.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from recon_bench import learned
from recon_bench.adapters import functions
from recon_bench.core import Method, Operator, Problem, Reconstructor
from recon_bench.operators import FunctionOperator
from recon_bench.recipe import Recipe
from recon_bench.solvers import operator_norm


def as_method(name: str, function: functions.Function, recipe: Recipe | None = None, **facts: Any) -> Method:
    """The method ``name`` whose model is ``function(physics, **settings)``, with ``model(y, physics)`` the images.

    With a ``recipe`` the model is a network that `recon-bench train` trains, and whose weights are kept; without one it
    is ready as it is made. ``facts`` are ``search``, ``depth`` and others of :class:`Method`. NotApplicable where
    deepinv is not installed.
    """

    def network(problem: Problem, solve: Callable[[Any], nn.Module]) -> nn.Module:
        load()
        made = Model(solve(as_physics(problem.operator, operator_norm(problem.operator))))
        return made.to(problem.operator.device)

    def prepare(problem: Problem, solve: Callable[[Any], nn.Module]) -> Reconstructor:
        with torch.random.fork_rng(devices=[]):  # modules that are made draw numbers
            model = network(problem, solve).eval().requires_grad_(False)
        return lambda y, A: model(y / problem.data_range, A) * problem.data_range

    if recipe is None:
        return functions.method(name, function, prepare, facts)
    return functions.learned_method(name, function, network, recipe, facts)


class Model(nn.Module):
    """``(y, A) -> x`` of a deepinv ``model``, ``(y, physics) -> x``.

    Every call has a copy, with the model's own parameters and buffers: priors of deepinv keep the last iterate and
    would start the next image from it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor, A: Operator) -> Tensor:
        """Data ``(batch, *range_shape)`` to images ``(batch, *domain_shape)``."""
        norm = operator_norm(A)
        own = {id(tensor): tensor for tensor in (*self.model.parameters(), *self.model.buffers())}
        model = copy.deepcopy(self.model, own)
        return learned.from_channels(model(learned.to_channels(y) / norm, as_physics(A, norm)), A.dtype)


def as_physics(A: Operator, norm: float = 1.0) -> Any:
    """``A`` divided by ``norm`` as a deepinv ``LinearPhysics``."""
    scaled = learned.Scaled(A, norm)
    return load().physics.LinearPhysics(
        A=lambda x, **_: scaled(x),
        A_adjoint=lambda y, **_: scaled.adjoint(y),
        img_size=(1 + A.dtype.is_complex, *A.domain_shape),
        device=A.device,
    )


def as_operator(
    physics: Any,
    domain_shape: tuple[int, ...],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> FunctionOperator:
    """A linear deepinv ``physics`` on images of ``domain_shape`` as an operator of ours, without its noise."""
    device = torch.device(device)

    def batch(linear: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: learned.from_channels(linear(learned.to_channels(x)), dtype)

    forward = batch(physics.A)
    shape = tuple(forward(torch.zeros(1, *domain_shape, dtype=dtype, device=device)).shape[1:])
    return FunctionOperator(domain_shape, shape, forward, batch(physics.A_adjoint), device, dtype)


def load() -> ModuleType:
    """The deepinv module; NotApplicable, with what to install, where it cannot be imported.

    It imports torchvision, which refuses a torch that it was not built for, because compiled operators are missing.
    deepinv uses none of them, so that their declarations are enough.
    """
    try:
        functions.module("torchvision", "deepinv")
    except RuntimeError:  # operator torchvision::nms does not exist
        declared = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(declared)
    return functions.module("deepinv")


_KEPT: list[Any] = []  # declarations last as long as their library
