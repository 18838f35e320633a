"""Iterations: accuracy, data consistency and cost of a method after more and fewer iterations than it was made for.

The setting that limits applications of the pair (A, adjoint) is replaced, and a tolerance by zero, so that all of them
are made; the other settings are those of the board. A network keeps the weights that it was trained with: of tied
steps there are as many as wanted, of steps with weights of their own only as many as were trained. At each place of
the curve there is a record for each of the first test images, and one, ``cost``, of the task's second pictured image
alone, the usual one, whose reconstructions are also shown.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_bench import weights
from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import pictures, quality
from recon_bench.scoring.answers import Reconstruction, reason
from recon_bench.scoring.host import Host, host, reconstructed

AXIS = "iterations"
REPEATS = "repeats its last block"


@dataclass(frozen=True)
class Protocol:
    """``depths``: iterations measured, and of a method trained for K of them also K times ``multiples``.

    ``images``: test images at most; ``pictured``: depths of which there is a picture; ``repeats`` of a timing, fewer
    once ``timing_seconds`` have gone by.
    """

    depths: tuple[int, ...] = (1, 2, 5, 10, 20, 30, 40, 80, 100)
    multiples: tuple[int, ...] = (1, 10)
    images: int = 10
    pictured: tuple[int, ...] = (1, 10, 20, 30, 40)
    repeats: int = 3
    timing_seconds: float = 1.0


PROTOCOL = Protocol()


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """Records of every depth, in ascending order; what fails at one of them leaves the others.

    NotApplicable where no setting counts iterations, or where the method cannot run at all.
    """
    if cell.method.depth is None:
        raise NotApplicable("no setting counts iterations")
    cell = dataclasses.replace(cell, settings=with_weights(cell))
    method = host(cell)
    method.set_up(cell.settings, cell.rules.seeds[0])
    for depth in depths(PROTOCOL, trained(cell)):
        yield from (record for record in point(cell, method, depth, save) if record.key not in done)


def depths(protocol: Protocol, trained: int | None) -> list[int]:
    """All depths to measure, in ascending order."""
    return sorted({*protocol.depths, *(trained * multiple for multiple in protocol.multiples if trained)})


def with_weights(cell: Cell) -> Any:
    """The settings of a cell; those of a network name the weights that it takes, so that no depth takes others."""
    found = weights.own(cell.method, cell.task.name, settings=cell.settings)
    return dataclasses.replace(cell.settings, weights=found[0]) if found else cell.settings


def trained(cell: Cell) -> int | None:
    """For how many iterations a network was trained; None for what learns something else, or nothing.

    ``cell.settings`` name its weights, whose card says so; where that is silent, the default settings.
    """
    if cell.method.network is None or cell.method.family not in ("unrolled", "equilibrium"):
        return None
    name = weights.own(cell.method, cell.task.name, settings=cell.settings)
    said = weights.card(name[0]).get("settings", {}) if name else {}
    return int(said.get(cell.method.depth, getattr(cell.method.settings, str(cell.method.depth))))


def settings_at(settings: Any, field: str, depth: int) -> Any:
    """The settings with ``depth`` in ``field``, and no tolerance to stop at. ValueError for less than one iteration."""
    if depth < 1:
        raise ValueError(f"expected at least 1 iteration, got {depth}")
    exact = {"tolerance": 0.0} if hasattr(settings, "tolerance") else {}
    return dataclasses.replace(settings, **{field: depth}, **exact)


def point(cell: Cell, method: Host, depth: int, save: SavePicture) -> Iterator[Record]:
    """Records of one depth: of each image, then of what it costs; or one that says why there are none."""
    at, seed = {AXIS: depth}, cell.rules.seeds[0]
    try:
        settings = settings_at(cell.settings, str(cell.method.depth), depth)
        method, note = _set_up(cell, method, settings)
        yield from (dataclasses.replace(record, note=note) for record in _images(cell, method, at))
        yield dataclasses.replace(_cost(cell, method, settings, at, save), note=note)
    except weights.WeightsError:
        yield Record(at=at, seed=seed, error="not applicable: no weights for this number of iterations")
    except Exception as error:  # a method may raise anything; the other depths go on
        yield Record(at=at, seed=seed, error=reason(error, cell.device))


def _set_up(cell: Cell, method: Host, settings: Any) -> tuple[Host, str | None]:
    """The host that these settings were set up on, and how it differs: where there are weights for fewer blocks than
    they want, it is another one that repeats the last. WeightsError where there are weights for more.
    """
    try:
        method.set_up(settings, cell.rules.seeds[0])
    except weights.WeightsError:
        deeper = method.repeating(settings.weights)
        deeper.set_up(settings, cell.rules.seeds[0])
        return deeper, REPEATS
    return method, None


def _images(cell: Cell, method: Host, at: Mapping[str, float]) -> Iterator[Record]:
    """One record for each test image."""
    count = min(PROTOCOL.images, cell.rules.images, cell.task.sizes["test"])
    for index, sample, found in reconstructed(method, cell.task.samples("test"), range(count), cell.rules):
        record = Record(sample=pictures.name(index), at=at, seed=cell.rules.seeds[0], error=found.error)
        if found.x is None:
            yield record
            continue
        values = quality.similarity(cell.task, sample.truth, found.x)
        values |= {"misfit": quality.misfit(method, found.x, sample.data)}
        yield dataclasses.replace(record, values=quality.finite(values))


def _cost(cell: Cell, method: Host, settings: Any, at: Mapping[str, float], save: SavePicture) -> Record:
    """Time, applications and the last step of a single image, of which a picture may be kept."""
    seed, depth = cell.rules.seeds[0], int(at[AXIS])
    chosen = pictures.chosen(cell.task)
    index = chosen[len(chosen) // 2]
    sample = cell.task.samples("test")[index]
    y = sample.data[None]
    (found,) = method.reconstruct(y)
    if found.x is None:
        return Record(sample="cost", at=at, seed=seed, error=found.error)
    if depth in PROTOCOL.pictured:
        name, shown = f"iterations-{depth:03d}", "iteration" if depth == 1 else "iterations"
        caption = f"{pictures.name(index)}, {depth} {shown}, {quality.psnr(cell.task, sample.truth, found.x):.2f} dB"
        save(name, pictures.grey(found.x, cell.task.display), caption)
    values = {"seconds": _seconds(method, y)}
    if pairs := method.applications(y, settings, seed):
        values["applications"] = pairs
    if count := trained(cell):
        values["of_trained"] = depth / count
    values |= _step(cell, method, depth, y, found.x)
    return Record(sample="cost", at=at, seed=seed, values=quality.finite(values))


def _seconds(method: Host, y: Tensor) -> float:
    """Median of repeated calls; the reconstruction before was the warm-up."""
    found: list[float] = []
    while len(found) < PROTOCOL.repeats and sum(found) < PROTOCOL.timing_seconds:
        found.append(method.seconds(y)[0])
    return statistics.median(found)


def _step(cell: Cell, method: Host, depth: int, y: Tensor, x: Tensor) -> dict[str, float]:
    """|x - before| / |x| where ``before`` took an iteration less; nothing where there is no such reconstruction."""
    try:
        method.set_up(settings_at(cell.settings, str(cell.method.depth), depth - 1), cell.rules.seeds[0])
        (before,) = method.reconstruct(y)
    except Exception:  # the first iteration, or too few for one step of the method
        before = Reconstruction()
    if before.x is None:
        return {}
    return {"change": float(torch.linalg.vector_norm(x - before.x) / torch.linalg.vector_norm(x))}


MEASUREMENT = Measurement(
    name="iterations",
    version=2,
    title="What happens if you iterate more",
    metrics=(
        Metric("psnr", "PSNR", "dB", "higher"),
        Metric("ssim", "SSIM", "", "higher", 3),
        Metric("misfit", "Data misfit", "", "lower", 4),
        Metric("change", "Relative change of the last iteration", "", "lower", 5),
        Metric("seconds", "Time per image", "s", "lower", 4),
        Metric("applications", "Pairs of A and adjoint", "", "lower", 1),
        Metric("of_trained", "Iterations, in those it was trained for", "×", "lower"),
    ),
    measure=measure,
    protocol=PROTOCOL,
    order=3,
    alone=True,
    board=False,
    confirm="accuracy",
)
