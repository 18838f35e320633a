"""What crosses between the process of a method and that of its measurement: tensors, plain data and a few records.

A message is JSON, followed by the bytes of its tensors. Nothing that arrives is ever run, as unpickling would.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from recon_bench.fixed_point import Limits
from recon_bench.scoring.adaptation import Adapted, Budget, Measured, Reuse
from recon_bench.scoring.equilibria import Effort, FixedPoint
from recon_bench.scoring.footprint import Cost, Footprint
from recon_bench.scoring.named import Named

CROSSING = (Adapted, Budget, Cost, Effort, FixedPoint, Footprint, Limits, Measured, Named, Reuse)
RECORDS = {each.__name__: each for each in CROSSING}
TYPES = {str(each).removeprefix("torch."): each for each in vars(torch).values() if isinstance(each, torch.dtype)}


def send(line: Connection, value: Any) -> None:
    """Send ``value``; TypeError where it may not cross, of which nothing is sent."""
    tensors = list[Tensor]()
    text = json.dumps(_plain(value, tensors)).encode()
    parts = [tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data for tensor in tensors]
    line.send_bytes(text)
    for part in parts:
        line.send_bytes(part)


def receive(line: Connection) -> Any:
    """What was sent, tuples as lists; EOFError or OSError where the other end is gone, ValueError for no message."""
    data = json.loads(line.recv_bytes())
    return _restored(data, iter(lambda: line.recv_bytes(), None))


def _plain(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, Tensor):
        whole = value.detach().as_subclass(Tensor).resolve_conj().resolve_neg().cpu()
        tensors.append(whole)
        return {"type": str(whole.dtype).removeprefix("torch."), "shape": list(whole.shape)}
    if isinstance(value, list | tuple):
        return [_plain(each, tensors) for each in value]
    if isinstance(value, dict):
        return {"map": {str(key): _plain(each, tensors) for key, each in value.items()}}
    if type(value).__name__ in RECORDS:
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"record": type(value).__name__, **_plain(fields, tensors)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"expected tensors and plain data, got {type(value).__name__}")


def _restored(data: Any, parts: Iterator[bytes]) -> Any:
    if isinstance(data, list):
        return [_restored(each, parts) for each in data]
    if not isinstance(data, dict):
        return data
    if "type" in data:
        return _tensor(next(parts), TYPES[data["type"]], data["shape"])
    fields = {key: _restored(each, parts) for key, each in data["map"].items()}
    return RECORDS[data["record"]](**fields) if "record" in data else fields


def _tensor(content: bytes, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if not content:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=dtype).reshape(shape)
