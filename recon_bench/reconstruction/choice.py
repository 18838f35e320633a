"""Rules that choose a setting without knowing the truth: the discrepancy principle and the L-curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from recon_bench.core import Log, Method

EVALUATIONS = 12


@dataclass(frozen=True)
class Fit:
    """Of a reconstruction x of data y: ``misfit``, |A x - y| in l2, and ``roughness``, its total variation."""

    misfit: float
    roughness: float


@dataclass(frozen=True)
class Choice:
    """The ``value`` of a setting and ``why`` it was chosen."""

    value: float
    why: str


Try = Callable[[float], Fit]


def axis(method: Method) -> tuple[str, Log] | None:
    """The one setting of a method that regularises, with its range; None where there is none, or several."""
    found = [(name, space) for name, space in method.search.items() if isinstance(space, Log)]
    return found[0] if len(method.search) == 1 and found else None


def discrepancy(fit: Try, space: Log, noise: float) -> Choice:
    """The most regularised reconstruction that fits the data as well as the truth would, to the norm ``noise``.

    Morozov 1966. Bisection in the logarithm, at most EVALUATIONS reconstructions.
    """
    ends = {value: fit(value).misfit for value in (space.low, space.high)}
    close, smooth = sorted(ends, key=lambda value: ends[value])
    if ends[close] > noise:
        return Choice(close, f"even here |A x - y| is {ends[close] / noise:.2f} times the noise: is its level right?")
    if ends[smooth] <= noise:
        return Choice(smooth, f"even here |A x - y| is only {ends[smooth] / noise:.2f} times the noise")
    best = ends[close]
    for _ in range(EVALUATIONS - 2):
        middle = _rounded(space, math.sqrt(close * smooth))
        if middle in (close, smooth) or abs(math.log(close / smooth)) < 0.02:
            break
        if (found := fit(middle).misfit) <= noise:
            close, best = middle, found
        else:
            smooth = middle
    return Choice(close, f"discrepancy principle: |A x - y| is {best / noise:.3f} times the noise")


def l_curve(fit: Try, space: Log) -> Choice:
    """The corner of the curve of the logarithms of roughness over misfit, where its curvature is largest.

    Hansen 1992, doi:10.1137/1034115. The curvature is that of the circle through three neighbouring points (Cultrera &
    Callegaro 2020, doi:10.1088/2633-1357/abad0d), of EVALUATIONS points evenly spaced in the logarithm.
    """
    steps = (space.low * (space.high / space.low) ** (i / (EVALUATIONS - 1)) for i in range(EVALUATIONS))
    tried = list(dict.fromkeys(_rounded(space, step) for step in steps))
    fits = [fit(value) for value in tried]
    points = [(math.log(max(f.misfit, 1e-30)), math.log(max(f.roughness, 1e-30))) for f in fits]
    bends = [_bend(*points[i : i + 3]) for i in range(len(points) - 2)]
    corner = max(range(len(bends)), key=lambda i: bends[i]) + 1
    return Choice(tried[corner], f"corner of the L-curve of {len(tried)} reconstructions")


def _bend(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """One over the radius of the circle through three points, positive where they turn as the corner of an L does."""
    if a[0] > c[0]:  # from the closest fit to the smoothest image
        a, c = c, a
    area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
    sides = math.dist(a, b) * math.dist(b, c) * math.dist(a, c)
    return 2 * area / sides if sides > 0 else 0.0


def _rounded(space: Log, value: float) -> float:
    return float(round(value)) if space.integer else value
