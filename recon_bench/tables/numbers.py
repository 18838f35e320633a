"""How boards write a number, on the site, in LaTeX and on the command line."""

from __future__ import annotations

import math

TIMES = ("s", "ms")  # units of what has three significant digits


def plural(count: float, noun: str) -> str:
    """``"1 cell"``, ``"2 cells"``."""
    return f"{count if isinstance(count, int) else f'{count:g}'} {noun}{'' if count == 1 else 's'}"


def number(value: float, digits: int, unit: str = "") -> str:
    """``value`` with ``digits`` after the point, more where only those show two that count; thousands have commas.

    A time has three significant digits, a whole number of what is counted none after the point.
    """
    if value and math.isfinite(value) and (digits or value != round(value) or unit in TIMES):
        exponent = int(f"{value:.2e}".partition("e")[2])
        if unit in TIMES:
            digits = max(0, 2 - exponent)
        elif abs(value) < 10.0 ** (1 - digits):
            digits = 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{digits}f}"
