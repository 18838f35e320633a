"""Runs a reconstructor on a batch and turns whatever goes wrong into reasons, image by image."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_bench.core import NotConverged, Operator, Problem, Reconstructor, Sample


@dataclass(frozen=True)
class Outcome:
    """A reconstruction ``x`` (*domain_shape) on the CPU, or the ``error`` that it ended in; ``note`` warns."""

    x: Tensor | None = None
    error: str | None = None
    note: str | None = None


def reconstruct_each(
    reconstruct: Reconstructor, operator: Operator, samples: Sequence[Sample], device: torch.device
) -> list[Outcome]:
    """One outcome per sample, reconstructed as one batch; if that raises, one by one, so only the guilty fail."""
    try:
        return _reconstruct(reconstruct, operator, samples, device)
    except Exception as error:  # a method may raise anything; the reason becomes its row
        if len(samples) == 1:
            return [Outcome(error=_reason(error, device))]
    return [reconstruct_each(reconstruct, operator, [sample], device)[0] for sample in samples]


def _reconstruct(
    reconstruct: Reconstructor, operator: Operator, samples: Sequence[Sample], device: torch.device
) -> list[Outcome]:
    y = torch.stack([sample.data for sample in samples]).to(device)
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always", NotConverged)
        x = reconstruct(y.clone(), operator)
    where = "" if len(samples) == 1 else f" (at least one of {len(samples)} images together)"
    notes = [f"{w.message}{where}" for w in caught if issubclass(w.category, NotConverged)]
    expected = (len(samples), *operator.domain_shape)
    if not isinstance(x, Tensor) or tuple(x.shape) != expected:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        return [Outcome(error=f"the reconstruction should be a tensor of shape {expected}, got {got}")] * len(samples)
    x = x.detach().to("cpu")
    return [_checked(image, notes[-1] if notes else None) for image in x]


def _checked(image: Tensor, note: str | None) -> Outcome:
    bad = int((~torch.isfinite(torch.view_as_real(image) if image.is_complex() else image)).sum())
    if bad:
        return Outcome(error=f"the reconstruction has {bad} values that are NaN or infinite")
    return Outcome(x=image, note=note)


def _reason(error: Exception, device: torch.device) -> str:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return f"out of memory on {device}: {error}"
    return f"{type(error).__name__}: {error}"


@dataclass
class Counting:
    """An operator that counts its applications; everything else is the operator's own.

    ``weight`` is the part of the whole that one application is: the parts of ``split(n)`` weigh 1/n.
    """

    operator: Any
    weight: float = 1.0
    tally: list[float] = dataclasses.field(default_factory=lambda: [0.0])

    def __call__(self, x: Tensor) -> Tensor:
        self.tally[0] += self.weight / 2
        return self.operator(x)

    def adjoint(self, y: Tensor) -> Tensor:
        self.tally[0] += self.weight / 2
        return self.operator.adjoint(y)

    def __getattr__(self, name: str) -> Any:
        if name == "operator":  # not set yet, as while unpickling
            raise AttributeError(name)
        value = getattr(self.operator, name)
        if name == "split":  # of operators that can be
            return lambda n: [Counting(part, self.weight / n, self.tally) for part in value(n)]
        return value

    @property
    def pairs(self) -> float:
        """Applications of the pair (A, adjoint) so far; one of either counts half."""
        return self.tally[0]


def seeded(settings: Any, seed: int) -> Any:
    """The settings with their ``seed`` field, where they have one, set to ``seed``."""
    fields = {field.name for field in dataclasses.fields(settings)} if settings is not None else set()
    return dataclasses.replace(settings, seed=seed) if "seed" in fields else settings


def with_operator(problem: Problem, operator: Any) -> Problem:
    """The problem with another operator in the place of A0."""
    return dataclasses.replace(problem, operator=operator)
