"""Trained weights in few bits: integers and steps, packed into bytes that a safetensors file can hold.

A tensor is kept as ``integer * step``. Each index of its first dimension has a step of its own, a power of two to an
eighth, ``2 ** (8 - code / 8)`` with a ``code`` of 0 to 255: one byte, and the same number on every machine. Small steps
for what matters and large ones for the rest cost little, since integers are kept in as many bits as their distribution
asks for, not as their range does: each is cut into its ``low`` lowest bits, which are close to random and kept as they
are, and the rest, -128 to 127, which has a Huffman code. A file, as safetensors reads it, has

    ":index"   uint8 (bytes,)   JSON: {"format": 1, "tensors": [[name, shape, low], ...]}
    ":codes"   uint8 (rows,)    of the steps of all those tensors, one after the other
    ":high"    uint8 (bytes,)   zlib's stream of the high parts of all integers, one byte each, plus 128
    ":low"     uint8 (bytes,)   the low bits of all integers, the lowest of each first, in whole bytes for each tensor

and every other tensor under its own name. Without ":index" it is an ordinary file, which `decode` gives as it is.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

FORMAT = 1
INDEX, CODES, HIGH, LOW = PARTS = (":index", ":codes", ":high", ":low")
OCTAVE, LARGEST = 8, 8  # codes for a factor of two; log2 of the largest step
ENTROPY = math.log2(math.sqrt(2 * math.pi * math.e))  # bits of normal numbers of deviation 1 in steps of 1


class FormatError(ValueError):
    """Packed weights that cannot be unpacked; the text says what is wrong."""


@dataclass(frozen=True)
class Rounded:
    """A tensor as int32 ``integers`` of its shape and the uint8 ``codes`` of the steps, ``(shape[0],)``."""

    integers: Tensor
    codes: Tensor

    def value(self) -> Tensor:
        """The tensor in float32."""
        rows = self.integers.reshape(len(self.codes), -1).double() * steps(self.codes)[:, None]
        return rows.float().reshape(self.integers.shape)


def steps(codes: Tensor) -> Tensor:
    """The steps of ``codes`` (rows,), uint8, in float64."""
    return torch.exp2(LARGEST - codes.double() / OCTAVE)


def nearest_codes(wanted: Tensor) -> Tensor:
    """Codes (rows,), uint8, of the steps nearest to those ``wanted`` (rows,)."""
    return ((LARGEST - wanted.double().log2()) * OCTAVE).round().clamp(0, 255).to(torch.uint8)


def rounded(tensor: Tensor, bits: float) -> Rounded:
    """``tensor`` in about ``bits`` bits a number: every number to the nearest, steps in proportion to each row."""
    rows = tensor.detach().cpu().double().reshape(len(tensor), -1)
    codes = nearest_codes(rows.square().mean(1).sqrt() * 2 ** (ENTROPY - bits))
    return Rounded((rows / steps(codes)[:, None]).round().to(torch.int32).reshape(tensor.shape), codes)


def encode(state: Mapping[str, Tensor], few: Mapping[str, Rounded]) -> dict[str, Tensor]:
    """What to keep of ``state``: the tensors of ``few`` packed, the others as they are.

    ValueError for a name of ``few`` that ``state`` lacks, or one that the format uses.
    """
    if unknown := few.keys() - state.keys() | {name for name in state if name in PARTS}:
        raise ValueError(f"cannot be packed: {', '.join(sorted(unknown))}")
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items() if name not in few}
    if not few:
        return kept
    index, high, low = [], b"", b""
    for name, tensor in few.items():
        integers = tensor.integers.numpy().ravel()
        count = _low_bits(integers)
        index.append([name, list(tensor.integers.shape), count])
        high += ((integers >> count) + 128).astype(np.uint8).tobytes()
        low += _packed(integers, count)
    text = json.dumps({"format": FORMAT, "tensors": index}).encode()
    codes = torch.cat([tensor.codes for tensor in few.values()])
    return kept | {INDEX: _tensor(text), CODES: codes, HIGH: _tensor(_huffman(high)), LOW: _tensor(low)}


def decode(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `encode` was given, packed tensors in float32; FormatError where the parts do not fit together."""
    state = {name: tensor for name, tensor in tensors.items() if name not in PARTS}
    if INDEX not in tensors:
        return state
    index = _index(tensors)
    sizes = [math.prod(shape) for _, shape, _ in index]
    codes, high, low = tensors[CODES], _unhuffman(_bytes(tensors[HIGH]), sum(sizes)), _bytes(tensors[LOW])
    rows = [shape[0] for _, shape, _ in index]
    lengths = [math.ceil(size * count / 8) for size, (_, _, count) in zip(sizes, index)]
    if (len(codes), len(low)) != (sum(rows), sum(lengths)):
        raise FormatError("its parts are not of the lengths that its index tells")
    for (name, shape, count), size, length, own in zip(index, sizes, lengths, codes.split(rows)):
        top = np.frombuffer(high[:size], np.uint8).astype(np.int32) - 128
        integers = (top << count) + _unpacked(low[:length], size, count)
        state[name] = Rounded(torch.from_numpy(integers).reshape(shape), own).value()
        high, low = high[size:], low[length:]
    return state


def _index(tensors: Mapping[str, Tensor]) -> list[tuple[str, list[int], int]]:
    """Name, shape and low bits of each packed tensor, checked."""
    if missing := [part for part in PARTS if part not in tensors or tensors[part].dtype != torch.uint8]:
        raise FormatError(f"it has no bytes {', '.join(missing)}")
    try:
        told = json.loads(_bytes(tensors[INDEX]))
        form, index = told["format"], told.get("tensors")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(f"its index cannot be read ({error!r})") from error
    if form != FORMAT:
        raise FormatError(f"its format is {form}, and only {FORMAT} is known here; a newer recon_bench may read it")
    if not isinstance(index, list) or not all(_is_entry(entry) for entry in index):
        raise FormatError("its index is damaged")
    return [(name, shape, count) for name, shape, count in index]


def _is_entry(entry: Any) -> bool:
    """Whether ``entry`` is a name, a shape with at least one dimension, and a number of low bits."""
    if not (isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str) and isinstance(entry[1], list)):
        return False
    shape, count = entry[1:]
    whole = all(type(number) is int for number in [*shape, count])
    return whole and bool(shape) and min(shape) > 0 and 0 <= count <= 24


def _low_bits(integers: np.ndarray) -> int:
    """The fewest low bits that leave a byte to the rest of each integer."""
    largest = max((int(integers.max()), -int(integers.min()) - 1), default=0)
    return max(0, largest.bit_length() - 7)


def _packed(integers: np.ndarray, count: int) -> bytes:
    """The ``count`` lowest bits of int32 ``integers``, in two's complement."""
    return np.packbits((integers[:, None] >> np.arange(count)) & 1).tobytes()


def _unpacked(packed: bytes, size: int, count: int) -> np.ndarray:
    """The ``size`` int32 numbers whose ``count`` lowest bits were packed."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=size * count).reshape(size, count)
    return (bits.astype(np.int32) << np.arange(count, dtype=np.int32)).sum(1, dtype=np.int32)


def _huffman(content: bytes) -> bytes:
    """zlib without its search for repetitions: weights have none."""
    coder = zlib.compressobj(9, memLevel=9, strategy=zlib.Z_HUFFMAN_ONLY)
    return coder.compress(content) + coder.flush()


def _unhuffman(content: bytes, size: int) -> bytes:
    """``size`` bytes; never more, whatever ``content`` claims."""
    decoder = zlib.decompressobj()
    try:
        found = decoder.decompress(content, size + 1)
    except zlib.error as error:
        raise FormatError(f"its integers cannot be read ({error})") from error
    if len(found) != size or not decoder.eof:
        raise FormatError(f"it has not the {size} integers that its index tells")
    return found


def _tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.zeros(0, dtype=torch.uint8)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()
