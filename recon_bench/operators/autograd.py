"""The glue between linear maps and torch, written once: any batch, autograd, torch.func, autocast.

The matched adjoint of a linear map is its backward, and a map is its own derivative. Because any leading dimensions
are batch, one more of them is all that vmap needs. A map is computed in its own precision, under autocast too: its sums
are long.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Map:
    """One direction of an operator: ``apply`` takes ``(n, *source)``, n >= 1, to a new tensor of n ``target``s.

    What ``apply`` gives may have any shape with these elements in order. ``name`` is for messages.
    """

    apply: Callable[[Tensor], Tensor]
    source: tuple[int, ...]
    target: tuple[int, ...]
    dtype: torch.dtype
    name: str


def _forward(x: Tensor, there: Map, back: Map) -> Tensor:
    batch = x.shape[: x.ndim - len(there.source)]
    if x.numel() == 0:
        return x.new_zeros(*batch, *there.target)
    flat = x if len(batch) == 1 else x.reshape(-1, *there.source)
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            y = there.apply(flat)
    else:
        y = there.apply(flat)
    # a reshape that autograd does not know for a view, so that the result may be changed in place
    return _unsafe_view(y.contiguous(), (*batch, *there.target))


# torch asks for it at every call, and finding out takes longer than all the rest of a small one
_forward.__dict__["__signature__"] = inspect.signature(_forward)
_unsafe_view = torch.ops.aten._unsafe_view.default


class _Linear(torch.autograd.Function):
    generate_vmap_rule = False
    forward = staticmethod(_forward)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Map, Map], output: Tensor) -> None:
        _, ctx.there, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return linear(grads[0], ctx.back, ctx.there), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return linear(tangent, ctx.there, ctx.back)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None, None], x: Tensor, there: Map, back: Map) -> tuple[Tensor, int]:
        return linear(x.movedim(in_dims[0], 0), there, back), 0


def linear(x: Tensor, there: Map, back: Map) -> Tensor:
    """``x`` of ``(*batch, *there.source)`` mapped to ``(*batch, *there.target)``; its gradient is mapped by ``back``.

    Under autocast, ``x`` in half precision is taken to the map's own. The result is new memory. Raises ValueError for
    another shape and TypeError for another dtype.
    """
    source, dtype = there.source, there.dtype
    if x.ndim < len(source) or x.shape[x.ndim - len(source) :] != source:
        raise ValueError(
            f"{there.name} expects (*batch, {', '.join(map(str, source))}), got {tuple(x.shape)}: "
            "leading dimensions are batch, the last ones must match"
        )
    if x.dtype in _HALF and not dtype.is_complex and torch.is_autocast_enabled(x.device.type):
        x = x.to(dtype)
    if x.dtype != dtype:
        raise TypeError(f"{there.name} was built for {dtype}, got {x.dtype}: convert with .to({dtype})")
    return _Linear.apply(x, there, back)
