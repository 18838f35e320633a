"""The one tuner, with one budget for everybody: which settings to try next.

Each setting in turn is scanned (a choice over its values, a range over five points spread evenly in its logarithm, at
the best values found so far for the others); what is left of the budget halves the widest gap beside the best point.
Deterministic, so an interrupted tuning that remembers its evaluations goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from typing import Any

from recon_bench.core import Choice, Log, Method
from recon_bench.measurement import Record
from recon_bench.results.ledger import TIE

Point = dict[str, float]
SCAN = 5


def value(space: Mapping[str, Log | Choice], point: Mapping[str, float]) -> dict[str, Any]:
    """The settings at ``point``, in which a choice is given by the index of its value and an integer as a float."""
    return {name: _value(space[name], number) for name, number in point.items()}


def _value(axis: Log | Choice, number: float) -> Any:
    if isinstance(axis, Choice):
        return axis.values[int(number)]
    return int(number) if axis.integer else number


def search(space: Mapping[str, Log | Choice], start: Mapping[str, Any], budget: int) -> Generator[Point, float, None]:
    """Yields at most ``budget`` points, each to be answered (``send``) by its score, higher being better.

    ``start`` has the default value of every setting in ``space``; a point has a number for each, a choice its index.
    Raises ValueError where a default is not among the values of its choice.
    """
    seen: dict[tuple[float, ...], float] = {}
    best = {name: _number(axis, start[name]) for name, axis in space.items()}
    best_score = -math.inf
    scans = [(name, number) for name, axis in space.items() for number in _scan(axis)]
    while len(seen) < budget:
        if scans:
            name, number = scans.pop(0)
            candidates = [{**best, name: number}]
        elif not (candidates := _fresh(_refinements(space, best, seen), seen)):
            return
        for point in _fresh(candidates, seen)[:1]:
            score = yield point
            seen[tuple(point.values())] = score
            if score > best_score:
                best, best_score = point, score


def _number(axis: Log | Choice, default: Any) -> float:
    return float(axis.values.index(default)) if isinstance(axis, Choice) else float(default)


def _fresh(points: list[Point], seen: Container[tuple[float, ...]]) -> list[Point]:
    return [point for point in points if tuple(point.values()) not in seen]


def _refinements(space: Mapping[str, Log | Choice], best: Point, seen: Iterable[tuple[float, ...]]) -> list[Point]:
    """The middles of the gaps beside the best point, the widest gap first (in the logarithm)."""
    gaps = []
    for i, (name, axis) in enumerate(space.items()):
        if isinstance(axis, Log):
            tried = sorted({point[i] for point in seen})
            below = [x for x in tried if x < best[name]]
            above = [x for x in tried if x > best[name]]
            for neighbour in below[-1:] + above[:1]:
                middle = _round(axis, math.sqrt(best[name] * neighbour))
                gaps.append((abs(math.log(neighbour / best[name])), {**best, name: middle}))
    return [point for _, point in sorted(gaps, key=lambda gap: -gap[0])]


def _scan(axis: Log | Choice) -> list[float]:
    if isinstance(axis, Choice):
        return [float(i) for i in range(len(axis.values))]
    steps = (axis.low * (axis.high / axis.low) ** (i / (SCAN - 1)) for i in range(SCAN))
    return [_round(axis, step) for step in steps]


def _round(axis: Log, number: float) -> float:
    return float(round(number)) if axis.integer else float(f"{number:.4g}")


def best_settings(method: Method, records: Sequence[Record]) -> dict[str, Any]:
    """The settings of the best evaluation in a ledger; empty where none succeeded.

    Evaluations within TIE of the best are equal: of those the one with the least depth wins, then the best.
    """
    scored = [record for record in records if "psnr" in record.values]
    if not scored:
        return {}
    best = max(record.values["psnr"] for record in scored)
    equal = [record for record in scored if record.values["psnr"] >= best - TIE]
    winner = min(equal, key=lambda record: (record.at.get(method.depth or "", 0.0), -record.values["psnr"]))
    return value(method.search, winner.at)
