"""The nouns of the benchmark: operator, problem, task, method, measurement, record. No I/O.

A *task* yields (truth, data); a *method* turns a *problem* into a function ``(y, A) -> x``; a *measurement* turns
(task, method, rules) into *records*. Nothing here is inherited from: protocols describe what is expected, frozen
dataclasses carry it, and whatever varies is a field. A perturbed task is ``dataclasses.replace(task, ...)``.

A method is handed a :class:`Problem`, never a :class:`Task`: neither the test images nor the scorer.

The file is long because every noun is in it, and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from recon_bench.recipe import Recipe
from recon_bench.rules import Rules
from recon_bench.storage import digest

Reconstructor = Callable[[Tensor, "Operator"], Tensor]
SavePicture = Callable[[str, Any, str], None]
Fresh = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]


class NotApplicable(Exception):
    """Raised by ``Method.build`` where a method cannot run on a problem; its text is the reason shown on the board."""


class NotConverged(UserWarning):
    """Warned by an iterative method that stopped before its tolerance; its text is shown beside the result."""


class Operator(Protocol):
    """A linear map from images to measurements with its matched adjoint, which is also its autograd backward.

    Leading dimensions are batch: ``A(x)`` takes ``(..., *domain_shape)`` and gives ``(..., *range_shape)``;
    ``A.adjoint(y)`` goes back, with <A x, y> = <x, A.adjoint(y)> up to rounding. ``dtype`` is that of images
    (complex for MRI). Operators may offer more: ``geometry`` (a ray transform), ``mask`` (a Fourier transform),
    ``split(n)`` (n operators, each with the rows of every n-th view or column, that together are A).
    """

    @property
    def domain_shape(self) -> tuple[int, ...]: ...

    @property
    def range_shape(self) -> tuple[int, ...]: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def __call__(self, x: Tensor) -> Tensor: ...

    def adjoint(self, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Noise:
    """What a method is told of the noise.

    ``gaussian``: white, standard deviation ``level`` times the mean absolute value of the clean data.
    ``complex-gaussian``: white, each of real and imaginary part with that standard deviation.
    ``poisson``: post-log data of ``level`` photons per bin; an attenuated count n has log-noise of variance 1/n.
    ``none``: exact data.
    """

    kind: Literal["gaussian", "complex-gaussian", "poisson", "none"]
    level: float = 0.0

    def norm(self, y: Tensor, dims: int) -> Tensor:
        """Expected l2 norm of the noise in ``y`` over its last ``dims`` dimensions, estimated from ``y`` itself."""
        axes = tuple(range(-dims, 0))
        count = math.prod(y.shape[-dims:])
        if self.kind == "none":
            return torch.zeros(y.shape[:-dims], device=y.device)
        if self.kind == "poisson":
            return torch.exp(y).clamp(max=10 * self.level).sum(axes).div(self.level).sqrt()
        parts = 2 if self.kind == "complex-gaussian" else 1
        return self.level * y.abs().mean(axes) * math.sqrt(parts * count)


@dataclass(frozen=True)
class Sample:
    """One image and its measurement.

    ``truth``: ``(*domain_shape)``; ``data``: ``(*range_shape)``; ``volume`` names the scan a slice belongs to.
    """

    id: str
    truth: Tensor
    data: Tensor
    volume: str = ""


@dataclass(frozen=True)
class Samples(Sequence[Sample]):
    """A split, made lazily: ``samples[i]`` is the same on every machine, in any order."""

    length: int
    make: Callable[[int], Sample]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        if not 0 <= index < self.length:
            raise IndexError(f"sample {index} is outside a split of {self.length} samples")
        return self.make(index)


@dataclass(frozen=True)
class Problem:
    """All that a method may know: the operator A0, the noise, the data range, training and validation samples.

    ``task`` is a name and nothing more: trained weights are found by it. ``fresh``, ``phantoms`` as in :class:`Task`.
    """

    operator: Operator
    noise: Noise
    data_range: float
    train: Samples
    validation: Samples
    task: str = ""
    fresh: Fresh | None = None
    phantoms: Fresh | None = None

    @property
    def complex(self) -> bool:
        return self.operator.dtype.is_complex


@dataclass(frozen=True)
class Ssim:
    """Settings of the structural similarity, fixed by the task: odd window size in pixels, K1, K2."""

    window: int = 7
    k1: float = 0.01
    k2: float = 0.03


@dataclass(frozen=True)
class Task:
    """A reconstruction task: how data are really made, which images are scored, and how.

    ``make_operator(device, dtype)`` gives A0, with ``dtype`` float32 or float64 (an MRI task answers with the complex
    type of that precision). ``observe(split, index)`` gives a :class:`Sample` on the CPU in float32 or complex64;
    splits are "train", "validation" and "test", ``sizes`` says how many each has. ``card`` is everything that
    defines the task as JSON data; ``fingerprint()`` digests what the card only names (drawn phantoms, scans, masks,
    first noise values) in a way that does not depend on the machine. ``missing()`` says what to download and where
    to put it, or None. ``fresh(rng, n)`` gives n new training samples of the law of the training split, made the same
    way but fast, as truths ``(n, *domain_shape)`` and data ``(n, *range_shape)``; None where there is no law to draw
    from. ``phantoms`` does so with random ellipses in the place of scans, for networks that are to see no scan; None
    where the task offers none. ``display`` and ``error_display`` are the grey windows (low, high) of images
    and of errors. ``pictured`` are the test images whose reconstructions are shown, the same of every method: in the
    tasks with committed results those where FBP (MRI: zero-filling) is at the 10th, 50th and 90th percentile of PSNR.
    """

    name: str
    version: int
    family: Literal["ct", "mri"]
    title: str
    description: str
    make_operator: Callable[[torch.device, torch.dtype], Operator]
    observe: Callable[[str, int], Sample]
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

    def problem(self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Problem:
        """What a method is handed."""
        return Problem(
            operator=self.make_operator(torch.device(device), dtype),
            noise=self.noise,
            data_range=self.data_range,
            train=self.samples("train"),
            validation=self.samples("validation"),
            task=self.name,
            fresh=self.fresh,
            phantoms=self.phantoms,
        )

    def samples(self, split: str) -> Samples:
        return Samples(self.sizes[split], lambda index: self.observe(split, index))

    @cached_property
    def hash(self) -> str:
        """Content hash (16 hex digits) of all that defines the task; results of two hashes never share a ranking."""
        scored = {
            "name": self.name,
            "version": self.version,
            "sizes": dict(self.sizes),
            "noise": dataclasses.asdict(self.noise),
            "data_range": self.data_range,
            "ssim": dataclasses.asdict(self.ssim),
            "card": dict(self.card),
            "fingerprint": self.fingerprint(),
        }
        return digest(scored)


@dataclass(frozen=True)
class Log:
    """A positive setting searched on a logarithmic scale between ``low`` and ``high``."""

    low: float
    high: float
    integer: bool = False


@dataclass(frozen=True)
class Choice:
    """A setting that takes one of ``values``."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Method:
    """A reconstruction method, whole in one file.

    ``build(problem, settings)`` gives the reconstructor; it may train, factorise or load, or raise
    :class:`NotApplicable`. ``settings`` is an instance of a frozen dataclass with the defaults; ``search`` names the
    fields that the shared tuner may choose, within the same budget for every method; ``depth`` names the field that
    limits applications of the pair (A, adjoint), the axis that iterations, layers and solver steps share.
    ``reference`` is a citation with its DOI. A learned method has a ``network(problem, settings)``, untrained, and the
    ``recipe`` to train it (``baselines/learned.py``). ``path`` is filled in by the registry.
    """

    name: str
    title: str
    family: Literal[
        "direct", "spectral", "iterative", "variational", "post-processing", "unrolled", "equilibrium", "outside"
    ]
    summary: str
    reference: str
    build: Callable[[Problem, Any], Reconstructor]
    settings: Any
    search: Mapping[str, Log | Choice] = field(default_factory=dict)
    depth: str | None = None
    network: Callable[[Problem, Any], nn.Module] | None = None
    recipe: Recipe | None = None
    path: str = ""


@dataclass(frozen=True)
class Metric:
    """One column of the board. ``better`` says which direction wins; ``digits`` are shown after the point."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int = 2


@dataclass(frozen=True)
class Record:
    """One row of raw values, or the reason why there are none.

    ``at`` is empty for a scalar and has one key for a curve (``{"depth": 10}``); ``values`` maps metric names to
    numbers; ``error`` says why they are missing; ``note`` warns beside them (not converged).
    """

    sample: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    at: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    error: str | None = None
    note: str | None = None

    @property
    def key(self) -> str:
        return json.dumps([self.sample, dict(sorted(self.at.items())), self.seed])


@dataclass(frozen=True)
class Cell:
    """What one process measures: a method with its settings on a task under rules, on a device."""

    task: Task
    method: Method
    settings: Any
    rules: Rules
    device: torch.device


@dataclass(frozen=True)
class Measurement:
    """One kind of measurement.

    ``measure(cell, done, save)`` yields records as they are finished, leaving out those whose ``key`` is in ``done``
    (records that an interrupted run left, by key); ``save(name, pixels, caption)`` keeps a picture, uint8 of shape
    (height, width, 3), beside the result. A measurement of trained weights has ``weights(method, task)``, their names:
    it is asked for only where there are some, and repeated when they change.
    """

    name: str
    version: int
    title: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Cell, Mapping[str, Record], SavePicture], Iterator[Record]]
    weights: Callable[[Method, str], Sequence[str]] | None = None

    @property
    def hash(self) -> str:
        return digest({"name": self.name, "version": self.version, "metrics": [m.name for m in self.metrics]})
