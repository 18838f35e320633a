"""What results say of another operator: what each scenario loses, what adaptation closes of a gap, and more data.

Losses are means of paired differences over the images that both have, from the task's own measurement (home), in dB.
A gap goes from naive use (ignorant, where a parameter was unknown) to the network trained on A1 or, without one, to
home, which fewer data may not reach; of a gap below LEAST_GAP no share is told. The classical method of an adaptation
is the one that does best on the same images when it is told A1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from recon_bench.results import Result
from recon_bench.rules import LEAST_GAP, SWAPPED
from recon_bench.tables.board import Board
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.iterations import DIVERGED
from recon_bench.tables.statistics import Interval, difference

KIND, ADAPTATION, SAMPLING = "shift", "adaptation", "sampling"
CLASSICAL = ("direct", "spectral", "iterative", "variational")
WORSE = 0.1  # dB: what more data may lose without being called worse
ADAPTED = ("fitted", "alone", "reused", "refitted")

Values = Mapping[str, float]


@dataclass(frozen=True)
class Parameter:
    """What was found of a parameter: its ``value``, ``error`` and whether it is ``identified``; ``tried`` misfits."""

    value: float
    error: float
    sharpness: float
    identified: bool
    tried: Mapping[float, float]


@dataclass(frozen=True)
class Row:
    """A method: PSNR by image of each shift and scenario, why there is none of others, and parameters by shift."""

    result: Result
    values: Mapping[tuple[str, str], Values]
    missing: Mapping[tuple[str, str], str]
    parameters: Mapping[str, Parameter]

    def loss(self, shift: str, scenario: str) -> Interval:
        """What a scenario loses from home; NaN where one is not known."""
        home, other = (self.values.get((shift, name), {}) for name in ("home", scenario))
        both = [sample for sample in home if sample in other]
        before, after = (np.array([of[sample] for sample in both]) for of in (home, other))
        return difference(before, after, **bootstrap(self.result))

    def psnr(self, shift: str, scenario: str) -> float:
        """The mean; NaN where it is not known."""
        return mean(self.values.get((shift, scenario), {}))


@dataclass(frozen=True)
class Adaptation:
    """A network and a shift: PSNR by image and costs by way, held-out misfit by step, and the best classical method."""

    result: Result
    shift: str
    values: Mapping[str, Values]
    costs: Mapping[str, Values]
    traces: Mapping[str, Mapping[float, float]]
    notes: Mapping[str, str]
    classical: tuple[str, float] = field(default=("", math.nan))

    def psnr(self, way: str) -> float:
        """The mean; NaN where it is not known."""
        return mean(self.values.get(way, {}))

    @property
    def bottom(self) -> str:
        """The way that a gap is counted from."""
        return "ignorant" if "parameter" in self.costs.get("naive", {}) else "naive"

    @property
    def top(self) -> str:
        """The way that a gap is counted to."""
        return "oracle" if self.values.get("oracle") else "home"

    @property
    def gap(self) -> float:
        """In dB; NaN where it is not known."""
        return self.psnr(self.top) - self.psnr(self.bottom)

    def closed(self, way: str) -> float:
        """The share that a way closes, over the images that it has; NaN of a small gap."""
        own = self.values.get(way, {})
        low, high = (mean({s: v for s, v in self.values.get(end, {}).items() if s in own}) for end in self.ends)
        gap = high - low
        return (mean(own) - low) / gap if gap >= LEAST_GAP else math.nan

    @property
    def ends(self) -> tuple[str, str]:
        """Both ways that a gap lies between."""
        return self.bottom, self.top

    @property
    def misled(self) -> dict[str, tuple[float, float]]:
        """Ways after which held-out data are explained better and images are worse than in naive use, with the held-out
        misfit before and after."""
        ends = {
            way: (trace[min(trace)], self.costs[way]["held"])
            for way, trace in self.traces.items()
            if trace and "held" in self.costs.get(way, {})
        }
        return {way: (a, b) for way, (a, b) in ends.items() if b < a and self.gained(way) < 0}

    def gained(self, way: str) -> float:
        """What a way gains over naive use in dB, over the images that it has; NaN where one is not known."""
        own, naive = self.values.get(way, {}), self.values.get("naive", {})
        both = own.keys() & naive.keys()
        return mean({s: own[s] for s in both}) - mean({s: naive[s] for s in both})

    @property
    def best(self) -> float:
        """The largest share that a way of adaptation closes on all images; NaN where none is known."""
        whole = [way for way in ADAPTED if self.values.get(way, {}).keys() >= self.values.get("naive", {}).keys()]
        return max((share for way in whole if not math.isnan(share := self.closed(way))), default=math.nan)


@dataclass(frozen=True)
class Rates:
    """A method with less and more data: PSNR by rate, from little data to much, and the most that more of them lost.

    ``lost``: whether an image diverged at a rate with more data than one at which none did.
    """

    result: Result
    psnr: Mapping[float, float]
    swapped: Mapping[float, float]
    missing: Mapping[float, str]
    lost: bool = False

    @property
    def worse(self) -> bool | None:
        """Whether more data make it WORSE, or diverge where less did not; None where too little is known."""
        known = [fall for fall in (self.worst, self.worst_swapped) if not math.isnan(fall)]
        return True if self.lost else max(known) > WORSE if known else None

    @property
    def worst(self) -> float:
        """The largest fall of the mean PSNR from a rate to one with more data, when told, as :func:`falls` has it."""
        return falls(self.psnr)

    @property
    def worst_swapped(self) -> float:
        """The same when the operator alone is handed over."""
        return falls(self.swapped)


def mean(values: Values) -> float:
    """The mean; NaN of nothing."""
    return math.fsum(values.values()) / len(values) if values else math.nan


def falls(psnr: Mapping[float, float]) -> float:
    """The largest fall from a value to a later one, negative where all are larger; NaN of fewer than two."""
    values = list(psnr.values())
    return max((a - b for i, a in enumerate(values) for b in values[i + 1 :]), default=math.nan)


def rows(board: Board) -> list[Row]:
    """A row for each method of a board that was shifted, the best at home first."""
    found = [row(cell) for cell in of_kind(board, KIND)]
    return sorted(found, key=lambda row: -max((mean(v) for (_, s), v in row.values.items() if s == "home"), default=0))


def of_kind(board: Board, kind: str) -> list[Result]:
    """The results of a kind on a board that have values."""
    return [cell for (_, k), cell in sorted(board.cells.items()) if k == kind and cell.status in ("ok", "partial")]


def _names(result: Result, field: str) -> Sequence[str]:
    return (result.measurement.get("protocol") or {}).get(field, ())


def row(result: Result) -> Row:
    """What a result says."""
    shifts, scenarios = _names(result, "shifts"), _names(result, "scenarios")
    values: dict[tuple[str, str], dict[str, float]] = {}
    missing: dict[tuple[str, str], str] = {}
    tried: dict[str, dict[float, float]] = {}
    parameters: dict[str, Values] = {}
    for record in result.records:
        if "shift" not in (at := record["at"]):
            continue
        shift = shifts[int(at["shift"])]
        if "value" in at:
            tried.setdefault(shift, {})[at["value"]] = record["values"]["misfit"]
        elif "scenario" not in at:
            parameters[shift] = record["values"]
        elif "psnr" in record["values"]:
            values.setdefault((shift, scenarios[int(at["scenario"])]), {})[record["sample"]] = record["values"]["psnr"]
        else:
            missing[shift, scenarios[int(at["scenario"])]] = record["error"] or record["note"] or "no value"
    found = {
        shift: Parameter(
            value=each.get("parameter", math.nan),
            error=each.get("parameter_error", math.nan),
            sharpness=each.get("sharpness", math.nan),
            identified=bool(each.get("identified")),
            tried=tried.get(shift, {}),
        )
        for shift, each in parameters.items()
    }
    return Row(result, values, missing, found)


def adaptations(board: Board) -> list[Adaptation]:
    """One for each network and shift that was adapted to, the largest gap first."""
    shifted = rows(board)
    found = [each for cell in of_kind(board, ADAPTATION) for each in _adaptations(cell, shifted)]
    return sorted(found, key=lambda each: (math.isnan(each.gap), -each.gap))


def _adaptations(result: Result, shifted: Sequence[Row]) -> Iterator[Adaptation]:
    kinds, ways = _names(result, "kinds"), _names(result, "ways")
    for number in sorted({record["at"]["shift"] for record in result.records if "shift" in record["at"]}):
        values: dict[str, dict[str, float]] = {}
        costs: dict[str, Values] = {}
        traces: dict[str, dict[float, float]] = {}
        notes: dict[str, str] = {}
        for record in result.records:
            if record["at"].get("shift") != number:
                continue
            way = ways[int(record["at"]["way"])] if "way" in record["at"] else ""
            if "step" in record["at"]:
                traces.setdefault(way, {})[record["at"]["step"]] = record["values"]["held"]
            elif "psnr" in record["values"]:
                values.setdefault(way, {})[record["sample"]] = record["values"]["psnr"]
            elif record["values"]:
                costs[way] = record["values"]
            if said := record["error"] or record["note"]:
                notes[way] = said
        shift = kinds[int(number)]
        samples = max(values.values(), key=len, default={})
        yield Adaptation(result, shift, values, costs, traces, notes, _classical(shifted, shift, samples))


def _classical(shifted: Sequence[Row], shift: str, samples: Values) -> tuple[str, float]:
    """Title and mean PSNR of the best classical method told A1, of those that have all ``samples``."""
    found = {}
    for row in shifted:
        told = row.values.get((shift, "told"), {})
        if row.result.method["family"] in CLASSICAL and samples and samples.keys() <= told.keys():
            found[row.result.method["title"]] = mean({sample: told[sample] for sample in samples})
    return max(found.items(), key=lambda item: item[1], default=("", math.nan))


def rates(board: Board) -> list[Rates]:
    """A row for each method that was given less and more data, the largest fall first."""
    found = [_rates(cell) for cell in of_kind(board, SAMPLING)]
    return sorted(found, key=lambda each: (math.isnan(each.worst), -each.worst, each.result.method["name"]))


def _rates(result: Result) -> Rates:
    told: dict[float, list[float]] = {}
    swapped: dict[float, list[float]] = {}
    missing: dict[float, str] = {}
    fewer_first = not any("acceleration" in record["at"] for record in result.records)
    for record in result.records:
        (rate,) = record["at"].values()
        for name, of in (("psnr", told), ("swapped_psnr", swapped)):
            if name in record["values"]:
                of.setdefault(rate, []).append(record["values"][name])
        _, swapped_before, why = (record["note"] or "").partition(SWAPPED)
        if record["error"] or why:
            missing[rate] = record["error"] or swapped_before + why

    def means(values: Mapping[float, Sequence[float]]) -> dict[float, float]:
        return {rate: math.fsum(values[rate]) / len(values[rate]) for rate in sorted(values, reverse=not fewer_first)}

    ordered = sorted(told.keys() | swapped.keys() | missing.keys(), reverse=not fewer_first)
    diverged = [rate for rate in ordered if any(text in missing.get(rate, "") for text in DIVERGED)]
    fine = [rate for rate in ordered if rate not in missing]
    lost = bool(diverged and fine) and ordered.index(diverged[-1]) > ordered.index(fine[0])
    return Rates(result, means(told), means(swapped), missing, lost)
