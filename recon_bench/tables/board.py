"""Leaderboards and tables from results: pure functions of what `results.load` gives.

Nothing here knows a metric or a kind by name but those that rank. Records without ``at``
are summarised in one column for each metric; records with one key in ``at`` are curves. A new kind of measurement
appears without a change here.

Results of different task, rules or measurement hashes never share a board, and kinds that measure seconds or bytes
are compared within one machine, device and thread count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recon_bench.names import hint
from recon_bench.results import RANKING_KIND, Result, ResultError, latest, started
from recon_bench.results.declared import track as track_of
from recon_bench.results.ledger import chosen_record
from recon_bench.tables.columns import REPLACED, Column, bootstrap, scalars, with_multiples
from recon_bench.tables.columns import columns as columns_of
from recon_bench.tables.columns import summary as summary_of
from recon_bench.tables.numbers import plural
from recon_bench.tables.selection import current, machine_notes, same_machine
from recon_bench.tables.statistics import Interval, interval, ranks

RANKING_METRIC = "psnr"
FIXED = ("rank", "method", "title", "family", "track", "mark", "status", "reason", "notes", "images")
UNRANKED = ("partial", "timeout", "failed", "not-applicable", "not measured")


@dataclass(frozen=True)
class Board:
    """The leaderboard of a task.

    ``frame`` has a row for each method, best first, those without a rank below, and the columns FIXED (``rank`` is
    empty where there is none) followed by value, low and high of each of ``columns``, of which the ``hidden`` ones are
    not shown before somebody asks. ``notes`` are for the reader; ``cells`` are the results that count, by method and
    kind; ``others`` depend on the machine and are of another one than those, older ones among them.
    """

    task: str
    version: int
    hash: str
    rules: Mapping[str, Any]
    columns: tuple[Column, ...]
    hidden: frozenset[str]
    frame: pd.DataFrame
    notes: tuple[str, ...]
    cells: Mapping[tuple[str, str], Result]
    others: tuple[Result, ...] = ()


def board(results: Iterable[Result], task: str, rules: str = "full", track: str = "") -> Board:
    """The leaderboard of ``task`` under ``rules``; raises :class:`ResultError` where there is nothing to show.

    ``track``: one of :data:`recon_bench.results.declared.TRACKS`, of which alone the rows are, ranked among themselves.
    """
    results = list(results)
    counted, notes = current(results, task, rules)
    if not counted:
        there = _there_are(results, task, rules)
        raise ResultError(f"no results of the task {task!r} under the rules {rules!r}{there}")
    compared, elsewhere = same_machine(counted)
    ranked = {result.stem for result in compared}
    others = [result for result in counted if result.stem not in ranked]
    cells = {(result.method["name"], result.kind): result for result in latest(compared)}
    # A mean over what happened to work would reward failing on hard images.
    sound = {key: cell for key, cell in cells.items() if cell.status == "ok"}
    summaries = with_multiples({place: summary_of(cell) for place, cell in sound.items()})
    names = sorted({result.method["name"] for result in counted})
    if track:  # only now: multiples are of FBP's row, on whatever track
        names = [name for name in names if (cell := cells.get((name, RANKING_KIND))) and track_of(cell) == track]
        elsewhere = {name: said for name, said in elsewhere.items() if name in names}
        cells = {key: cell for key, cell in cells.items() if key[0] in names}
        summaries = {key: summary for key, summary in summaries.items() if key[0] in names}
    ranking, problems = _ranking(cells)
    for method in problems:
        del summaries[method, RANKING_KIND]
    newest = {kind: cell for (_, kind), cell in sorted(sound.items(), key=lambda item: started(item[1]))}
    columns = _all_columns(newest, summaries)
    rows = []
    for name in names:
        own = {kind: cell for (method, kind), cell in cells.items() if method == name}
        header = max((r for r in counted if r.method["name"] == name), key=started).method
        row = _head(header, own, ranking.get(name), problems.get(name), elsewhere.get(name, []))
        for (kind, metric), column in columns.items():
            value, low, high = summaries.get((name, kind), {}).get(metric, (math.nan,) * 3)
            row |= {column.name: value, f"{column.name}_low": low, f"{column.name}_high": high}
        rows.append(row)
    first = counted[0]
    return Board(
        task=task,
        version=first.task["version"],
        hash=first.task["hash"],
        rules=first.rules,
        columns=tuple(columns.values()),
        hidden=frozenset(_hidden(columns, newest)),
        frame=_sorted(rows, list(columns.values())),
        notes=(*notes, *machine_notes(compared, elsewhere), *_size_notes(cells)),
        cells=cells,
        others=tuple(others),
    )


def curves(results: Iterable[Result], task: str, kind: str | None = None, rules: str = "full") -> pd.DataFrame:
    """Curves (of one ``kind``) as rows: method, kind, axis, at, metric, value, low, high, samples.

    ``value`` is the mean over ``samples`` records at the place ``at`` of the ``axis``, in the unit of the metric. There
    is no row where there are no curves.
    """
    rows: list[dict[str, Any]] = []
    for result in latest(same_machine(current(results, task, rules)[0])[0]):
        if result.traits["ledger"] or kind not in (None, result.kind):
            continue
        points: dict[tuple[str, float, str], list[float]] = {}
        for record in result.records:
            if len(record["at"]) == 1:
                [(axis, at)] = record["at"].items()
                for metric, value in record["values"].items():
                    points.setdefault((axis, at, metric), []).append(value)
        for (axis, at, metric), values in sorted(points.items()):
            mean = interval(np.array(values), **bootstrap(result))
            where = {"method": result.method["name"], "kind": result.kind, "axis": axis, "at": at, "metric": metric}
            rows.append({**where, **mean._asdict(), "samples": len(values)})
    columns = ["method", "kind", "axis", "at", "metric", "value", "low", "high", "samples"]
    return pd.DataFrame(rows, columns=columns)


def raw(results: Iterable[Result], task: str, kind: str = RANKING_KIND, rules: str = "full") -> pd.DataFrame:
    """Raw values of the results that count, one row for each record: method, sample, seed, at, metrics, error, note."""
    rows = []
    metrics: dict[str, None] = {}
    for result in latest(same_machine(current(results, task, rules)[0])[0]):
        if result.kind == kind:
            metrics |= dict.fromkeys(metric["name"] for metric in result.measurement["metrics"])
            for record in result.records:
                at = {f"at_{axis}": value for axis, value in record["at"].items()}
                rows.append({"method": result.method["name"], **record, **at, **record["values"]})
    places = sorted({key for row in rows for key in row if key.startswith("at_")})
    return pd.DataFrame(rows, columns=["method", "sample", "seed", *places, *metrics, "error", "note"])


def ledger(tuning: Result) -> pd.DataFrame:
    """What the tuner tried: evaluation, each setting, each metric, error, and which the header says was chosen.

    Evaluations count from 1; a choice stands by its index among the values of its search.
    """
    if not tuning.records:
        return pd.DataFrame(columns=["evaluation", "error", "chosen"])
    rows = [
        {"evaluation": number, **record["at"], **record["values"], "error": record["error"]}
        for number, record in enumerate(tuning.records, start=1)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(chosen=frame.index == chosen_record(tuning))


def pareto(frame: pd.DataFrame, cost: str = "seconds", quality: str = RANKING_METRIC) -> pd.Series:
    """Which rows no other row beats in both a lower ``cost`` and a higher ``quality``, as truth values by row.

    A row without one of the two is not among them; nor is any where the frame has no such column.
    """
    if cost not in frame or quality not in frame:
        return pd.Series(False, index=frame.index)
    known = frame[[cost, quality]].dropna().sort_values([cost, quality], ascending=[True, False])
    best = known[quality].cummax().shift(fill_value=-math.inf)
    front = known.index[known[quality] > best]
    return pd.Series(frame.index.isin(front), index=frame.index)


def task_names(results: Iterable[Result], rules: str = "full") -> list[str]:
    """Names of the tasks that have results under ``rules``."""
    ranked = (result for result in results if result.traits["board"])
    return sorted({result.task["name"] for result in ranked if result.rules["name"] == rules})


def _there_are(results: Iterable[Result], task: str, rules: str) -> str:
    """What there is in the place of a board that has nothing."""
    other = sorted({r.rules["name"] for r in results if r.task["name"] == task and r.traits["board"]})
    if other:
        return f"; under others there are: --rules {' or '.join(other)}"
    known = task_names(results, rules)
    return f"{hint(task, known)} (there are some of: {', '.join(known) or 'no task'})"


def _size_notes(cells: Mapping[tuple[str, str], Result]) -> list[str]:
    images = len(_samples(cells))
    return [f"only {plural(images, 'image')}: ranks are an indication, not a result"] if 0 < images < 10 else []


def _samples(cells: Mapping[tuple[str, str], Result]) -> list[str]:
    """Every sample that some method was scored on."""
    scored = (cell for (_, kind), cell in cells.items() if kind == RANKING_KIND)
    return sorted({sample for cell in scored for sample in scalars(cell, RANKING_METRIC)})


def _ranking(cells: Mapping[tuple[str, str], Result]) -> tuple[dict[str, int], dict[str, str]]:
    """Ranks of the methods that are fine on every image, and why others with the status "ok" have none."""
    samples = _samples(cells)
    values, problems = {}, {}
    for (name, kind), cell in cells.items():
        if kind == RANKING_KIND and cell.status == "ok":
            own = scalars(cell, RANKING_METRIC)
            values[name] = np.array([own.get(sample, math.nan) for sample in samples])
            if missing := len(samples) - len(own):
                problems[name] = f"{missing} of {len(samples)} images are missing"
    scored = [cell for (_, kind), cell in cells.items() if kind == RANKING_KIND]
    if not samples:
        return {}, problems
    (digits,) = (m["digits"] for m in scored[0].measurement["metrics"] if m["name"] == RANKING_METRIC)
    return ranks(values, **bootstrap(scored[0]), resolution=0.5 * 10.0**-digits), problems


def _head(
    header: Mapping[str, Any],
    own: Mapping[str, Result],
    rank: int | None,
    problem: str | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The columns FIXED of a row."""
    scored = own.get(RANKING_KIND)
    status = "partial" if problem else scored.status if scored else "not measured"
    reason = problem or (scored.reason if scored else f"there is no result of the kind {RANKING_KIND!r}")
    row: dict[str, Any] = {"rank": rank, "method": header["name"], "title": header["title"], "family": header["family"]}
    row |= {
        "track": track_of(scored) if scored else "",
        "mark": scored.mark if scored else "",
        "status": status,
        "reason": reason or "",
        "notes": "; ".join([*row_notes(own), *notes]),
    }
    row["images"] = len(scalars(scored, RANKING_METRIC)) if scored else 0
    return row


def row_notes(own: Mapping[str, Result], kinds: Container[str] | None = None) -> list[str]:
    """What a reader must know of a method's numbers, from its results by kind; of what is hidden at first nothing.

    With ``kinds`` of these alone.
    """
    notes = []
    told = {kind: result for kind, result in own.items() if kinds is None or kind in kinds}
    for kind, result in told.items():
        if {metric["name"] for metric in result.measurement["metrics"]} <= {*result.traits["hidden"]}:
            continue  # nothing of it stands on the board before somebody asks
        if kind != RANKING_KIND and result.status not in ("ok", own.get(RANKING_KIND, result).status):
            notes.append(f"{kind}: {result.status}, {result.reason}")
        said = Counter(record["note"] for record in result.records if record["note"] and record["values"])
        if said:
            notes.append(f"{kind}, {said.total()} of {len(result.records)} records: {said.most_common(1)[0][0]}")
    made = [result.method for result in told.values() if not result.traits["ledger"]]
    if len({(method["hash"], str(method["settings"])) for method in made}) > 1:
        notes.append("kinds were measured with different versions or settings of the method")
    if len({str(method["weights"]) for method in made if len(method.get("weights", ())) == 1}) > 1:
        notes.append("kinds were measured with different weights")
    return notes


def _sorted(rows: list[dict[str, Any]], columns: Sequence[Column]) -> pd.DataFrame:
    names = [name for column in columns for name in (column.name, f"{column.name}_low", f"{column.name}_high")]

    def place(row: dict[str, Any]) -> tuple[float, float, int, str]:
        if row["rank"]:
            return row["rank"], -row[RANKING_METRIC], 0, row["method"]
        order = UNRANKED.index(row["status"]) if row["status"] in UNRANKED else len(UNRANKED)
        return math.inf, 0, order, row["method"]

    rows.sort(key=place)
    frame = pd.DataFrame(rows, columns=[*FIXED, *names])
    return frame.astype({"rank": "Int64", **dict.fromkeys(names, float)}).copy()  # in one piece again


def _hidden(columns: Mapping[tuple[str, str], Column], newest: Mapping[str, Result]) -> Iterator[str]:
    """Names of the columns that wait until somebody asks for them."""
    for (kind, metric), column in columns.items():
        if metric in newest[kind].traits["hidden"] or (kind, REPLACED.get(metric)) in columns:
            yield column.name


def _all_columns(
    newest: Mapping[str, Result], summaries: Mapping[tuple[str, str], Mapping[str, Interval]]
) -> dict[tuple[str, str], Column]:
    """Columns that have a value, by kind and metric; a name that an earlier kind took is prefixed with the kind."""
    columns: dict[tuple[str, str], Column] = {}
    for kind in sorted(newest, key=lambda kind: (newest[kind].traits["order"], kind)):
        taken = {column.name for column in columns.values()}
        seen = {metric for (_, k), summary in summaries.items() if k == kind for metric in summary}
        for column in columns_of(newest[kind]):
            if column.name in seen:
                unique = f"{kind}_{column.name}" if column.name in taken else column.name
                columns[kind, column.name] = replace(column, name=unique)
    return columns
