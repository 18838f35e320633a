"""Whether what is measured again agrees with what was recorded: images by their values, timings by their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recon_bench.measurement import Record
from recon_bench.results import Result
from recon_bench.results.confirmations import Compared
from recon_bench.run.journal import Journal
from recon_bench.run.stale import Stale
from recon_bench.tables.columns import bootstrap
from recon_bench.tables.statistics import interval

IMAGES = 2  # test images compared


def compare(item: Stale, found: Journal) -> tuple[list[Compared], str | None, str | None]:
    """The values that were compared or the reason that was given again, or how they differ."""
    end = found.end({})
    if item.result.status == "not-applicable":
        agrees = end is not None and end["end"] == "not-applicable"
        return [], end["reason"] if agrees and end else None, None if agrees else f"was not applicable, now {end}"
    if end is None or end["end"] != "ok":
        return [], None, f"could not be measured: {end['reason'] if end else 'its process ended early'}"
    timing = item.kind.confirm == "timing"
    if timing and (trouble := _trouble(found.records)):
        return [], None, trouble
    compared = list((_timings if timing else _values)(item.result, found.records))
    wrong = [c for c in compared if not c.agrees]
    if wrong:
        first = max(wrong, key=lambda c: abs(c.found - c.recorded))
        return [], None, f"{first.metric} of {first.key} was {first.recorded:.6g}, now {first.found:.6g}"
    return compared, None, None if compared else "nothing to compare: no value of the first images was recorded"


def _values(result: Result, found: Sequence[Record]) -> Iterator[Compared]:
    """Values of the first test images before and after; where there are no images, of the first records."""
    recorded = {Record(**record).key: record for record in result.records}
    first = {f"test-{index:04d}" for index in range(IMAGES)}
    of_images = [record for record in found if record.sample in first]
    for record in of_images or found[:IMAGES]:
        known = recorded.get(record.key)
        if known is None:
            continue
        for name in sorted(known["values"].keys() | record.values.keys()):
            before, now = known["values"].get(name, float("inf")), record.values.get(name, float("-inf"))
            yield Compared(record.key, name, _short(before), _short(now))


def _trouble(found: Sequence[Record]) -> str | None:
    """Why a new timing says nothing: what was timed is wrong, or something else was running."""
    problems = [record.error or (record.note if record.values else None) for record in found]
    return next(filter(None, problems), None)


def _timings(result: Result, found: Sequence[Record]) -> Iterator[Compared]:
    """The median of each time, against the interval of what was recorded."""
    for metric in result.measurement["metrics"]:
        name = metric["name"]
        before = [record["values"][name] for record in result.records if name in record["values"]]
        now = [record.values[name] for record in found if name in record.values]
        if metric["unit"] == "s" and len(before) > 1 and now:
            told = interval(np.array(before), "median", **bootstrap(result))
            ends = _short(told.low), _short(told.high)
            yield Compared(name, name, _short(told.value), _short(float(np.median(now))), ends)


def _short(value: float) -> float:
    """Ten significant digits, enough by far for any rule of agreement."""
    return float(f"{value:.10g}")
