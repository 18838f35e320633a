"""How memory grows along an axis, depth or size of the image: slope, class and largest fit of each method.

A curve over depth is fitted where it has settled, from depth SETTLED on where there are three such points: before that,
what does not depend on depth decides the peak (the history of a solver fills up, a last layer is larger). One over size
is fitted over pixels, from the smallest on. Its class is constant where it changes by less than FLAT, else whichever of
square root and linear leaves the smaller residual.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recon_bench.results import Result, latest, started
from recon_bench.tables.statistics import Interval

OUTSIDE = "outside"  # the family of methods that compute outside of torch
SETTLED = 10
FLAT = 0.02
FAR = 100  # times the largest that was measured: a root, which may hide a line, is extrapolated no further
DRAWS = 2000
CLASSES = {0.0: "constant", 0.5: "square root", 1.0: "linear"}  # by the power of what it grows with
BUDGETS = (8, 24, 80)  # GB, of 10^9 bytes
MIB = 2**20

Points = Sequence[tuple[float, float]]  # depth, side or what memory is fitted over, and MiB


@dataclass(frozen=True)
class Axis:
    """Results of the ``kind``, whose records are at places of this ``key``; fitted over ``key ** power / unit`` from
    ``settled`` on."""

    kind: str
    key: str
    settled: float = 0.0
    power: int = 1
    unit: float = 1.0

    def x(self, place: float) -> float:
        """What memory is fitted over, at a place."""
        return place**self.power / self.unit

    def place(self, x: float) -> float:
        """The last place up to x: a whole number, or infinite."""
        return x if math.isinf(x) else float(math.floor((x * self.unit) ** (1 / self.power) + 1e-9))


DEPTH = Axis("memory", "depth", SETTLED)
SIZE = Axis("memory-size", "size", power=2, unit=1e6)  # sides, fitted over megapixels


@dataclass(frozen=True)
class Growth:
    """``slope``: MiB per unit of x (an added depth, a megapixel), with its interval. MiB at x are ``base + rate x **
    power``, as fitted, which is believed up to ``reach``."""

    slope: Interval
    power: float
    base: float
    rate: float
    reach: float = math.inf

    @property
    def name(self) -> str:
        """The class in words."""
        return CLASSES[self.power]

    def at(self, x: float) -> float:
        """MiB at x, by the fit."""
        return self.base + self.rate * x**self.power

    def most(self, gigabytes: float) -> float:
        """The largest x that takes no more, by the fit: infinite where nothing grows, 0 where none fits, and
        ``reach`` where that fits."""
        room = gigabytes * 1e9 / MIB - self.base
        if room < 0:
            return 0.0
        if self.power == 0 or self.rate <= 0:
            return math.inf
        return min(self.reach, (room / self.rate) ** (1 / self.power))


@dataclass(frozen=True)
class Row:
    """A method along an ``axis``: its ``curves`` over places by metric, as measured, the ``growth`` of its training
    step or else of inference, which ``metric`` says, None where fewer than three places were measured or it is not
    seen, and why places are ``missing``, all of them where there is a ``reason``."""

    axis: Axis
    method: str
    title: str
    family: str
    device: str
    status: str
    reason: str
    curves: Mapping[str, Points]
    metric: str
    growth: Growth | None
    missing: Mapping[float, str]
    notes: tuple[str, ...]

    @property
    def measured(self) -> float:
        """The largest place that was measured, such as the deepest model; 0 without any."""
        return max((place for place, _ in self.curves.get(self.metric, ())), default=0.0)

    def most(self, gigabytes: float) -> float | None:
        """The last place that takes no more, by the fit, as :meth:`Growth.most`."""
        return self.axis.place(self.growth.most(gigabytes)) if self.growth else None

    @property
    def reach(self) -> float:
        """The last place at which the fit is believed."""
        return self.axis.place(self.growth.reach) if self.growth else math.inf


def fit(points: Points, confidence: float = 0.95, settled: float = SETTLED) -> Growth | None:
    """The growth of a curve of (x, MiB); None for fewer than three x."""
    late = [point for point in points if point[0] >= settled]
    x, size = np.array(late if len(late) > 2 else points, dtype=float).reshape(-1, 2).T
    if len(np.unique(x)) < 3:
        return None
    slope = _slope(x, size, confidence)
    if np.ptp(size) <= FLAT * size.max():
        return Growth(slope, 0.0, float(size.max()), 0.0)
    lines = {power: np.polyfit(x**power, size, 1) for power in (1.0, 0.5)}
    power = min(lines, key=lambda p: float(np.square(np.polyval(lines[p], x**p) - size).sum()))
    rate, base = (float(value) for value in lines[power])
    return Growth(slope, power, base, rate, math.inf if power == 1 else FAR * float(x.max()))


def rows(results: Iterable[Result], task: str, rules: str = "full", axis: Axis = DEPTH) -> list[Row]:
    """A row for each method and device, of the newest version of the task and of the measurement; those that grow least
    come first, those without a growth last. Methods without a depth have no row along that axis."""
    own = [r for r in results if (r.kind, r.task["name"], r.rules["name"]) == (axis.kind, task, rules)]
    if not own:
        return []
    top = max(own, key=lambda r: (r.task["version"], r.rules["version"], r.measurement["version"], started(r)))
    same = [r for r in own if _version(r) == _version(top)]
    devices = sorted({_device(r) for r in same})
    found = [_row(r, axis) for device in devices for r in latest([r for r in same if _device(r) == device])]
    return sorted((row for row in found if row.curves or row.missing or axis is SIZE), key=_place)


def _row(result: Result, axis: Axis) -> Row:
    curves: dict[str, list[tuple[float, float]]] = {}
    missing: dict[float, str] = {}
    for record in sorted(result.records, key=lambda record: record["at"].get(axis.key, 0)):
        place = record["at"].get(axis.key)
        if place is None:
            continue
        if record["error"]:
            missing[place] = record["error"]
        for metric, value in record["values"].items():
            curves.setdefault(metric, []).append((place, value))
    metric = "step" if "step" in curves else "inference"
    notes = tuple(dict.fromkeys(record["note"] for record in result.records if record["note"]))
    header = result.method
    seen = header["family"] != OUTSIDE
    notes += () if seen else ("it works in a library whose memory is not seen",)
    points = [(axis.x(place), size) for place, size in curves.get(metric, [])]
    growth = fit(points, result.rules.get("confidence", 0.95), axis.x(axis.settled)) if seen else None
    reason = "" if curves or missing else result.reason or ""
    names = (header["name"], header["title"], header["family"], _device(result), result.status, reason)
    return Row(axis, *names, curves, metric, growth, missing, notes)


def _place(row: Row) -> tuple[object, ...]:
    slope = row.growth.slope.value if row.growth else math.inf
    return row.device, row.metric != "step", row.growth is None, round(slope, 6), row.method


def _version(result: Result) -> tuple[str, str, str]:
    return result.task["hash"], result.rules["hash"], result.measurement["hash"]


def _device(result: Result) -> str:
    return str(result.provenance["device"]).split(":")[0]


def _slope(x: np.ndarray, size: np.ndarray, confidence: float) -> Interval:
    """The slope of the line through all points, with its interval over points drawn with replacement."""
    drawn = np.random.default_rng(0).integers(len(x), size=(DRAWS, len(x)))
    places, sizes = x[drawn], size[drawn]
    places = places - places.mean(1, keepdims=True)
    spread = np.square(places).sum(1)
    slopes = (places * sizes).sum(1)[spread > 0] / spread[spread > 0]
    low, high = np.quantile(slopes, [(1 - confidence) / 2, (1 + confidence) / 2])
    found = (np.polyfit(x, size, 1)[0], low, high)
    return Interval(*(round(float(value), 9) + 0.0 for value in found))  # no minus before a zero
