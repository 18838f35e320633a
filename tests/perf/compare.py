"""Times our call against those of peers, interleaved: the numbers of the tables.

Every round gives each contestant a turn, so that a machine that slows down slows them all. Both the fastest call of
all turns and the median over turns (of each one's fastest call) are kept: on a quiet machine they agree; on a busy one
two threads that wait for each other lose whole time slices, and only the fastest call tells what the code costs.

A pass over arrays larger than any cache has its turn too: what it moves a second is the memory bandwidth that a
sparse matrix, read once per application, cannot beat unless it stays in a cache.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch
from pytest_benchmark.fixture import BenchmarkFixture

from recon_bench.scoring import clock

Call = Callable[[], object]

BURST = 0.1  # seconds of a turn
TRIAD_BYTES = 3 * 2**28
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Seconds:
    """Of one contestant: its fastest call, and the median over its turns."""

    fastest: float
    median: float


@dataclass
class Tables:
    """What has been measured, by title of the table, and the remarks to print below."""

    rows: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)  # in order, each once

    def add(self, title: str, row: Mapping[str, str], remarks: Sequence[str] = ()) -> None:
        self.rows.setdefault(title, []).append(dict(row))
        self.remarks |= dict.fromkeys(remarks)


def interleave(benchmark: BenchmarkFixture, ours: Call, peers: Mapping[str, Call], rounds: int) -> dict[str, Seconds]:
    """Times of "ours", of the peers by name, and of the "triad".

    The contestants take their turns in the set-up of each round, ours among them; pytest-benchmark's own figure, a
    single call after all that, is kept for its comparisons between runs.
    """
    contestants = {"ours": ours, **peers, "triad": triad}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for call in contestants.values():
        call()

    def turns() -> None:
        for name, call in contestants.items():
            seconds[name].append(fastest(call))

    benchmark.pedantic(ours, setup=turns, rounds=rounds)
    found = {name: Seconds(min(times), statistics.median(times)) for name, times in seconds.items()}
    benchmark.extra_info |= {name: asdict(value) for name, value in found.items()}
    return found


def fastest(call: Call) -> float:
    """Seconds of the fastest of the calls that fit in ``BURST`` seconds, at least one."""
    times = [clock.seconds(call, CPU)[0]]
    while sum(times) < BURST:
        times.append(clock.seconds(call, CPU)[0])
    return min(times)


@functools.cache
def _arrays() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    count = TRIAD_BYTES // 12
    return torch.ones(count), torch.ones(count), torch.empty(count)


def triad() -> None:
    """out = a + 3 b: reads two arrays and writes one, ``TRIAD_BYTES`` in all."""
    a, b, out = _arrays()
    torch.add(a, b, alpha=3, out=out)
