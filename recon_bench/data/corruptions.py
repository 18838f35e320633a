"""Data gone wrong in ways that scanners know, each at a severity from 1 to 5, from slight to severe.

A corruption takes a sample, the operator, the noise that methods are told of and a seeded generator, and gives data
``(*range_shape)``. It draws the same numbers at every severity, so that a severe one is the slight one, larger. Sizes
of noise are multiples of the task's own; of exact data they are relative to 1 % of the mean absolute value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from recon_bench.core import Noise, Operator, Sample

Corruption = Callable[[Sample, Operator, Noise, int, np.random.Generator], Tensor]
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(kind: str, sample: Sample, A: Operator, noise: Noise, severity: int, seed: int) -> Tensor:
    """The data of ``sample`` (*range_shape), corrupted. ValueError for a severity or, KeyError, a kind that is not."""
    if severity not in SEVERITIES:
        raise ValueError(f"expected a severity of {SEVERITIES}, got {severity}")
    changed = KINDS[kind](sample, A, noise, severity, np.random.default_rng(seed))
    return changed.to(sample.data.dtype)


def spread(y: Tensor, noise: Noise) -> Tensor:
    """The standard deviation of the noise of data ``y``, of each of their parts where they are complex: as they are."""
    if noise.kind == "poisson":
        return torch.exp(y.clamp(max=math.log(noise.level))).div(noise.level).sqrt()
    level = noise.level if noise.kind in ("gaussian", "complex-gaussian") and noise.level else 0.01
    return torch.full_like(y.abs(), level * float(y.abs().mean()))


def more_noise(sample: Sample, A: Operator, noise: Noise, severity: int, rng: np.random.Generator) -> Tensor:
    """Normal noise beside that of the data, in all 1.5 to 6 times as large: a dose, or averages, of 44 % to 3 %."""
    times = (1.5, 2.0, 3.0, 4.0, 6.0)[severity - 1]
    return sample.data + math.sqrt(times**2 - 1) * spread(sample.data, noise) * _normal(sample.data, rng)


def other_noise(sample: Sample, A: Operator, noise: Noise, severity: int, rng: np.random.Generator) -> Tensor:
    """Heavy tails beside the noise: Student's t with two degrees of freedom, of 0.5 to 4 times its scale."""
    times = (0.5, 1.0, 1.5, 2.5, 4.0)[severity - 1]
    tails = torch.from_numpy(rng.standard_t(2, sample.data.shape)).float().clamp(-100, 100)
    return sample.data + times * spread(sample.data, noise) * tails


def dead_bins(sample: Sample, A: Operator, noise: Noise, severity: int, rng: np.random.Generator) -> Tensor:
    """1 to 12 % of the detector's bins read nothing, at least as many as the severity."""
    bins = sample.data.shape[-1]
    count = max(severity, round((0.01, 0.02, 0.04, 0.08, 0.12)[severity - 1] * bins))
    changed = sample.data.clone()
    changed[..., torch.from_numpy(rng.permutation(bins)[:count].copy())] = 0
    return changed


def rings(sample: Sample, A: Operator, noise: Noise, severity: int, rng: np.random.Generator) -> Tensor:
    """Every bin has a gain of its own, which is off by 0.5 to 8 % (standard deviation): rings around the axis."""
    size = (0.005, 0.01, 0.02, 0.04, 0.08)[severity - 1]
    return sample.data * (1 + size * torch.from_numpy(rng.standard_normal(sample.data.shape[-1])).float())


def centre_shift(sample: Sample, A: Operator, noise: Noise, severity: int, rng: np.random.Generator) -> Tensor:
    """The axis of rotation is off by 0.25 to 4 bins, to the left or to the right: data are interpolated linearly."""
    shift = float(rng.choice((-1, 1))) * (0.25, 0.5, 1.0, 2.0, 4.0)[severity - 1]
    whole = math.floor(shift)
    part, bins = shift - whole, sample.data.shape[-1]
    index = torch.arange(bins) - whole
    padded = torch.nn.functional.pad(sample.data, (8, 8))
    return (1 - part) * padded[..., index + 8] + part * padded[..., index + 7]


def spikes(sample: Sample, A: Operator, noise: Noise, severity: int, rng: np.random.Generator) -> Tensor:
    """1 to 16 points of k-space have a value of a quarter of the largest magnitude, with a phase at random."""
    count = 2 ** (severity - 1)
    where = rng.permutation(sample.data.numel())[:16]
    values = 0.25 * float(sample.data.abs().max()) * np.exp(2j * np.pi * rng.random(16))
    changed = sample.data.flatten().clone()
    changed[torch.from_numpy(where[:count].copy())] = torch.from_numpy(values[:count]).to(changed.dtype)
    return changed.reshape(sample.data.shape)


def motion(sample: Sample, A: Operator, noise: Noise, severity: int, rng: np.random.Generator) -> Tensor:
    """The last third of a random order of columns was taken after a shift along the rows of 0.25 to 4 pixels."""
    shift = (0.25, 0.5, 1.0, 2.0, 4.0)[severity - 1]
    rows, columns = sample.data.shape
    frequency = (torch.arange(rows) - rows // 2) / rows
    ramp = torch.polar(torch.ones(rows), -2 * math.pi * shift * frequency)
    late = torch.from_numpy(rng.permutation(columns)[: max(1, columns // 3)].copy())
    changed = sample.data.clone()
    changed[:, late] = changed[:, late] * ramp[:, None]
    return changed


def coil_phase(sample: Sample, A: Operator, noise: Noise, severity: int, rng: np.random.Generator) -> Tensor:
    """The image has a further phase of four slow waves, of 0.1 to 0.8 radians each, as of a coil that was left out."""
    size = (0.1, 0.2, 0.3, 0.5, 0.8)[severity - 1]
    grids = torch.meshgrid(*(torch.linspace(-0.5, 0.5, n) for n in sample.truth.shape), indexing="ij")
    phase = torch.zeros(sample.truth.shape)
    for _ in range(4):
        u, v, start = rng.uniform(-2, 2), rng.uniform(-2, 2), rng.uniform(0, 2 * math.pi)
        phase = phase + size * torch.cos(2 * math.pi * (u * grids[0] + v * grids[1]) + start)
    moved = sample.truth * (torch.polar(torch.ones_like(phase), phase) - 1)
    return sample.data + A(moved.to(A.device, A.dtype)[None])[0].cpu()


def _normal(y: Tensor, rng: np.random.Generator) -> Tensor:
    """Standard normal numbers in the shape of ``y``, of both parts where it is complex."""
    if y.is_complex():
        return torch.complex(*(torch.from_numpy(part).float() for part in rng.standard_normal((2, *y.shape))))
    return torch.from_numpy(rng.standard_normal(y.shape)).float()


RAYS: Mapping[str, Corruption] = {
    "more-noise": more_noise,
    "other-noise": other_noise,
    "dead-bins": dead_bins,
    "rings": rings,
    "centre-shift": centre_shift,
}
FOURIER: Mapping[str, Corruption] = {
    "more-noise": more_noise,
    "spikes": spikes,
    "motion": motion,
    "coil-phase": coil_phase,
}
KINDS: Mapping[str, Corruption] = {**RAYS, **FOURIER}


def kinds(A: Operator) -> tuple[str, ...]:
    """The corruptions of data of this operator."""
    return tuple(FOURIER if A.dtype.is_complex else RAYS)
