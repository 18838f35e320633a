"""What a method answers: an image, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon_bench.core import NotApplicable
from recon_bench.scoring.frames import raised_at

LARGEST = 1e10  # times the data range: of no image that large is it of interest how wrong it is
UNCLASSED = ("allocate memory", "DefaultCPUAllocator")  # in errors of too little memory that have no class of their own
SHORT = "out of memory on "  # how the reason of what did not fit begins


class MethodError(RuntimeError):
    """What a method raised in a process of its own, as ``ValueError: its text at file.py:12``."""


@dataclass(frozen=True)
class Reconstruction:
    """An image ``x`` (*domain_shape) on the CPU, or the ``error`` that it ended in; ``note`` warns.

    ``seen``: what the method did meanwhile that it may not, which the note says as well.
    """

    x: Tensor | None = None
    error: str | None = None
    note: str | None = None
    seen: tuple[str, ...] = ()


def checked(image: Tensor, note: str | None, data_range: float) -> Reconstruction:
    """An image (*domain_shape) as it counts: one that is not finite or has diverged is an error."""
    bad = int((~torch.isfinite(torch.view_as_real(image) if image.is_complex() else image)).sum())
    if bad:
        return Reconstruction(error=f"the reconstruction has {bad} values that are NaN or infinite")
    if (size := float(image.abs().max()) / data_range) > LARGEST:
        return Reconstruction(error=f"diverged: values of {size:.0e} times the data range")
    return Reconstruction(x=image, note=note)


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is one of the ways to run out of memory, here or where a method runs apart."""
    said = any(text in str(error) for text in UNCLASSED) or str(error).startswith(SHORT)
    return said or isinstance(error, torch.OutOfMemoryError | MemoryError)


def reason(error: BaseException, device: torch.device) -> str:
    """Why a method failed, for its row: with the line of its file, unless it does not apply or memory did not do."""
    text = str(error) if isinstance(error, MethodError) else _said(error)
    if out_of_memory(error) and not text.startswith(SHORT):
        return f"{SHORT}{device}: {text.partition(': ')[2]}"
    return text


def _said(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    place = "" if isinstance(error, NotApplicable) or out_of_memory(error) else raised_at(error)
    return text + f" at {place}" * bool(place)
