"""What results say of adaptation to another operator: what it closes of a gap.

A gap goes from naive use (ignorant, where a parameter was unknown) to the network trained on A1 or, without one, to
home, which fewer data may not reach; of a gap below LEAST_GAP no share is told. The classical method beside it is the
one that does best on the same images when it is told A1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from recon_bench.results import Result
from recon_bench.rules import LEAST_GAP
from recon_bench.tables.board import Board
from recon_bench.tables.shift import Row, Values, counted, mean, names, of_kind, rows

KIND = "adaptation"
CLASSICAL = ("direct", "spectral", "iterative", "variational")
ADAPTED = ("fitted", "alone", "reused", "refitted")


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
        return max((share for way in self.whole if not math.isnan(share := self.closed(way))), default=math.nan)

    @property
    def leading(self) -> str:
        """The way of adaptation with the best images of those that have all; empty where none is known."""
        known = [way for way in self.whole if not math.isnan(self.psnr(way))]
        return max(known, key=self.psnr, default="")

    @property
    def reached(self) -> float:
        """The PSNR of the :attr:`leading` way in dB; NaN without one."""
        return self.psnr(self.leading)

    @property
    def undoing(self) -> float:
        """By how many dB naive use of A1 is below being ignorant of it, the gap counting from naive use; else 0."""
        return max(0.0, self.gained("ignorant")) if self.bottom == "naive" else 0.0

    @property
    def beyond(self) -> float:
        """The share of the gap from being ignorant to the top that the best way closes on all images; NaN of a small
        gap."""
        low, high = self.psnr("ignorant"), self.psnr(self.top)
        return (self.reached - low) / (high - low) if high - low >= LEAST_GAP else math.nan

    @property
    def whole(self) -> list[str]:
        """The ways of adaptation that have all images."""
        return [way for way in ADAPTED if self.values.get(way, {}).keys() >= self.values.get("naive", {}).keys()]

    @property
    def parameter(self) -> Values:
        """What the network found of a parameter of A1, with that of its fit where there is one; else empty."""
        found = [cost for way in ("fitted", "naive") if "parameter" in (cost := self.costs.get(way, {}))]
        return found[0] if found else {}

    @property
    def rejected(self) -> bool:
        """Whether a parameter was found and not accepted, so that the one of A0 was kept."""
        return self.parameter.get("identified") == 0

    @property
    def asked(self) -> float:
        """The part of the misfit by which it must fall for a parameter to be accepted."""
        plan = (self.result.measurement.get("protocol") or {}).get("plan") or {}
        return float((plan.get("search") or {}).get("sharp", math.nan))

    @property
    def at_noise(self) -> bool:
        """Whether held-out data were explained to within their noise before the first step of a fit, which ends it."""
        cost = self.costs.get("fitted", {})
        return cost.get("steps") == 0 and cost.get("mib") == 0

    @property
    def explained(self) -> bool:
        """Whether a fit explains held-out data better than its start."""
        trace = self.traces.get("fitted", {})
        return bool(trace) and self.costs.get("fitted", {}).get("held", math.inf) < trace[min(trace)]


def adaptations(board: Board) -> list[Adaptation]:
    """One for each network and shift that was adapted to, the largest gap first."""
    shifted = rows(board)
    found = [each for cell in of_kind(board, KIND) for each in of_result(cell, shifted)]
    return sorted(found, key=lambda each: (math.isnan(each.gap), -each.gap))


def of_result(result: Result, shifted: Sequence[Row] = ()) -> Iterator[Adaptation]:
    """One for each shift; the best classical method is one of those ``shifted``."""
    kinds, ways = names(result, "kinds"), names(result, "ways")
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
            elif record["sample"] and not math.isnan(psnr := counted(record)):
                values.setdefault(way, {})[record["sample"]] = psnr
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
