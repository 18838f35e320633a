"""What results say of less and more data: PSNR by rate, and whether more make it worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recon_bench.results import Result
from recon_bench.rules import UNSWAPPED
from recon_bench.tables.board import Board
from recon_bench.tables.iterations import DIVERGED
from recon_bench.tables.shift import of_kind

KIND = "sampling"
WORSE = 0.1  # dB: what more data may lose without being called worse


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


def falls(psnr: Mapping[float, float]) -> float:
    """The largest fall from a value to a later one, negative where all are larger; NaN of fewer than two."""
    values = list(psnr.values())
    return max((a - b for i, a in enumerate(values) for b in values[i + 1 :]), default=math.nan)


def rates(board: Board) -> list[Rates]:
    """A row for each method that was given less and more data, the largest fall first."""
    found = [row(cell) for cell in of_kind(board, KIND)]
    return sorted(found, key=lambda each: (math.isnan(each.worst), -each.worst, each.result.method["name"]))


def row(result: Result) -> Rates:
    """What a result says."""
    told: dict[float, list[float]] = {}
    swapped: dict[float, list[float]] = {}
    missing: dict[float, str] = {}
    fewer_first = not any("acceleration" in record["at"] for record in result.records)
    for record in result.records:
        (rate,) = record["at"].values()
        for name, of in (("psnr", told), ("swapped_psnr", swapped)):
            if name in record["values"]:
                of.setdefault(rate, []).append(record["values"][name])
        _, swapped_before, why = (record["note"] or "").partition(UNSWAPPED)
        if record["error"] or why:
            missing[rate] = record["error"] or swapped_before + why

    def means(values: Mapping[float, Sequence[float]]) -> dict[float, float]:
        return {rate: math.fsum(values[rate]) / len(values[rate]) for rate in sorted(values, reverse=not fewer_first)}

    ordered = sorted(told.keys() | swapped.keys() | missing.keys(), reverse=not fewer_first)
    diverged = [rate for rate in ordered if any(text in missing.get(rate, "") for text in DIVERGED)]
    fine = [rate for rate in ordered if rate not in missing]
    lost = bool(diverged and fine) and ordered.index(diverged[-1]) > ordered.index(fine[0])
    return Rates(result, means(told), means(swapped), missing, lost)
