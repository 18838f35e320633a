"""The nouns that a method sees: operator, noise, samples, problem, method. No I/O, and nothing of ours is imported.

A *task* (task.py) yields (truth, data); a *method* turns a *problem* into a function ``(y, A) -> x``; a *measurement*
(measurement.py) turns (task, method, rules) into *records*. A method is handed a :class:`Problem`, never a task:
neither the test images nor the scorer. Nothing is inherited from: protocols say what is expected, frozen dataclasses
carry it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

Reconstructor = Callable[[Tensor, "Operator"], Tensor]
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
    ``split(n)`` (n operators, each with the rows of every n-th view or column, that together are A), ``backend`` (the
    name of what computes it). A method asks for what it needs and raises :class:`NotApplicable` where it is not there.
    """

    @property
    def domain_shape(self) -> tuple[int, ...]:
        """Shape of one image, such as (rows, columns)."""

    @property
    def range_shape(self) -> tuple[int, ...]:
        """Shape of its data, such as (views, bins) or (rows, kept columns)."""

    @property
    def device(self) -> torch.device:
        """Where it takes images and data, and leaves its results."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of images and of data: float32 or float64, complex64 or complex128 for MRI."""

    def __call__(self, x: Tensor) -> Tensor:
        """Data ``(..., *range_shape)`` of the images ``x`` ``(..., *domain_shape)``."""

    def adjoint(self, y: Tensor) -> Tensor:
        """The matched adjoint: data ``y`` ``(..., *range_shape)`` to images ``(..., *domain_shape)``."""


@dataclass(frozen=True)
class Noise:
    """What a method is told of the noise: its ``kind`` and ``level``. A method may not know every kind.

    "gaussian": white, standard deviation ``level`` times the mean absolute value of the clean data;
    "complex-gaussian": white, each of real and imaginary part with that standard deviation; "poisson": post-log data
    of ``level`` photons per bin, an attenuated count n has log-noise of variance 1/n; "none": exact data.
    """

    kind: str
    level: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One image, ``truth`` ``(*domain_shape)``, and its measurement, ``data`` ``(*range_shape)``, on the CPU."""

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

    ``task`` is a name and nothing more: trained weights are found by it. ``fresh(rng, n)`` gives
    n new training samples, truths ``(n, *domain_shape)`` and data ``(n, *range_shape)``; ``phantoms`` does so with
    random ellipses in the place of scans; None where a task has none.
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
        """Whether images are complex, as in MRI."""
        return self.operator.dtype.is_complex


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
    ``reference`` is a citation with its DOI. A learned method (``recon_bench/learned.py``) has an untrained
    ``network(problem, settings)`` and a ``recipe`` (:class:`recon_bench.recipe.Recipe`) to train it. ``path`` is filled
    in by the registry.
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
    recipe: Any = None
    path: str = ""
