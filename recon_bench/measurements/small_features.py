"""Small features: what a reconstruction makes of small and faint structures, and what it makes up, which no PSNR shows.

Discs, pairs of lines and letters are put where a truth is homogeneous. It is measured without them and with them as the
task measures its own, with the same seed of the noise (Poisson counts fall out of step, so that their difference has
noise of both), and the two reconstructions are compared by magnitude. The discs of an image have one contrast and the
same places at each. What does not fit into an image is left out of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from torch import Tensor

from recon_bench.core import Sample, Samples
from recon_bench.measurement import Cell, Measurement, Metric, Record, SavePicture
from recon_bench.scoring import inserts, quality
from recon_bench.scoring.answers import Reconstruction
from recon_bench.scoring.host import Host, host, reconstructed
from recon_bench.scoring.inserts import Array, Placed
from recon_bench.scoring.metrics import magnitude
from recon_bench.task import Change, Task, Truth

LEVELS = ("faint", "low", "clear")
FINE = "fine"  # the image with lines and letters


@dataclass(frozen=True)
class Protocol:
    """``hounsfield`` and ``fractions`` of the data range are the contrasts, one a level, where images have a physical
    size and where not; so are ``deviations`` up to which a truth is homogeneous. ``diameters`` of discs are in mm or
    pixels, ``spacings`` of lines in pixels; lines and letters are ``clear``. ``images`` are own test images, spread
    over the split; of scans, one of each group of foreign ones that come with the project comes after each.
    """

    images: int = 8
    hounsfield: tuple[float, ...] = (20, 60, 150)
    fractions: tuple[float, ...] = (0.02, 0.05, 0.15)
    deviations: tuple[float, float] = (45, 0.03)
    diameters: tuple[int, ...] = (4, 8, 11, 16)
    spacings: tuple[int, ...] = (1, 2, 3)
    length: int = inserts.LENGTH
    window: int = inserts.WINDOW
    dark: float = inserts.DARK
    letters: tuple[tuple[str, ...], ...] = inserts.LETTERS
    seed: int = 5


PROTOCOL = Protocol()


@dataclass(frozen=True)
class Scale:
    """What the protocol is in a task: ``contrasts`` and ``deviation`` in the unit of its images, ``pixel`` in mm or 1.

    ``unit`` of contrasts, of which one of the images has ``units``; ``length`` is the unit of diameters.
    """

    contrasts: tuple[float, ...]
    deviation: float
    pixel: float
    unit: str
    units: float
    length: str


def scale(card: Mapping[str, Any], data_range: float) -> Scale:
    """That of a task by its card: with ``pixel_mm``, images are attenuation relative to water, 1 + HU/1000."""
    physical = "pixel_mm" in card
    levels = PROTOCOL.hounsfield if physical else PROTOCOL.fractions
    one = 1 / 1000 if physical else data_range
    return Scale(
        contrasts=tuple(level * one for level in levels),
        deviation=PROTOCOL.deviations[not physical] * one,
        pixel=card["pixel_mm"] if physical else 1.0,
        unit="HU" if physical else "%",
        units=1000 if physical else 100 / data_range,
        length="mm" if physical else "px",
    )


@dataclass(frozen=True)
class Scene:
    """An image that inserts are put into: ``observe(change)`` measures it changed."""

    name: str
    observe: Callable[[Change], Sample]


def scenes(task: Task) -> list[Scene]:
    """Own test images and, of tasks of scans, foreign ones between them, in an order that no count changes."""
    size = task.sizes["test"]
    count = min(size, PROTOCOL.images)
    indices = [i * size // count for i in range(count)]
    own = [Scene(f"test-{index:04d}", partial(task.observe, "test", index)) for index in indices]
    groups = [group for group in task.foreign if not group.downloaded] if task.draw("test", 0).volume else []
    foreign = [Scene(group.name_of(0), partial(task.observe_foreign, group, 0)) for group in groups]
    return [scene for scene in chain(*zip_longest(own, foreign)) if scene]


def measure(cell: Cell, done: Mapping[str, Record], save: SavePicture) -> Iterator[Record]:
    """A record for each image without inserts, for each level of contrast with its discs, and for lines and letters.

    NotApplicable where no image but its own can be measured by the task.
    """
    method = host(cell)
    for seed in cell.rules.seeds:
        method.set_up(cell.settings, seed)
        for scene in scenes(cell.task)[: cell.rules.images]:
            yield from _of_scene(cell, method, scene, seed, done)


def _of_scene(cell: Cell, method: Host, scene: Scene, seed: int, done: Mapping[str, Record]) -> Iterator[Record]:
    blank = {name: Record(sample=f"{scene.name}-{name}", seed=seed) for name in (*LEVELS, FINE)}
    first = Record(sample=scene.name, seed=seed)
    todo = [name for name, record in blank.items() if record.key not in done]
    if not todo and first.key in done:
        return
    plain = scene.observe(partial(with_added, np.float64(0)))
    image = _numbers(plain.truth)
    layouts = {name: layout(cell.task, scene.name, image, name) for name in todo}
    placed = {name: fitting for name, fitting in layouts.items() if fitting}
    names = list(placed)
    samples = Samples(1 + len(names), lambda i: _sample(scene, plain, placed[names[i - 1]]) if i else plain)
    without = Reconstruction()
    for index, _, found in reconstructed(method, samples, range(len(samples)), cell.rules):
        if index:
            yield _differences(blank[names[index - 1]], placed[names[index - 1]], without, found)
        else:
            without = found
            yield from [] if first.key in done else [_alone(cell.task, first, image, found)]


def layout(task: Task, scene: str, image: Array, name: str) -> list[Placed]:
    """The inserts of an ``image`` (rows, columns) called ``scene``: discs of a level, or what is ``FINE``."""
    told = scale(task.card, task.data_range)
    rng = np.random.default_rng([PROTOCOL.seed, name == FINE, *scene.encode()])
    if name == FINE:
        wanted = [inserts.bars(f"modulation_{n}", n) for n in PROTOCOL.spacings] + [inserts.text("text")]
    else:
        wanted = [inserts.disc(f"recovered_{name}_{size}", size / told.pixel) for size in PROTOCOL.diameters]
    contrast = told.contrasts[-1 if name == FINE else LEVELS.index(name)]
    region = inserts.homogeneous(image, told.deviation, task.data_range)
    return inserts.place(wanted, image, region, contrast, task.data_range, rng)


def with_added(added: Array | np.float64, truth: Truth) -> Truth:
    """``truth`` with ``added`` to its pixels, of a complex image to its magnitude, and nothing else that it was of."""
    if not np.iscomplexobj(truth.image):
        return Truth(truth.image + added, truth.volume)
    size = np.abs(truth.image)
    phase = np.divide(truth.image, size, out=np.ones_like(truth.image), where=size > 0)
    return Truth(truth.image + added * phase, truth.volume)


def _sample(scene: Scene, plain: Sample, placed: Sequence[Placed]) -> Sample:
    return scene.observe(partial(with_added, inserts.drawn(placed, plain.truth.shape)))


def _numbers(image: Tensor) -> Array:
    return magnitude(image).double().numpy()


def _alone(task: Task, blank: Record, image: Array, found: Reconstruction) -> Record:
    """What a reconstruction makes up where the truth is homogeneous, in percent of the data range."""
    if found.x is None:
        return dataclasses.replace(blank, error=found.error)
    region = inserts.homogeneous(image, scale(task.card, task.data_range).deviation, task.data_range)
    value = 100 / task.data_range * inserts.invented(_numbers(found.x) - image, region)
    return dataclasses.replace(blank, values=quality.finite({"invented": value}), note=found.note)


def _differences(blank: Record, placed: Sequence[Placed], without: Reconstruction, found: Reconstruction) -> Record:
    """What is found of the inserts, as the difference of the reconstructions with and ``without`` them."""
    if found.x is None or without.x is None:
        return dataclasses.replace(blank, error=found.error or f"the image without inserts failed: {without.error}")
    difference = _numbers(found.x) - _numbers(without.x)
    values = {each.insert.metric: inserts.recovered(each, difference) for each in placed}
    return dataclasses.replace(blank, values=quality.finite(values), note=found.note)


SHOWN = ("recovered_low_11", "invented")
RECOVERED = tuple(
    Metric(f"recovered_{level}_{size}", f"Contrast recovered, {level}, disc of {size}", "", "higher")
    for level in LEVELS
    for size in PROTOCOL.diameters
)
LINES = tuple(Metric(f"modulation_{n}", f"Lines told apart at {n} px", "", "higher") for n in PROTOCOL.spacings)
METRICS = (
    *RECOVERED,
    *LINES,
    Metric("text", "Letters recovered", "", "higher"),
    Metric("invented", "Contrast invented, of the data range", "%", "lower"),
)

MEASUREMENT = Measurement(
    name="small-features",
    version=1,
    title="Small features",
    metrics=METRICS,
    measure=measure,
    protocol=PROTOCOL,
    hidden=tuple(metric.name for metric in METRICS if metric.name not in SHOWN),
)
