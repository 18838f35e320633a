"""The autograd glue, written once: the matched adjoint of a linear map is its backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


class _Linear(torch.autograd.Function):
    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, forward: Map, adjoint: Map) -> Tensor:
        return forward(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Map, Map], output: Tensor) -> None:
        _, ctx.map, ctx.adjoint = inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return linear(grads[0], ctx.adjoint, ctx.map), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return linear(tangent, ctx.map, ctx.adjoint)


def linear(x: Tensor, forward: Map, adjoint: Map) -> Tensor:
    """``forward(x)``, whose gradient with respect to ``x`` is computed by ``adjoint`` (and so on for higher orders)."""
    return _Linear.apply(x, forward, adjoint)


def flatten_batch(x: Tensor, shape: tuple[int, ...], dtype: torch.dtype, name: str) -> tuple[Tensor, tuple[int, ...]]:
    """View ``x`` of ``(*batch, *shape)`` as ``(n, *shape)``; gives that and the batch dimensions.

    Raises ValueError for another shape and TypeError for another dtype.
    """
    if tuple(x.shape[x.ndim - len(shape) :]) != shape or x.ndim < len(shape):
        raise ValueError(
            f"{name} expects (*batch, {', '.join(map(str, shape))}), got {tuple(x.shape)}: "
            "leading dimensions are batch, the last ones must match"
        )
    if x.dtype != dtype:
        raise TypeError(f"{name} was built for {dtype}, got {x.dtype}: convert with .to({dtype})")
    batch = tuple(x.shape[: x.ndim - len(shape)])
    return x.reshape(-1, *shape), batch
