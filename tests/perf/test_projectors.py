"""Our ray transform beside those of other packages: A, its adjoint, FBP, and how long a large matrix takes to build."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from recon_bench import cache
from recon_bench.core import Noise, Problem, Samples
from recon_bench.operators import ParallelBeam, RayTransform, evenly
from recon_bench.registry import method
from tests.perf.compare import TRIAD_BYTES, Seconds, interleave
from tests.perf.peers import PEERS


@dataclass(frozen=True)
class Case:
    """A batch on a scan, against ``peers``; ``required`` times ASTRA's rate."""

    size: int
    views: int
    bins: int
    batch: int
    rounds: int
    peers: tuple[str, ...] = tuple(PEERS)
    required: float | None = None

    def __str__(self) -> str:
        return f"{self.size}x{self.size}, {self.views} views, batch {self.batch}"

    @property
    def geometry(self) -> ParallelBeam:
        return ParallelBeam(self.size, evenly(self.views), self.bins)


CASES = (
    Case(128, 30, 183, batch=16, rounds=9, required=20),
    Case(512, 50, 729, batch=1, rounds=5, required=4),
    Case(512, 143, 729, batch=1, rounds=3),
    Case(512, 143, 729, batch=8, rounds=3, peers=("ASTRA",)),
)
LARGE = ParallelBeam(512, evenly(143), 729)
REMARKS = (
    "ours: milliseconds per image, fastest call; under a peer: how many times as long its fastest of the same rounds "
    "takes (and by the medians over rounds); required: of ASTRA.",
    "memory: bytes of the matrix and of the vectors, each counted once, a second, against a triad over 768 MiB in the "
    "same rounds; above 100 % where the matrix stays in a cache.",
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("direction", ["forward", "adjoint"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_projector(case, direction, benchmark, tables):
    A = RayTransform(case.geometry)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(case.batch, case.size, case.size, generator=generator)
    y = A(x)
    csr = A._projector
    ours, matrices = (lambda: A(x), csr.strips) if direction == "forward" else (lambda: A.adjoint(y), [csr.transpose])
    row = compare(case, direction, ours, (x.numpy(), y.numpy()), benchmark)
    arrays = [part for m in matrices for part in (m.crow_indices(), m.col_indices(), m.values())] + [x, y]
    rate = sum(array.nbytes for array in arrays) / row.seconds["ours"].fastest
    memory = TRIAD_BYTES / row.seconds["triad"].fastest
    row.cells["memory"] = f"{rate / 1e9:.0f} of {memory / 1e9:.0f} GB/s: {rate / memory:.0%}"
    tables.add("Ray transform", row.cells, (*REMARKS, *row.remarks))


@pytest.mark.timeout(600)
def test_filtered_backprojection(benchmark, tables):
    case = CASES[2]
    A = RayTransform(case.geometry)
    y = A(torch.rand(1, case.size, case.size, generator=torch.Generator().manual_seed(0)))
    nothing = Samples(0, lambda index: None)
    fbp = method("fbp")
    reconstruct = fbp.build(Problem(A, Noise("none"), 1.0, nothing, nothing), fbp.settings)
    images = np.zeros((1, case.size, case.size), np.float32)
    row = compare(case, "fbp", lambda: reconstruct(y, A), (images, y.numpy()), benchmark)
    tables.add("Ray transform", row.cells, row.remarks)


@dataclass(frozen=True)
class Row:
    cells: dict[str, str]
    seconds: dict[str, Seconds]
    remarks: list[str]


def compare(case, what, ours, arrays, benchmark) -> Row:
    """One row: our milliseconds an image, and each peer's time as a multiple of ours."""
    found = {name: PEERS[name](case.geometry, *arrays) for name in case.peers}
    missing = [f"{name}: {reason}" for name, reason in found.items() if isinstance(reason, str)]
    peers = {name: getattr(peer, what) for name, peer in found.items() if not isinstance(peer, str)}
    seconds = interleave(benchmark, ours, peers, case.rounds)
    mine = seconds["ours"]
    cells = {"case": str(case), "what": what, "ours": f"{1000 * mine.fastest / case.batch:.3f} ms"}
    cells |= {name: f"{seconds[name].fastest / mine.fastest:.1f}" if name in seconds else "-" for name in PEERS}
    if "ASTRA" in seconds:
        cells["ASTRA, medians"] = f"{seconds['ASTRA'].median / mine.median:.1f}"
    cells["required"] = f"{case.required:g}" if case.required and what != "fbp" else ""
    threads = f"torch {torch.__version__} with {torch.get_num_threads()} threads"
    return Row(cells, seconds, [threads, *missing])


def test_build_the_first_time(benchmark, tables, monkeypatch, tmp_path):
    monkeypatch.setenv("RECON_BENCH_CACHE", str(tmp_path))

    def clear() -> None:
        cache.clear()

    benchmark.pedantic(lambda: RayTransform(LARGE), setup=clear, rounds=3)
    add_build("built and stored in an empty cache", benchmark, tables, "< 6 s")


def test_build_from_the_cache(benchmark, tables, monkeypatch, tmp_path):
    """With a first application of both matrices: reading is mapped, so that is when the pages are fetched."""
    monkeypatch.setenv("RECON_BENCH_CACHE", str(tmp_path))
    RayTransform(LARGE)
    image = torch.ones(LARGE.size, LARGE.size)

    def build() -> None:
        A = RayTransform(LARGE)
        A.adjoint(A(image))

    benchmark.pedantic(build, rounds=5)
    add_build("from the cache, and first used", benchmark, tables, "< 2 s")


def add_build(what, benchmark, tables, required) -> None:
    row = {"what": what, "fastest": f"{benchmark.stats['min']:.2f} s", "median": f"{benchmark.stats['median']:.2f} s"}
    tables.add("Building 512x512, 143 views", row | {"required": required})
