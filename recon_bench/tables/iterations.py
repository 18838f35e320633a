"""What results say of iterating more: a curve for each method, its best place, and a verdict by a fixed rule.

The rule, written before any curve was seen: a method *degrades* if its mean PSNR at the last depth measured is more
than ``MARGIN`` dB below its best at any depth, and *plateaus* otherwise. There is none where a curve has fewer than
two places, or ends at the number of iterations that the method was trained for. A place where an image has diverged
has no mean, and is below any.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recon_bench.results import Result, latest, started
from recon_bench.tables.selection import same_machine

KIND, AXIS = "iterations", "iterations"
MARGIN = 0.1  # dB
DEGRADES, PLATEAUS, UNKNOWN = "degrades", "plateaus", "none"
DIVERGED = ("diverged: ", "values that are NaN or infinite")  # one of them is in the error of an image that did


@dataclass(frozen=True)
class Point:
    """``values``: means over records at so many ``iterations``, by metric; ``error``: why some are absent; ``note``: in
    what these iterations differ from those the method has."""

    iterations: int
    values: Mapping[str, float]
    error: str = ""
    note: str = ""

    @property
    def diverged(self) -> bool:
        """Whether that is why: an image grew without bounds."""
        return any(text in self.error for text in DIVERGED)


@dataclass(frozen=True)
class Verdict:
    """PSNR in dB, NaN where it was not measured: the ``best``, at the ``trained`` depth, at ten times that, the last.

    ``drop``: of the last below the best, 0 where that is the last. PSNR is minus infinity where it diverged.
    """

    best_at: int
    best: float
    last_at: int
    last: float
    drop: float
    verdict: str
    trained: int | None = None
    at_trained: float = math.nan
    at_ten: float = math.nan


@dataclass(frozen=True)
class Curve:
    """The points of a method in ascending order, and for how many iterations it was trained."""

    result: Result
    points: Sequence[Point]
    trained: int | None

    @property
    def note(self) -> str:
        """What is noted of some of its points; empty where nothing is."""
        return next((point.note for point in self.points if point.note), "")

    def of(self, metric: str) -> dict[int, float]:
        """A metric by the number of iterations, where it was measured for every image."""
        return {p.iterations: p.values[metric] for p in self.points if metric in p.values and not p.error}

    @property
    def diverged(self) -> list[int]:
        """Numbers of iterations after which an image had diverged."""
        return [point.iterations for point in self.points if point.diverged]


def judge(psnr: Mapping[int, float], trained: int | None = None, diverged: Iterable[int] = ()) -> Verdict:
    """The verdict on mean PSNR in dB by number of iterations, and on those after which it ``diverged``.

    ValueError where no PSNR is known.
    """
    if not psnr:
        raise ValueError("expected the PSNR of at least one number of iterations, got none")
    best_at = max(psnr, key=lambda depth: (psnr[depth], -depth))
    known = {**psnr, **dict.fromkeys(diverged, -math.inf)}
    last_at = max(known)
    drop = known[best_at] - known[last_at]
    verdict = DEGRADES if drop > MARGIN else PLATEAUS
    if len(known) < 2 or (trained is not None and last_at <= trained):
        verdict = UNKNOWN
    at = {} if trained is None else {"at_trained": trained, "at_ten": 10 * trained}
    places = {name: known.get(depth, math.nan) for name, depth in at.items()}
    return Verdict(best_at, known[best_at], last_at, known[last_at], drop, verdict, trained, **places)


def curve(result: Result) -> Curve:
    """The curve of one result; without points where none could be measured."""
    groups: dict[int, list[Mapping[str, Any]]] = {}
    for record in result.records:
        groups.setdefault(int(record["at"][AXIS]), []).append(record)
    points = [_point(depth, records) for depth, records in sorted(groups.items())]
    ratios = [(p.iterations, p.values["of_trained"]) for p in points if "of_trained" in p.values]
    return Curve(result, points, round(ratios[0][0] / ratios[0][1]) if ratios else None)


def curves(results: Iterable[Result], task_hash: str, rules_hash: str) -> list[Curve]:
    """Of the newest result of each method of this very task and rules, all by one version and on one machine."""
    own = [r for r in results if (r.kind, r.task["hash"], r.rules["hash"]) == (KIND, task_hash, rules_hash)]
    if not own:
        return []
    newest = max(own, key=lambda r: (r.measurement["version"], started(r))).measurement["hash"]
    same, _ = same_machine([r for r in own if r.measurement["hash"] == newest])
    return [curve(result) for result in latest(same)]


def _point(depth: int, records: Sequence[Mapping[str, Any]]) -> Point:
    values: dict[str, list[float]] = {}
    for record in records:
        for metric, value in record["values"].items():
            values.setdefault(metric, []).append(value)
    errors = [record["error"] for record in records if record["error"]]
    means = {metric: math.fsum(found) / len(found) for metric, found in values.items()}
    notes = [record["note"] for record in records if record["note"]]
    return Point(depth, means, errors[0] if errors else "", notes[0] if notes else "")
