"""Filtered backprojection: filter every view with a windowed ramp, spread it back over the image.

The ramp is sampled in space and then transformed (Kak & Slaney, section 3.3), on views padded to twice their length:
sampling it in frequency would lose the mean value of the image. Backprojection is the adjoint of the ray transform,
which gives every pixel a total weight of pixel^2 / spacing per view, on average: exactly enough where bins are not
much wider than pixels, with a faint pattern (7 % of the value at twice the width) where they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_bench.core import Choice, Log, Method, NotApplicable, Operator, Problem, Reconstructor
from recon_bench.operators import ParallelBeam

FILTERS = ("ram-lak", "shepp-logan", "cosine", "hamming", "hann")


@dataclass(frozen=True)
class Settings:
    """``filter``: one of FILTERS; ``cutoff``: where it falls to its end, as a fraction of the Nyquist frequency."""

    filter: str = "hann"
    cutoff: float = 0.8


def ray_geometry(operator: Any) -> ParallelBeam:
    """Geometry of a parallel-beam ray transform; NotApplicable for any other operator."""
    geometry = getattr(operator, "geometry", None)
    if not isinstance(geometry, ParallelBeam):
        of = "" if geometry is None else f" of {type(geometry).__name__}"
        raise NotApplicable(
            f"needs a parallel-beam ray transform, this task measures with {type(operator).__name__}{of}"
        )
    return geometry


def view_weights(angles: tuple[float, ...]) -> Tensor:
    """Angle in radians that each view stands for: half the gaps to its neighbours, over half a turn (float64).

    Evenly spaced views over half a turn get pi / views each, over a whole turn too. A gap of more than three times the
    median is missing data, not a wide step, and counts as the median.
    """
    turned = torch.tensor(angles, dtype=torch.float64) % math.pi
    order = turned.argsort()
    gaps = torch.diff(turned[order], append=turned[order][:1] + math.pi)
    median = gaps[gaps > 1e-9].median()
    gaps = torch.where(gaps > 3 * median, median, gaps)
    weights = torch.empty_like(gaps)
    weights[order] = (gaps + gaps.roll(1)) / 2
    return weights


def window(name: str, cutoff: float, frequency: Tensor) -> Tensor:
    """Apodisation at ``frequency`` (1 is Nyquist): 1 at zero, 0 above ``cutoff``. ValueError for an unknown filter."""
    f = frequency / cutoff
    shapes = {
        "ram-lak": torch.ones_like(f),
        "shepp-logan": torch.sinc(f / 2),
        "cosine": torch.cos(math.pi * f / 2),
        "hamming": 0.54 + 0.46 * torch.cos(math.pi * f),
        "hann": 0.5 + 0.5 * torch.cos(math.pi * f),
    }
    if name not in shapes or not 0 < cutoff <= 1:
        raise ValueError(f"expected a filter of {FILTERS} and a cutoff in (0, 1], got {name!r} and {cutoff}")
    return torch.where(f <= 1, shapes[name], 0)


def ramp(bins: int, spacing: float) -> Tensor:
    """Frequency response of the ramp filter of views padded to at least twice ``bins``, in 1 / length (float64)."""
    length = 2 ** math.ceil(math.log2(max(2, 2 * bins)))
    n = torch.fft.fftfreq(length, 1 / length, dtype=torch.float64)
    kernel = torch.where(n % 2 == 1, -1 / (math.pi * n) ** 2, 0)
    kernel[0] = 0.25
    return torch.fft.rfft(kernel).real / spacing


def build(problem: Problem, settings: Settings) -> Reconstructor:
    """Filter for the problem's detector; the reconstructor takes and gives float tensors on the operator's device."""
    geometry = ray_geometry(problem.operator)
    response = ramp(geometry.bins, geometry.spacing)
    response = response * window(settings.filter, settings.cutoff, torch.linspace(0, 1, len(response)).double())

    def reconstruct(y: Tensor, A: Operator) -> Tensor:
        g = ray_geometry(A)
        length = 2 * (len(response) - 1)
        filtered = torch.fft.irfft(torch.fft.rfft(y, length) * response.to(y), length)[..., : g.bins]
        weights = view_weights(g.angles)[:, None] * g.spacing / g.pixel**2
        return A.adjoint(filtered * weights.to(y))

    return reconstruct


METHODS = (
    Method(
        name="fbp",
        title="Filtered backprojection",
        family="direct",
        summary="Filter every view with a windowed ramp and backproject; window and cut-off tuned.",
        reference="Kak & Slaney, Principles of Computerized Tomographic Imaging, 1988, doi:10.1137/1.9780898719277",
        build=build,
        settings=Settings(),
        search={"filter": Choice(FILTERS), "cutoff": Log(0.2, 1.0)},
    ),
)
