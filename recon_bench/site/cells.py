"""Cells of tables: a value as text, as what it is sorted by, and with the ends of its interval below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from recon_bench.site.text import fixed
from recon_bench.tables.statistics import Interval

EMPTY = {"raw": "", "text": "–", "ends": ""}
DIVERGED = "diverged"
Write = Callable[[float], str]


def decimal(value: float, digits: int = 2, signed: bool = False) -> str:
    """With a real minus sign, and a plus in front of what is ``signed`` and not below zero."""
    return f"{value:{'+' * signed}z.{digits}f}".replace("-", "−")


signed = partial(decimal, signed=True)


def digits(count: int) -> Write:
    """So many digits after the point, more of what is small."""
    return partial(fixed, digits=count)


def cell(value: Interval, write: Write = decimal) -> dict[str, str]:
    """A value with the ends of its interval, where there are some."""
    return number(value.value, write) | {"ends": ends(value, write)}


def number(value: float, write: Write = decimal) -> dict[str, str]:
    """A value without an interval; an infinite one is of an image that diverged."""
    if math.isnan(value):
        return EMPTY
    if math.isinf(value):
        return {"raw": "Infinity" if value > 0 else "-Infinity", "text": DIVERGED, "ends": ""}
    return {"raw": repr(value), "text": write(value), "ends": ""}


def ends(value: Interval, write: Write = decimal) -> str:
    """An interval; nothing without one."""
    return f"[{write(value.low)}, {write(value.high)}]" if math.isfinite(value.low) else ""


def named(method: Mapping[str, Any], *more: str) -> dict[str, str]:
    """What a row begins with, and the ``text`` by which it is found, with ``more`` that is found."""
    known = {key: str(method[key]) for key in ("name", "title", "family")}
    return known | {"text": " ".join(filter(None, [*known.values(), *more]))}
