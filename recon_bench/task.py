"""A task: which images, how they are really measured, what a method is told, and how it is scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon_bench.core import Fresh, Noise, Operator, Problem, Sample, Samples
from recon_bench.storage import digest

SPLITS = ("train", "validation", "test")


class DataError(ValueError):
    """Scans that are missing or cannot be used; the text says what was expected, what came and what to do."""


@dataclass(frozen=True)
class Truth:
    """What a task draws before it measures: an ``image`` ``(*domain_shape)`` in double precision, where there is one.

    ``volume`` names the scan that a slice belongs to; ``source`` holds what the image was drawn from, for a
    measurement that needs more than pixels: ellipses, or the data that come with a scan.
    """

    image: NDArray[Any]
    volume: str = ""
    source: Any = None


Change = Callable[[Truth], Truth]


def unchanged(truth: Truth) -> Truth:
    """The truth as it is."""
    return truth


@dataclass(frozen=True)
class Foreign:
    """Truths of another origin than a task's own, to be measured in its way: other people, body parts, phantoms.

    ``draw(index, rng)`` gives one of ``count``, on the grid and in the range of the task, all that is random in it from
    ``rng``. ``source`` says where it comes from and ``licence`` under which terms. ``missing()`` says what to download
    and where to put it, or None; what is ``downloaded`` is not there for everybody, so no board compares it.
    """

    name: str
    title: str
    source: str
    licence: str
    count: int
    draw: Callable[[int, np.random.Generator], Truth]
    downloaded: bool = False
    missing: Callable[[], str | None] = lambda: None

    def name_of(self, index: int) -> str:
        """What one of them is called in results."""
        return f"{self.name}-{index:02d}"


@dataclass(frozen=True)
class Parameter:
    """A number that a method may not know of the operator: ``true`` made the data, ``assumed`` is what it is taken for.

    It is looked for from ``low`` to ``high``, in ``unit``. ``make_operator(value, device, dtype)`` gives the operator
    for one of its values.
    """

    name: str
    unit: str
    true: float
    assumed: float
    low: float
    high: float
    make_operator: Callable[[float, torch.device, torch.dtype], Operator]


@dataclass(frozen=True)
class Shift:
    """Another measurement A1 of a task's truths, whose A0 is the operator that the task tells methods of.

    ``make_operator`` and ``measure`` are those of A1, as in :class:`Task`. ``mapped(y)`` gives data ``(batch,
    *range_shape)`` of A1 to whom knows A0 alone, in the shape of A0. ``parameter`` is what A1 is known up to, None
    where it is not of such a kind. ``oracle`` names the task whose networks were trained on A1; empty where there is
    none.
    """

    name: str
    make_operator: Callable[[torch.device, torch.dtype], Operator]
    measure: Callable[[Truth, np.random.Generator], NDArray[Any]]
    mapped: Callable[[Tensor], Tensor]
    parameter: Parameter | None = None
    oracle: str = ""


@dataclass(frozen=True)
class Ssim:
    """Settings of the structural similarity, fixed by the task: odd window size in pixels, K1, K2."""

    window: int = 7
    k1: float = 0.01
    k2: float = 0.03


@dataclass(frozen=True)
class Task:
    """A reconstruction task: which images, how they are really measured, what a method is told, and how it is scored.

    ``make_operator(device, dtype)`` gives A0, with ``dtype`` float32 or float64 (an MRI task answers with the complex
    type of that precision). ``draw(split, index)`` gives a :class:`Truth`, ``measure(truth, rng)`` its data
    ``(*range_shape)``, of A1 where that is not A0; splits are SPLITS, ``sizes`` says how many each has, and all that is
    random follows from ``seed``. ``card`` is everything that defines the task as JSON data; ``fingerprint()`` digests
    what the card only names (drawn phantoms, scans, masks, first noise values) in a way that does not depend on the
    machine. ``missing()`` says what to download and where to put it, or None. ``fresh(rng, n)`` gives n new training
    samples like the training split, made the same way but fast, as truths ``(n, *domain_shape)`` and data
    ``(n, *range_shape)``; ``phantoms`` does so with random ellipses in the place of scans; None where there are none.
    ``display`` and ``error_display`` are the grey windows (low, high) of images and of errors. ``pictured`` are the
    test images whose reconstructions are shown, the same of every method: in the tasks with committed results those
    where FBP (MRI: zero-filling) is at the 10th, 50th and 90th percentile of PSNR. ``foreign`` are groups of truths
    unlike those of the task, to see what carries over to them. ``unseen(rng)`` draws one more truth of the
    test split; None where that is a list, of scans. ``shifts`` are other measurements of the same
    truths, and ``rates`` those with less and more data, by their number of views or their acceleration. None of these
    is part of the hash.
    """

    name: str
    version: int
    family: str
    title: str
    description: str
    make_operator: Callable[[torch.device, torch.dtype], Operator]
    draw: Callable[[str, int], Truth]
    measure: Callable[[Truth, np.random.Generator], NDArray[Any]]
    seed: int
    sizes: Mapping[str, int]
    noise: Noise
    data_range: float
    card: Mapping[str, Any]
    fingerprint: Callable[[], str]
    display: tuple[float, float] = (0.0, 1.0)
    error_display: tuple[float, float] = (-0.2, 0.2)
    ssim: Ssim = Ssim()
    missing: Callable[[], str | None] = lambda: None
    fresh: Fresh | None = None
    phantoms: Fresh | None = None
    pictured: tuple[int, ...] = (0, 1, 2)
    foreign: tuple[Foreign, ...] = ()
    unseen: Callable[[np.random.Generator], Truth] | None = None
    shifts: tuple[Shift, ...] = ()
    rates: Mapping[float, Shift] = field(default_factory=dict)

    def problem(self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Problem:
        """What a method is handed. ``dtype``: float32 or float64, the precision of the operator."""
        operator = self.make_operator(torch.device(device), dtype)
        train, validation = self.samples("train"), self.samples("validation")
        told = (operator, self.noise, self.data_range, train, validation, self.name, self.fresh, self.phantoms)
        return Problem(*told)

    def shifted(self, shift: Shift) -> Task:
        """The task with the data of A1: the same truths and the same random numbers. It still tells of A0."""
        return dataclasses.replace(self, measure=shift.measure)

    def samples(self, split: str) -> Samples:
        """The split, in float32 or complex64."""
        return Samples(self.sizes[split], lambda index: self.observe(split, index))

    def observe(self, split: str, index: int, change: Change = unchanged) -> Sample:
        """Draw a truth and measure it, after a ``change`` with the same noise.

        DataError where one is not finite: no method could be blamed for that.
        """
        truth, noise = change(self.draw(split, index)), streams(self.seed, split, index)[1]
        return self._observed(f"{split}-{index:04d}", truth, noise)

    def observe_again(self, split: str, index: int, noise: np.random.Generator) -> Sample:
        """As :meth:`observe`, but with all that is random in its measurement from ``noise``."""
        return self._observed(f"{split}-{index:04d}", self.draw(split, index), noise)

    def observe_foreign(self, group: Foreign, index: int, change: Change = unchanged) -> Sample:
        """As :meth:`observe` of a truth of a group of ``foreign``; all that is random follows from its name."""
        name = group.name_of(index)
        image, noise = np.random.default_rng([self.seed, *name.encode()]).spawn(2)
        return self._observed(name, change(group.draw(index, image)), noise)

    def observe_unseen(self, rng: np.random.Generator) -> Sample:
        """As :meth:`observe` of a truth that ``unseen`` draws."""
        assert self.unseen is not None
        image, noise = rng.spawn(2)
        return self._observed("unseen", self.unseen(image), noise)

    def _observed(self, name: str, truth: Truth, noise: np.random.Generator) -> Sample:
        data = self.measure(truth, noise)
        for what, values in (("truth", truth.image), ("data", data)):
            finite(values, f"{name}{truth.volume and ' of ' + truth.volume}: {what}")
        return Sample(name, single(truth.image), single(data), truth.volume)

    @cached_property
    def hash(self) -> str:
        """Content hash (16 hex digits) of all that defines the task; results of two hashes never share a ranking."""
        scored = {name: getattr(self, name) for name in ("name", "version", "data_range")}
        scored |= {name: dict(getattr(self, name)) for name in ("sizes", "card")}
        scored |= {name: dataclasses.asdict(getattr(self, name)) for name in ("noise", "ssim")}
        return digest({**scored, "fingerprint": self.fingerprint()})


def streams(seed: int, split: str, index: int) -> tuple[np.random.Generator, np.random.Generator]:
    """The two generators, of the image and of the noise, of sample ``index`` of ``split``; no other shares them."""
    image, noise = np.random.default_rng([seed, SPLITS.index(split), index]).spawn(2)
    return image, noise


def finite(values: NDArray[Any], where: str) -> NDArray[Any]:
    """``values`` themselves, or a DataError if some are NaN or infinite; ``where`` names the file and the slice."""
    if bad := values.size - int(np.isfinite(values).sum()):
        raise DataError(
            f"{where}: expected finite values, but {bad} of {values.size} are NaN or infinite: the data are at fault. "
            "Take it from its source again, or leave it out."
        )
    return values


def single(values: NDArray[Any]) -> Tensor:
    """What was computed in double precision as a tensor of its shape in float32 or complex64, on the CPU."""
    return torch.from_numpy(values.astype(np.complex64 if np.iscomplexobj(values) else np.float32))
