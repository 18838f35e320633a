"""How memory grows with depth: slope, class and deepest fit of each method, from results of the kind ``memory``.

A curve is fitted where it has settled, from depth SETTLED on where there are three such points: before that, what does
not depend on depth decides the peak (the history of a solver fills up, a last layer is larger). Its class is constant
where it changes by less than FLAT, else whichever of square root and linear leaves the smaller residual.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recon_bench.results import Result, latest, started
from recon_bench.tables.statistics import Interval

KIND = "memory"
OUTSIDE = "outside"  # the family of methods that compute outside of torch
SETTLED = 10
FLAT = 0.02
FAR = 100  # times the deepest that was measured: a root, which may hide a line, is extrapolated no further
DRAWS = 2000
CLASSES = {0.0: "constant", 0.5: "square root", 1.0: "linear"}  # by the power of depth
BUDGETS = (8, 24, 80)  # GB, of 10^9 bytes
MIB = 2**20

Points = Sequence[tuple[float, float]]  # depth and MiB


@dataclass(frozen=True)
class Growth:
    """``slope``: MiB per added depth, with its interval. MiB at a depth d are ``base + rate d ** power``, as fitted,
    which is believed up to the depth ``reach``."""

    slope: Interval
    power: float
    base: float
    rate: float
    reach: float = math.inf

    @property
    def name(self) -> str:
        """The class in words."""
        return CLASSES[self.power]

    def at(self, depth: float) -> float:
        """MiB at a depth, by the fit."""
        return self.base + self.rate * depth**self.power

    def deepest(self, gigabytes: float) -> float:
        """The deepest model that takes no more, by the fit: infinite where nothing grows, 0 where none fits, and
        ``reach`` where that one fits."""
        room = gigabytes * 1e9 / MIB - self.base
        if room < 0:
            return 0.0
        if self.power == 0 or self.rate <= 0:
            return math.inf
        return min(self.reach, float(math.floor((room / self.rate) ** (1 / self.power) + 1e-9)))


@dataclass(frozen=True)
class Row:
    """A method: its ``curves`` by metric, as measured, the ``growth`` of its training step or else of inference, which
    ``metric`` says, None where fewer than three depths were measured or it is not seen, and why depths are
    ``missing``."""

    method: str
    title: str
    family: str
    device: str
    status: str
    curves: Mapping[str, Points]
    metric: str
    growth: Growth | None
    missing: Mapping[float, str]
    notes: tuple[str, ...]

    @property
    def measured(self) -> float:
        """The deepest model that was measured; 0 without any."""
        return max((depth for depth, _ in self.curves.get(self.metric, ())), default=0.0)


def fit(points: Points, confidence: float = 0.95) -> Growth | None:
    """The growth of a curve of (depth, MiB); None for fewer than three depths."""
    settled = [point for point in points if point[0] >= SETTLED]
    depth, size = np.array(settled if len(settled) > 2 else points, dtype=float).reshape(-1, 2).T
    if len(np.unique(depth)) < 3:
        return None
    slope = _slope(depth, size, confidence)
    if np.ptp(size) <= FLAT * size.max():
        return Growth(slope, 0.0, float(size.max()), 0.0)
    lines = {power: np.polyfit(depth**power, size, 1) for power in (1.0, 0.5)}
    power = min(lines, key=lambda p: float(np.square(np.polyval(lines[p], depth**p) - size).sum()))
    rate, base = (float(value) for value in lines[power])
    return Growth(slope, power, base, rate, math.inf if power == 1 else FAR * float(depth.max()))


def rows(results: Iterable[Result], task: str, rules: str = "full") -> list[Row]:
    """A row for each method and device with a depth, of the newest version of the task and of the measurement; those
    that grow least come first, those without a growth last."""
    own = [r for r in results if (r.kind, r.task["name"], r.rules["name"]) == (KIND, task, rules)]
    if not own:
        return []
    top = max(own, key=lambda r: (r.task["version"], r.rules["version"], r.measurement["version"], started(r)))
    same = [r for r in own if _version(r) == _version(top)]
    devices = sorted({_device(r) for r in same})
    found = [_row(r) for device in devices for r in latest([r for r in same if _device(r) == device])]
    return sorted((row for row in found if row.curves or row.missing), key=_place)


def _row(result: Result) -> Row:
    curves: dict[str, list[tuple[float, float]]] = {}
    missing: dict[float, str] = {}
    for record in sorted(result.records, key=lambda record: record["at"].get("depth", 0)):
        depth = record["at"].get("depth")
        if depth is None:
            continue
        if record["error"]:
            missing[depth] = record["error"]
        for metric, value in record["values"].items():
            curves.setdefault(metric, []).append((depth, value))
    metric = "step" if "step" in curves else "inference"
    notes = tuple(dict.fromkeys(record["note"] for record in result.records if record["note"]))
    header = result.method
    seen = header["family"] != OUTSIDE
    notes += () if seen else ("it works in a library whose memory is not seen",)
    growth = fit(curves.get(metric, []), result.rules.get("confidence", 0.95)) if seen else None
    device, status = _device(result), result.status
    names = (header["name"], header["title"], header["family"])
    return Row(*names, device, status, curves, metric, growth, missing, notes)


def _place(row: Row) -> tuple[object, ...]:
    slope = row.growth.slope.value if row.growth else math.inf
    return row.device, row.metric != "step", row.growth is None, round(slope, 6), row.method


def _version(result: Result) -> tuple[str, str, str]:
    return result.task["hash"], result.rules["hash"], result.measurement["hash"]


def _device(result: Result) -> str:
    return str(result.provenance["device"]).split(":")[0]


def _slope(depth: np.ndarray, size: np.ndarray, confidence: float) -> Interval:
    """The slope of the line through all points, with its interval over points drawn with replacement."""
    drawn = np.random.default_rng(0).integers(len(depth), size=(DRAWS, len(depth)))
    x, y = depth[drawn], size[drawn]
    x = x - x.mean(1, keepdims=True)
    spread = np.square(x).sum(1)
    slopes = (x * y).sum(1)[spread > 0] / spread[spread > 0]
    low, high = np.quantile(slopes, [(1 - confidence) / 2, (1 + confidence) / 2])
    found = (np.polyfit(depth, size, 1)[0], low, high)
    return Interval(*(round(float(value), 9) + 0.0 for value in found))  # no minus before a zero
