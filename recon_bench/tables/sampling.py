"""What results say of less and more data: PSNR by rate, and whether more make it worse.

An image whose PSNR is below :data:`recon_bench.tables.shift.LEAST` has diverged, and counts as minus infinity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recon_bench.results import Result
from recon_bench.rules import UNSWAPPED
from recon_bench.tables.board import Board
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.shift import Values, counted, lost, mean, of_kind
from recon_bench.tables.statistics import Interval, interval

KIND = "sampling"
WORSE = 0.1  # dB: what more data may lose without being called worse
NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Rates:
    """A method with less and more data: PSNR by image of each rate, from little data to much, and why there is none.

    ``told``: set up for each rate; ``swapped``: set up for the task's own data, whose rate is ``own``, NaN where that
    is not known, and handed the operator alone.
    """

    result: Result
    told: Mapping[float, Values]
    swapped: Mapping[float, Values]
    missing: Mapping[float, str]
    own: float = math.nan

    @property
    def worse(self) -> bool | None:
        """Whether more data make it WORSE, or diverge where less did not; None where none above its own are known."""
        falls = ((self.told, self.worst.value), (self.swapped, self.worst_swapped.value))
        known = [fall for images, fall in falls if not math.isnan(fall) and any(map(self.above, images))]
        return max(known) > WORSE if known else None

    def above(self, rate: float) -> bool:
        """Whether a rate has more data than the task itself."""
        return rate < self.own if _falling(self.result) else rate > self.own

    @property
    def psnr(self) -> dict[float, float]:
        """The mean by rate of who is told, minus infinity where an image has diverged."""
        return {rate: mean(values) for rate, values in self.told.items()}

    def spread(self, rate: float) -> Interval:
        """The mean at a rate of who is told with its interval over images."""
        return interval(np.array([*self.told[rate].values()]), **bootstrap(self.result))

    @cached_property
    def worst(self) -> Interval:
        """The largest fall of the mean PSNR from a rate to one with more data, when told, as :func:`falls` has it."""
        return falls(self.told, **bootstrap(self.result))

    @cached_property
    def worst_swapped(self) -> Interval:
        """The same when the operator alone is handed over."""
        return falls(self.swapped, **bootstrap(self.result))


def falls(images: Mapping[float, Values], **how: Any) -> Interval:
    """The largest fall from a rate to a later one, negative where all are larger, with its interval over the images.

    Infinite where images diverge at the later one alone; NaN of fewer than two rates.
    """
    found = list(_pairs(images, how))
    return max(found, key=lambda fall: fall.value, default=NOTHING)


def _pairs(images: Mapping[float, Values], how: Mapping[str, Any]) -> Iterator[Interval]:
    values = list(images.values())
    for place, less in enumerate(values):
        fallen = (lost(less, more, **how) for more in values[place + 1 :])
        yield from (fall for fall in fallen if not math.isnan(fall.value))


def diverged(images: Mapping[float, Values]) -> list[float]:
    """Rates at which an image has."""
    return [rate for rate, values in images.items() if mean(values) == -math.inf]


def rates(board: Board, own: float = math.nan) -> list[Rates]:
    """A row for each method that was given less and more data, the largest fall first; ``own``: the task's own rate."""
    found = [row(cell, own) for cell in of_kind(board, KIND)]
    return sorted(found, key=lambda each: (math.isnan(each.worst.value), -each.worst.value, each.result.method["name"]))


def row(result: Result, own: float = math.nan) -> Rates:
    """What a result says."""
    told: dict[float, dict[str, float]] = {}
    swapped: dict[float, dict[str, float]] = {}
    missing: dict[float, str] = {}
    for record in result.records:
        (rate,) = record["at"].values()
        _, before, why = (record["note"] or "").partition(UNSWAPPED)
        found = {"told": counted(record), "swapped": counted(record, "swapped_psnr", why)}
        for name, of in (("told", told), ("swapped", swapped)):
            if not math.isnan(found[name]):
                of.setdefault(rate, {})[record["sample"]] = found[name]
        unsaid = record["error"] and found["told"] != -math.inf, why and found["swapped"] != -math.inf
        if any(unsaid):
            missing[rate] = record["error"] or before + why

    def ordered(values: Mapping[float, Values]) -> dict[float, Values]:
        return {rate: values[rate] for rate in sorted(values, reverse=_falling(result))}

    return Rates(result, ordered(told), ordered(swapped), missing, own)


def _falling(result: Result) -> bool:
    """Whether a smaller rate has more data."""
    return any("acceleration" in record["at"] for record in result.records)
