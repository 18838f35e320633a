"""Seconds per image of every method, machine by machine: side by side, as times of two machines do not compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recon_bench.results import Result, latest
from recon_bench.tables.board import Board
from recon_bench.tables.columns import summary, with_multiples
from recon_bench.tables.selection import Place, place, where
from recon_bench.tables.statistics import Interval

KIND = "runtime"


@dataclass(frozen=True)
class Machine:
    """``where`` some methods were timed, and of which ``version`` of the measurement. By method: its result, and
    ``values`` (``seconds`` with its interval, ``times_fbp``) where it has some."""

    where: str
    version: int
    results: Mapping[str, Result]
    values: Mapping[str, Mapping[str, Interval]]


def machines(board: Board) -> list[Machine]:
    """Where the board's methods were timed: first the machine that the board ranks, then those with most methods."""
    found: dict[Place, list[Result]] = {}
    ranked = [cell for (_, kind), cell in board.cells.items() if kind == KIND]
    for result in [*ranked, *(other for other in board.others if other.kind == KIND)]:
        found.setdefault(place(result), []).append(result)
    made = [_machine(results) for results in found.values()]
    return made[:1] + sorted(made[1:], key=lambda machine: (-len(machine.values), machine.where))


def _machine(results: list[Result]) -> Machine:
    own = {result.method["name"]: result for result in latest(results)}
    sound = {(name, KIND): summary(result) for name, result in own.items() if result.status == "ok"}
    values = {name: found for (name, _), found in with_multiples(sound).items()}
    return Machine(where(results[0]), results[0].measurement["version"], own, values)
