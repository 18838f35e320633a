"""What of a method's lead carries over: its results on images of another origin beside total variation and its own.

Gains are means of paired differences to the rival over the images that both have. The rival of a task is that one of
its TV rows with such results that is best on the task's own test images. Several slices of one scan are one person,
who counts once in what is said of people. The rule, written before any figure was seen: a network is *behind* if its
mean gain over all images that come with the project is below zero.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recon_bench.data import foreign
from recon_bench.results import RANKING_KIND, Result
from recon_bench.tables.board import RANKING_METRIC, Board
from recon_bench.tables.columns import bootstrap, scalars
from recon_bench.tables.statistics import Interval, difference, interval

KIND = "transfer"
PHANTOMS = frozenset(name for name, *_ in foreign.PHANTOMS)  # groups that are of no person
SHIPPED, DOWNLOADED = "foreign_psnr", "downloaded_psnr"
SHIPPED_SSIM = "foreign_ssim"
CLEAR = 1.0  # dB over the rival on average
TV = "tv-"  # how names of rows of total variation begin
CONTRASTS = ("-phantoms", "-scan-alone")  # end names of networks that are there to show what their training lacks


@dataclass(frozen=True)
class Part:
    """Mean PSNR and gain over the rival, in dB with intervals, of ``count`` images or people; NaN where unknown."""

    psnr: Interval
    gain: Interval
    count: int


@dataclass(frozen=True)
class Row:
    """A method: ``total`` of what comes with the project, ``people`` of the scans in it, each person once, and each of
    the ``groups`` by name.

    ``ssim`` is that of people. ``home`` is its mean PSNR on the task's own test images and ``home_gain`` what it gains
    over the rival there; ``drop`` is from there to ``total``. In dB, NaN where unknown.
    """

    result: Result
    total: Part
    people: Part
    ssim: Interval
    groups: Mapping[str, Part]
    home: float
    home_gain: float
    drop: float

    @property
    def behind(self) -> bool:
        """Whether it is a network that is behind total variation."""
        return self._learned and self.total.gain.value < 0

    @property
    def behind_on_people(self) -> bool:
        """Whether it is a network that is so on people alone."""
        return self._learned and self.people.gain.value < 0

    @property
    def _learned(self) -> bool:
        return bool(self.result.method.get("weights"))


def rows(board: Board) -> list[Row]:
    """A row for each method of a board with such results, best first; without any, nothing."""
    own = {method: cell for (method, kind), cell in board.cells.items() if kind == KIND}
    against = rival(board)
    found = [_row(board, cell, own.get(against)) for cell in own.values() if cell.status in ("ok", "partial")]
    return sorted(found, key=lambda row: -row.people.psnr.value if row.people.count else math.inf)


@dataclass(frozen=True)
class Kept:
    """Of so many ``networks``, without those ``left_out``: how many are at or above the rival in the mean of every
    group, how many are CLEAR dB above it in that of people, and how many in that of all images of the project."""

    networks: int
    everywhere: int
    on_people: int
    on_all: int
    left_out: int = 0


def kept(found: Iterable[Row]) -> Kept:
    """How far the networks of these rows carry over; rows that are not whole or have no gains are left out, and so are
    those that :func:`counts` leaves out."""
    whole = [row for row in found if row.result.status == "ok" and not math.isnan(row.total.gain.value)]
    trained = [row for row in whole if row.result.method.get("weights")]
    networks = [row for row in trained if counts(row.result.method)]
    everywhere = [row for row in networks if not any(part.gain.value < 0 for part in row.groups.values())]
    on_people = sum(row.people.gain.value >= CLEAR for row in networks)
    on_all = sum(row.total.gain.value >= CLEAR for row in networks)
    return Kept(len(networks), len(everywhere), on_people, on_all, len(trained) - len(networks))


def counts(method: Mapping[str, Any]) -> bool:
    """Whether a method of a result counts where networks are counted: CONTRASTS and those with the weights of another
    do not."""
    name = str(method["name"])
    own = all(weights.partition("/")[2].startswith(name) for weights in method.get("weights", ()))
    return own and not name.endswith(CONTRASTS)


def contrasts(found: Iterable[Row]) -> list[Row]:
    """Networks of which there are CONTRASTS, each followed by these."""
    by_name = {row.result.method["name"]: row for row in found}
    several = ([name, *(name + end for end in CONTRASTS if name + end in by_name)] for name in sorted(by_name))
    return [by_name[name] for names in several if len(names) > 1 for name in names]


def rival(board: Board) -> str:
    """The TV row with such results that is best on the task's own test images; empty where there is none."""
    measured = [method for (method, kind), cell in board.cells.items() if kind == KIND and cell.status == "ok"]
    return max((m for m in measured if m.startswith(TV) and _home(board, m)), key=lambda m: _mean(board, m), default="")


def absent(board: Board) -> dict[str, str]:
    """Why groups were not measured, by name."""
    notes: dict[str, str] = {}
    for (_, kind), cell in board.cells.items():
        if kind == KIND:
            notes |= {r["sample"]: r["note"] for r in cell.records if r["note"] and not r["values"] and not r["error"]}
    return notes


def _row(board: Board, cell: Result, against: Result | None) -> Row:
    mine = {metric: scalars(cell, metric) for metric in (SHIPPED, DOWNLOADED)}
    theirs = {metric: scalars(against, metric) if against else {} for metric in mine}
    members: dict[str, tuple[str, list[str]]] = {}
    for metric, values in mine.items():
        for sample in values:
            members.setdefault(_group(sample), (metric, []))[1].append(sample)
    name, home = cell.method["name"], _mean(board, cell.method["name"])
    total = _part(cell, mine[SHIPPED], theirs[SHIPPED])
    both = set(mine[SHIPPED]) & set(theirs[SHIPPED])
    paired = (_by_person({sample: of[SHIPPED][sample] for sample in sorted(both)}) for of in (mine, theirs))
    people = np.array([*_by_person(mine[SHIPPED]).values()])
    return Row(
        result=cell,
        total=total,
        people=Part(interval(people, **bootstrap(cell)), _part(cell, *paired).gain, len(people)),
        ssim=interval(np.array([*_by_person(scalars(cell, SHIPPED_SSIM)).values()]), **bootstrap(cell)),
        groups={
            group: _part(cell, {sample: mine[metric][sample] for sample in samples}, theirs[metric])
            for group, (metric, samples) in members.items()
        },
        home=home,
        home_gain=_home_gain(board, name, against.method["name"]) if against else math.nan,
        drop=home - total.psnr.value,
    )


def _group(sample: str) -> str:
    """The group that an image is of, by its name."""
    return sample.rpartition("-")[0]


def _by_person(values: Mapping[str, float]) -> dict[str, float]:
    """Means over the images of each person; phantoms are left out."""
    found = defaultdict[str, list[float]](list)
    for sample, value in values.items():
        if _group(sample) not in PHANTOMS:
            found[_group(sample)].append(value)
    return {person: math.fsum(some) / len(some) for person, some in found.items()}


def _part(cell: Result, mine: Mapping[str, float], theirs: Mapping[str, float]) -> Part:
    both = [sample for sample in mine if sample in theirs]
    values, rival = (np.array([of[sample] for sample in both]) for of in (mine, theirs))
    told = bootstrap(cell)
    return Part(interval(np.array([*mine.values()]), **told), difference(values, rival, **told), len(mine))


def _home(board: Board, method: str) -> Mapping[str, float]:
    """PSNR by own test image, empty where there is no accuracy."""
    cell = board.cells.get((method, RANKING_KIND))
    return scalars(cell, RANKING_METRIC) if cell and cell.status == "ok" else {}


def _mean(board: Board, method: str) -> float:
    values = _home(board, method)
    return math.fsum(values.values()) / len(values) if values else math.nan


def _home_gain(board: Board, method: str, against: str) -> float:
    return _mean(board, method) - _mean(board, against)
