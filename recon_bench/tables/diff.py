"""What differs between two sets of results: which scores, by how much against their intervals, and whose.

A pure function of results. A score that is measured again may differ by rounding; a time may differ within its
interval. Files are written once: one that is gone or was edited is told whoever it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recon_bench.results import Result, started
from recon_bench.results.confirmations import Compared
from recon_bench.tables.columns import Column, bootstrap, columns, scalars, summary
from recon_bench.tables.statistics import Interval, difference

Place = tuple[str, str, str, str]  # task, rules, method, kind


@dataclass(frozen=True)
class Change:
    """One score that differs: ``before`` and ``after`` where there is one, ``gap`` between them with its interval.

    ``text`` says what else changed, or how the gap compares; ``counts`` whether it is more than a measurement that was
    made again explains.
    """

    task: str
    rules: str
    method: str
    kind: str
    text: str
    column: Column | None = None
    before: Interval | None = None
    after: Interval | None = None
    gap: Interval | None = None
    counts: bool = True


@dataclass(frozen=True)
class Diff:
    """All changes, and the files of the base that are gone or edited, below the results folder."""

    changes: Sequence[Change]
    lost: Sequence[str]
    new: frozenset[str]  # methods that the base does not know

    def of_others(self, mine: Container[str]) -> list[Change]:
        """Changes that count in rows of methods that are not ``mine``."""
        return [change for change in self.changes if change.counts and change.method not in mine]


def diff(base: Iterable[Result], head: Iterable[Result]) -> Diff:
    """What differs in ``head``."""
    base, head = list(base), list(head)
    before, after = newest(base), newest(head)
    changes = []
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        if old != new:
            changes += list(compared(place, old, new))
    there = {_file(result): result for result in head}
    lost = [_file(result) for result in base if there.get(_file(result)) != result]
    known = {result.method["name"] for result in base}
    return Diff(changes, sorted(lost), frozenset(result.method["name"] for result in head) - known)


def newest(results: Iterable[Result]) -> dict[Place, Result]:
    """The result that counts of each task, rules, method and kind: of the newest versions, the newest run."""
    found: dict[Place, Result] = {}
    for result in results:
        place = result.task["name"], result.rules["name"], result.method["name"], result.kind
        if place not in found or _age(result) > _age(found[place]):
            found[place] = result
    return found


def _age(result: Result) -> tuple[int, int, int, tuple[str, str]]:
    return result.task["version"], result.rules["version"], result.measurement["version"], started(result)


def _file(result: Result) -> str:
    return f"{result.task['name']}/{result.method['name']}/{result.stem}.json"


def compared(place: Place, old: Result | None, new: Result | None) -> Iterator[Change]:
    """The changes of one cell; nothing where values agree."""
    if old is None or new is None:
        there = old or new
        assert there is not None
        yield from _whole(place, there, "removed" if new is None else "new", gone=new is None)
    elif _versions(old) != _versions(new):
        yield Change(*place, "another version of the task, the rules or the measurement: not compared")
    elif (old.status, old.reason) != (new.status, new.reason) and "ok" in (old.status, new.status):
        yield Change(*place, f"{_status(old)} → {_status(new)}")
    else:
        yield from _scores(place, old, new)
        yield from _points(place, old, new)


def _versions(result: Result) -> tuple[str, ...]:
    return result.task["hash"], result.rules["hash"], result.measurement["hash"]


def _status(result: Result) -> str:
    return result.status + (f" ({result.reason})" if result.reason else "")


def _whole(place: Place, result: Result, text: str, gone: bool) -> Iterator[Change]:
    """A cell that is new or gone, with the scores that a board shows at first."""
    shown = {column.name: column for column in columns(result) if column.name not in result.traits["hidden"]}
    values = {name: value for name, value in summary(result).items() if name in shown}
    for name, value in values.items():
        before, after = (value, None) if gone else (None, value)
        yield Change(*place, text, shown[name], before, after)
    if not values:
        yield Change(*place, f"{text}: {_status(result)}, {len(result.records)} records")


def _scores(place: Place, old: Result, new: Result) -> Iterator[Change]:
    before, after = summary(old), summary(new)
    for column in columns(new):
        first, second = before.get(column.name), after.get(column.name)
        if first is None and second is None:
            continue
        if first is None or second is None:
            yield Change(*place, "removed" if second is None else "new", column, first, second)
            continue
        if Compared("", column.name, first.value, second.value).agrees:
            continue
        gap = _gap(old, new, column.name, first, second)
        if column.unit == "s":
            beyond = second.value < first.low or second.value > first.high  # never without an interval
            told = "beyond the interval of the first" if beyond else "not beyond the interval of the first"
            yield Change(*place, told, column, first, second, gap, counts=beyond)
        else:
            significant = gap.low > 0 or gap.high < 0
            told = "significant" if significant else "not significant" if gap.low <= 0 <= gap.high else "no interval"
            yield Change(*place, told, column, first, second, gap)


def _gap(old: Result, new: Result, name: str, first: Interval, second: Interval) -> Interval:
    """After minus before, paired by image where both have the same ones; else without an interval."""
    ours, theirs = scalars(old, name), scalars(new, name)
    if ours.keys() == theirs.keys() and len(ours) > 1:
        before, after = (np.array([*values.values()]) for values in (ours, theirs))
        return difference(after, before, **bootstrap(new))
    return Interval(second.value - first.value, math.nan, math.nan)


def _points(place: Place, old: Result, new: Result) -> Iterator[Change]:
    """Of curves and ledgers it is said how many points differ."""
    before, after = _by_place(old), _by_place(new)
    wrong = [key for key in before.keys() | after.keys() if not _agrees(key[-1], before.get(key), after.get(key))]
    if wrong:
        yield Change(*place, f"{len(wrong)} of {len(before.keys() | after.keys())} values of curves differ")


def _by_place(result: Result) -> dict[tuple[str, str, int, str], float]:
    return {
        (record["sample"], str(sorted(record["at"].items())), record["seed"], name): value
        for record in result.records
        if record["at"]
        for name, value in record["values"].items()
    }


def _agrees(name: str, before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and Compared("", name, before, after).agrees


def rows(found: Diff, mine: Container[str]) -> list[Mapping[str, str]]:
    """The changes as rows of a table, those of others first."""
    order = sorted(found.changes, key=lambda c: (c.method in mine, not c.counts, c.task, c.method, c.kind))
    return [_row(change, change.method in mine) for change in order]


def _row(change: Change, own: bool) -> Mapping[str, str]:
    column = change.column
    score = f"{column.title}{f' ({column.unit})' if column.unit else ''}" if column else change.kind
    digits = column.digits if column else 0
    return {
        "task": change.task if change.rules == "full" else f"{change.task} ({change.rules})",
        "method": change.method if own else f"**{change.method}**",
        "score": score,
        "before": _shown(change.before, digits),
        "after": _shown(change.after, digits),
        "change": _shown(change.gap, digits, "+"),
        "": change.text,
    }


def _shown(value: Interval | None, digits: int, sign: str = "") -> str:
    if value is None:
        return ""
    text, *ends = (f"{number:{sign}.{digits}f}" for number in value)
    return text if math.isnan(value.low) else f"{text} ({ends[0]} to {ends[1]})"
