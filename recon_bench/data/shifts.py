"""Other measurements A1 of a task's truths: what is shifted, and what a method that knows A0 alone is handed.

That are the data as they are where there are as many views; of more or fewer, each view of A0 interpolated between the
nearest measured ones; and of k-space what A1 measured at the points of A0, and zeros elsewhere.

Two are of a known kind but for one number, which is to be found from the data: how far the detector has moved, and at
which angle the first view was taken.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_bench.core import Operator
from recon_bench.operators import MaskedFourier, ParallelBeam, RayTransform
from recon_bench.operators.sampled import SampledFourier
from recon_bench.task import Parameter, Shift, Truth

Measure = Callable[[Truth, np.random.Generator], NDArray[Any]]
RAYS = ("angle-offset", "fewer-views", "more-views", "limited-150", "limited-120", "detector-1", "detector-2")
FOURIER = ("other-mask", "fewer-columns", "golden-angle")
KINDS = (*RAYS, *FOURIER, "other-task", "rotation-centre")  # results name one by its place here
COUNTS = {"fewer-views": 0.8, "more-views": 1.2}  # of the views of A0
RATIOS = (0.6, 1.0, 2.0, 4.0, 10.0, 20.0)  # of less and more data than A0 has
LARGEST = 1e8  # views x bins x pixels along a ray, above which an operator takes gigabytes
GOLDEN = math.pi * (math.sqrt(5) - 1) / 2  # radians: 111.2 degrees


def rays(g: ParallelBeam, measure: Callable[[ParallelBeam], Measure], **others: ParallelBeam) -> tuple[Shift, ...]:
    """Shifts of a task of views evenly spaced over half a turn, whose operator is that of ``g``.

    ``measure(geometry)`` measures as the task does, in another geometry; ``others`` are geometries of other tasks, by
    their names with underscores.
    """
    views, step = len(g.angles), _step(g)
    moved, turned = partial(_moved, g), partial(_turned, g)
    offset = Parameter("angle of the first view", "steps", 0.5, 0.0, -1.0, 1.0, _operator(turned))
    found = [_of_rays("angle-offset", g, turned(0.5), measure, offset)]
    for name, ratio in COUNTS.items():
        count = round(ratio * views)
        found.append(_of_rays(name, g, _spaced(g, count), measure))
    for limit in (150, 120):
        within = tuple(angle for angle in g.angles if angle - g.angles[0] < math.radians(limit) - step / 2)
        seen = dataclasses.replace(g, angles=within)
        found.append(_of_rays(f"limited-{limit}", g, seen, measure))
    for bins in (1, 2):
        shift = Parameter("shift of the detector", "bins", bins, 0.0, -4.0, 4.0, _operator(moved))
        found.append(_of_rays(f"detector-{bins}", g, moved(bins), measure, shift))
    for task, other in others.items():
        found.append(_of_rays("other-task", g, other, measure, oracle=task.replace("_", "-")))
    return tuple(found)


def views(g: ParallelBeam, measure: Callable[[ParallelBeam], Measure]) -> Mapping[float, Shift]:
    """Less and more data than a task of views evenly spaced over half a turn has, by the number of views."""
    counts = [round(ratio * len(g.angles)) for ratio in RATIOS]
    fit = [count for count in counts if count * g.bins * g.size <= LARGEST]
    return {float(n): _of_rays(f"{n}-views", g, _spaced(g, n), measure) for n in fit}


def _of_rays(
    name: str,
    g: ParallelBeam,
    other: ParallelBeam,
    measure: Callable[[ParallelBeam], Measure],
    parameter: Parameter | None = None,
    oracle: str = "",
) -> Shift:
    same = len(other.angles) == len(g.angles)
    return Shift(
        name=name,
        make_operator=partial(RayTransform, other),
        measure=measure(other),
        mapped=_unchanged if same else partial(interpolated, measured=other.angles, wanted=g.angles),
        parameter=parameter,
        oracle=oracle,
    )


def _operator(
    geometry: Callable[[float], ParallelBeam],
) -> Callable[[float, torch.device, torch.dtype], Operator]:
    return lambda value, device, dtype: RayTransform(geometry(value), device, dtype)


def _moved(g: ParallelBeam, bins: float) -> ParallelBeam:
    return dataclasses.replace(g, shift=g.shift + bins * g.spacing)


def _turned(g: ParallelBeam, steps: float) -> ParallelBeam:
    return dataclasses.replace(g, angles=tuple(angle + steps * _step(g) for angle in g.angles))


def _spaced(g: ParallelBeam, count: int) -> ParallelBeam:
    return dataclasses.replace(g, angles=tuple(g.angles[0] + math.pi * i / count for i in range(count)))


def _step(g: ParallelBeam) -> float:
    return math.pi / len(g.angles)


def _unchanged(y: Tensor) -> Tensor:
    return y


def interpolated(y: Tensor, measured: tuple[float, ...], wanted: tuple[float, ...]) -> Tensor:
    """Views ``y`` (batch, views, bins) at the angles ``measured``, ascending within half a turn, at those ``wanted``.

    Linearly in the angle; a view half a turn on is the same view mirrored, which closes the circle.
    """
    around = np.concatenate([[measured[-1] - math.pi], measured, [measured[0] + math.pi]])
    ring = torch.cat([y[:, -1:].flip(-1), y, y[:, :1].flip(-1)], 1)
    places = np.interp(wanted, around, np.arange(len(around)))
    first = torch.from_numpy(places.astype(np.int64)).clamp(max=len(around) - 2)
    part = (torch.from_numpy(places) - first).to(y.dtype)[:, None]
    return (1 - part) * ring[:, first] + part * ring[:, first + 1]


def columns(
    shape: tuple[int, int],
    own: tuple[int, ...],
    measure: Callable[[Any], Measure],
    other_mask: tuple[int, ...],
    fewer: tuple[int, ...],
    **others: tuple[int, ...],
) -> tuple[Shift, ...]:
    """Shifts of a task that measures the columns ``own`` of k-space.

    ``measure(kept)`` measures as the task does what an array of k-space ``(rows, columns)`` has at the index ``kept``.
    ``other_mask`` are as many columns, ``fewer`` are fewer; ``others`` those of other tasks, by their names with
    underscores.
    """
    whole = MaskedFourier(shape, own)
    sets = [("other-mask", other_mask, ""), ("fewer-columns", fewer, "")]
    sets += [("other-task", kept, task.replace("_", "-")) for task, kept in others.items()]
    found = [_of_columns(name, shape, whole, kept, measure, oracle) for name, kept, oracle in sets]
    mask = golden_angle(shape[1], len(own) / shape[1])
    mapped = partial(_common, whole, SampledFourier(mask))
    return (*found, Shift("golden-angle", partial(_sampled, mask), measure(mask), mapped))


def accelerations(
    shape: tuple[int, int],
    own: tuple[int, ...],
    measure: Callable[[Any], Measure],
    kept: Mapping[float, tuple[int, ...]],
) -> Mapping[float, Shift]:
    """Less and more data than a task that measures the columns ``own``: those ``kept``, by acceleration."""
    whole = MaskedFourier(shape, own)
    return {rate: _of_columns(f"{rate:g}x", shape, whole, chosen, measure) for rate, chosen in kept.items()}


def _of_columns(
    name: str,
    shape: tuple[int, int],
    whole: MaskedFourier,
    kept: tuple[int, ...],
    measure: Callable[[Any], Measure],
    oracle: str = "",
) -> Shift:
    other = MaskedFourier(shape, kept)
    make = partial(MaskedFourier, shape, kept)
    index = (slice(None), list(kept))
    return Shift(name, make, measure(index), partial(_common, whole, other), oracle=oracle)


def _sampled(mask: NDArray[np.bool_], device: torch.device, dtype: torch.dtype) -> SampledFourier:
    return SampledFourier(mask, device, dtype)


def _common(whole: MaskedFourier, other: Operator, y: Tensor) -> Tensor:
    return whole(other.adjoint(y))


def golden_angle(size: int, share: float) -> NDArray[np.bool_]:
    """Grid points ``(size, size)`` nearest to lines through the centre, each a golden angle on from the last.

    As many lines as it takes for at least this ``share`` of all points (Winkelmann et al. 2007,
    doi:10.1109/TMI.2006.885337).
    """
    mask = np.zeros((size, size), dtype=bool)
    radius = np.arange(-size, size + 0.5, 0.5)
    turn = 0.0
    while mask.mean() < share:
        places = np.rint(size // 2 + radius[:, None] * np.array([math.sin(turn), math.cos(turn)])).astype(int)
        inside = places[((places >= 0) & (places < size)).all(1)]
        mask[inside[:, 0], inside[:, 1]] = True
        turn += GOLDEN
    return mask


def of_task(shifts: tuple[Shift, ...]) -> Iterator[tuple[int, Shift]]:
    """Each shift with its place among KINDS."""
    return ((KINDS.index(shift.name), shift) for shift in shifts)
