"""How much memory a call takes: tensors that are alive at once, what autograd keeps, and what a GPU says of itself.

Counted are raw bytes of untyped storages, each once however many tensors share it; a storage that is freed is taken
off. On a CPU two runs give the same bytes. Not seen are workspaces inside of one operation (convolutions, FFTs, sparse
products), memory of C libraries and of numpy, the allocator's rounding, and what was there before: constants such as
the matrix of an operator.

:class:`Alive` is a dispatch mode, and so sees everything that torch makes, also in a backward pass, in custom autograd
functions and where a checkpoint computes again. :class:`Saved` sees what passes saved-tensor hooks; tensors that a
checkpoint computes again in the backward pass, or a function keeps as its attributes, do not, but they are alive.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recon_bench.scoring import clock

GPU = ("allocated", "active", "reserved", "device")


@dataclass(frozen=True)
class Footprint:
    """``peak``: bytes of tensors that were alive at once, what the call was given included. ``saved``: the most that
    autograd kept at once, without what the call was given; 0 without a graph. ``gpu``: bytes by the names in GPU, the
    peaks of torch's allocator and what is taken of the whole device; empty on a CPU."""

    peak: int
    saved: int
    gpu: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What forward and backward through a reconstruction cost.

    ``seconds`` for both; ``saved_bytes`` that autograd keeps from one for the other, each storage counted once.
    """

    seconds: float
    saved_bytes: int


def of(call: Callable[[], object], given: Iterable[Tensor], device: torch.device) -> Footprint:
    """The footprint of ``call()``, which may take a backward pass. ``given``: its input and parameters.

    Raises what the call raises.
    """
    given = list(given)
    _reset(device)
    alive, saved = Alive(given), Saved(given)
    with alive, torch.autograd.graph.saved_tensors_hooks(saved.pack, saved.unpack):
        call()
    return Footprint(alive.peak, saved.peak, _gpu(device))


class Alive(TorchDispatchMode):
    """The bytes of storages that are alive ``now`` and the most there were: ``given`` ones and those made within."""

    def __init__(self, given: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._note(given, counted=True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._note(_tensors((args, kwargs)), counted=False)  # what comes from outside, which results may be views of
        result = func(*args, **kwargs)
        self._note(_tensors(result), counted=True)
        return result

    def _note(self, tensors: Iterable[Tensor], counted: bool) -> None:
        for storage in (storage for tensor in tensors for storage in storages(tensor)):
            key = id(storage)
            if key not in self._known:
                size = storage.nbytes() if counted else 0
                self._known[key] = weakref.ref(storage, partial(self._freed, key, size))
                self.now += size
                self.peak = max(self.peak, self.now)

    def _freed(self, key: int, size: int, _: object) -> None:
        self._known.pop(key, None)
        self.now -= size


class Saved:
    """Hooks for what autograd saves: the bytes that it holds ``now`` and the most it held, without ``given`` ones."""

    def __init__(self, given: Iterable[Tensor] = ()) -> None:
        self.now = self.peak = 0
        self._given = {storage.data_ptr() for tensor in given for storage in storages(tensor)}
        self._held: Counter[int] = Counter()

    def pack(self, tensor: Tensor) -> _Kept:
        """The tensor in a parcel; it counts until the graph throws that away."""
        kept = _Kept(tensor)
        for storage in storages(tensor):
            key, size = storage.data_ptr(), storage.nbytes()
            if key not in self._given and size:
                self.now += 0 if self._held[key] else size
                self._held[key] += 1
                self.peak = max(self.peak, self.now)
                weakref.finalize(kept, self._dropped, key, size)
        return kept

    def unpack(self, kept: _Kept) -> Tensor:
        """The tensor that was kept for the backward pass."""
        return kept.tensor

    def _dropped(self, key: int, size: int) -> None:
        self._held[key] -= 1
        self.now -= 0 if self._held[key] else size


class _Kept:
    """A tensor that autograd saved."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def storages(tensor: Tensor) -> list[torch.UntypedStorage]:
    """What holds the values of a tensor, of a sparse one its indices and values."""
    if tensor.layout is torch.strided:
        return [tensor.untyped_storage()]
    if tensor.layout is torch.sparse_csr:
        return [part.untyped_storage() for part in (tensor.crow_indices(), tensor.col_indices(), tensor.values())]
    if tensor.layout is torch.sparse_coo:
        return [part.untyped_storage() for part in (tensor._indices(), tensor._values())]
    return []


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _reset(device: torch.device) -> None:
    if device.type == "cuda":
        clock.synchronise(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _gpu(device: torch.device) -> dict[str, int]:
    """Peaks of torch's allocator since the reset, and what all processes have taken of the device now."""
    if device.type != "cuda":
        return {}
    clock.synchronise(device)
    told = torch.cuda.memory_stats(device)
    free, total = torch.cuda.mem_get_info(device)
    peaks = {name: int(told[f"{name}_bytes.all.peak"]) for name in GPU[:3]}
    return peaks | {"device": total - free}
