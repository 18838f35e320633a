"""The one tuner, with one budget for everybody: which settings to try next.

Each setting in turn is scanned (a choice over its values, a range over five points spread evenly in its logarithm, at
the best values found so far for the others); what is left of the budget halves the gaps beside the best point of every
range in turn. Deterministic, so an interrupted tuning that remembers its evaluations goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from recon_bench.core import Choice, Log

Point = dict[str, float]
SCAN = 5


def value(space: Mapping[str, Log | Choice], point: Mapping[str, float]) -> dict[str, Any]:
    """The settings at ``point``, in which a choice is given by the index of its value."""
    return {name: _value(space[name], number) for name, number in point.items()}


def _value(axis: Log | Choice, number: float) -> Any:
    if isinstance(axis, Choice):
        return axis.values[int(number)]
    return int(number) if axis.integer else number


def search(
    space: Mapping[str, Log | Choice], start: Mapping[str, Any], budget: int, score: Callable[[Point], float]
) -> tuple[Point, float]:
    """The best point of at most ``budget`` evaluations of ``score`` (higher is better), and its score.

    ``start`` has the default value of every setting in ``space``; a point has a number for each.
    """
    seen: dict[tuple[float, ...], float] = {}
    best = {name: _number(axis, start[name]) for name, axis in space.items()}
    best_score = -math.inf
    for candidate in _candidates(space, lambda: best, lambda: seen):
        key = tuple(candidate.values())
        if key in seen:
            continue
        if len(seen) >= budget:
            break
        seen[key] = score(candidate)
        if seen[key] > best_score:
            best, best_score = candidate, seen[key]
    return best, best_score


def _number(axis: Log | Choice, default: Any) -> float:
    return float(axis.values.index(default)) if isinstance(axis, Choice) else float(default)


def _candidates(
    space: Mapping[str, Log | Choice],
    best: Callable[[], Point],
    seen: Callable[[], Mapping[tuple[float, ...], float]],
) -> Iterator[Point]:
    for name, axis in space.items():
        for number in _scan(axis):
            yield {**best(), name: number}
    names = list(space)
    ranges = [(name, axis) for name, axis in space.items() if isinstance(axis, Log)]
    progress = True
    while progress:
        before = len(seen())
        for name, axis in ranges:
            here = best()
            tried = sorted({point[names.index(name)] for point in seen()})
            for number in _between(axis, here[name], tried):
                yield {**here, name: number}
        progress = len(seen()) > before


def _scan(axis: Log | Choice) -> list[float]:
    if isinstance(axis, Choice):
        return [float(i) for i in range(len(axis.values))]
    steps = (axis.low * (axis.high / axis.low) ** (i / (SCAN - 1)) for i in range(SCAN))
    return [_round(axis, step) for step in steps]


def _between(axis: Log, here: float, tried: list[float]) -> list[float]:
    below = [x for x in tried if x < here]
    above = [x for x in tried if x > here]
    near = ([below[-1]] if below else []) + ([above[0]] if above else [])
    return [_round(axis, math.sqrt(here * x)) for x in near]


def _round(axis: Log, number: float) -> float:
    return float(round(number)) if axis.integer else float(f"{number:.4g}")
