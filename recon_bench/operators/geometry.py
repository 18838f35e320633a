"""How a scan is laid out: the geometry of its rays, with no code that follows them."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ParallelBeam:
    """Geometry of a parallel-beam scan; all lengths in one unit, that of ``pixel``.

    ``size``: rows and columns of the image; ``angles``: view angles in radians; ``bins``: detector bins per view,
    ``spacing`` apart, their middle moved by ``shift``; ``pixel``: side of a pixel. Numbers of NumPy and torch, and
    ``angles`` as their arrays, are taken over as Python's own with the value that they have.
    """

    size: int
    angles: tuple[float, ...]
    bins: int
    spacing: float = 1.0
    shift: float = 0.0
    pixel: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles", _numbers(self.angles))
        for name in ("size", "bins"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))
        for name in ("spacing", "shift", "pixel"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.size < 1 or self.bins < 1 or not self.angles:
            raise ValueError(
                f"a scan needs size, bins and views >= 1, got {self.size}, {self.bins}, {len(self.angles)}"
            )
        if not (self.spacing > 0 and self.pixel > 0 and math.isfinite(self.shift + sum(self.angles))):
            raise ValueError(f"spacing and pixel must be > 0, shift and angles finite; got {self}")


def evenly(views: int, start: float = 0.0, stop: float = math.pi, offset: float = 0.0) -> tuple[float, ...]:
    """View angles ``start + offset + (stop - start) i / views`` in radians, i = 0 .. views - 1."""
    return tuple(start + offset + (stop - start) * i / views for i in range(views))


def _numbers(angles: Any) -> tuple[float, ...]:
    """``angles``, a sequence or an array of one dimension on any device, as Python floats."""
    values = angles.tolist() if hasattr(angles, "tolist") else angles
    if isinstance(values, Iterable) and not isinstance(values, str | bytes):
        values = list(values)
        try:
            return tuple(float(value) for value in values)
        except TypeError:
            pass
    raise ValueError(f"angles must be one sequence of numbers, in radians, got {angles!r}")
