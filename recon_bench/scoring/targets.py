"""A method under attack: itself, once for each seed, how it may be attacked, and what its reconstructions are worth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_bench import registry
from recon_bench.core import Sample
from recon_bench.measurement import Cell
from recon_bench.scoring import attack, probes, quality
from recon_bench.scoring.answers import reason
from recon_bench.scoring.attack import Objective
from recon_bench.scoring.host import Host, host
from recon_bench.scoring.metrics import magnitude
from recon_bench.scoring.probes import Probe

SURROGATES = ("fbp", "zero-filled")
TV_WEIGHT = 2e-3  # of the surrogate, for methods that have none of their own
SAME = 1e-3  # relative: what still counts as linear, of iterations that stop at a tolerance


class Unusable(RuntimeError):
    """A reconstruction that failed; the text is its reason."""


@dataclass(frozen=True)
class Target:
    """A method under attack: ``hosts``, one for each seed, and its ``attacks`` by name.

    An attack is a list of what its starts follow, each one probe for each seed. ``attacks["gradient"]`` is empty where
    there is no gradient, and ``without`` says why.
    """

    cell: Cell
    hosts: Sequence[Host]
    attacks: Mapping[str, Sequence[Sequence[Probe]]]
    without: str = ""

    @property
    def main(self) -> Sequence[Sequence[Probe]]:
        """What an attack of few steps follows: the gradient, or else queries and the last surrogate, half each."""
        return self.attacks["gradient"][:1] or [self.attacks["query"][0], self.attacks["transfer"][-1]]


@dataclass(frozen=True)
class Score:
    """What a reconstruction of some data is worth, a mean over seeds; ``x`` is that of the first."""

    values: Mapping[str, float]
    x: Tensor

    @property
    def error(self) -> float:
        """The relative error."""
        return self.values["error"]


def build(cell: Cell, seeds: Sequence[int], unrolled: int, starts: int = 1) -> Target:
    """The target of a cell, whose settings name the weights that a network takes.

    ``seeds`` are for methods that draw random numbers; an equilibrium is also differentiated through ``unrolled``
    applications of its map. A gradient is one of so many ``starts`` at once. Raises what the method raises where it
    cannot run.
    """
    hosts = _hosts(cell, cell.settings, seeds)
    pull = probes.linear_pull(hosts[0], [Host(registry.method(name), hosts[0].problem) for name in SURROGATES])
    weight = getattr(cell.settings, "weight", 0.0) if cell.method.family == "variational" else 0.0
    others = {
        "query": [[probes.secant(each, pull) for each in hosts]],
        "transfer": [
            [probes.transfer(each, pull) for each in hosts],
            [probes.curvature(each, weight if 0 < weight < 1 else TV_WEIGHT) for each in hosts],
        ],
    }
    try:
        variants = [hosts, *_unrolled(cell, seeds, unrolled)]
        gradients = [[probes.gradient(each) for each in variant] for variant in variants]
        batch = max(1, starts // len(gradients))
        _try([probe for variant in gradients for probe in variant], cell.task.samples("test")[0], batch)
    except Exception as error:  # whatever keeps autograd from going through
        return Target(cell, hosts, {"gradient": [], **others}, f"no gradient: {reason(error, cell.device)}")
    return Target(cell, hosts, {"gradient": gradients, **others})


def plain(cell: Cell, seeds: Sequence[int]) -> Target:
    """As :func:`build`, for who scores data and attacks nothing."""
    return Target(cell, _hosts(cell, cell.settings, seeds), {})


def _hosts(cell: Cell, settings: Any, seeds: Sequence[int]) -> list[Host]:
    """One, or one for each seed of a method that draws random numbers; the seed of a network is that of its weights."""
    drawn = cell.method.network is None and hasattr(settings, "seed")
    found = []
    for seed in seeds if drawn else cell.rules.seeds[:1]:
        found.append(host(cell))
        found[-1].set_up(settings, seed)
    return found


def _unrolled(cell: Cell, seeds: Sequence[int], steps: int) -> list[list[Host]]:
    """An equilibrium whose gradient goes through so many applications of the map, with the same weights."""
    if cell.method.family != "equilibrium" or not hasattr(cell.settings, "backward"):
        return []
    return [_hosts(cell, dataclasses.replace(cell.settings, backward="phantom", steps=steps), seeds)]


def _try(gradients: Sequence[Probe], sample: Sample, batch: int) -> None:
    """Raise where a probe does for a ``batch`` of the sample, and for directions that are not finite."""
    for probe in gradients:
        _, direction = probe(torch.stack([sample.data] * batch), Objective(sample.truth[None]))
        if not bool(torch.isfinite(direction.abs()).all()):
            raise RuntimeError("it has values that are NaN or infinite")


def score(target: Target, sample: Sample, y: Tensor) -> Score:
    """Error, PSNR and misfit of the reconstruction of ``y`` (*range_shape). :class:`Unusable` where there is none."""
    found, images = [], []
    for each in target.hosts:
        (made,) = each.reconstruct(y[None])
        if made.x is None:
            raise Unusable(made.error)
        images.append(made.x)
        error = float(Objective(sample.truth[None]).errors(made.x[None]))
        found.append((error, quality.psnr(target.cell.task, sample.truth, made.x), quality.misfit(each, made.x, y)))
    means = [math.fsum(values) / len(found) for values in zip(*found)]
    return Score(dict(zip(("error", "psnr", "misfit"), means)), images[0])


def with_noise(target: Target, sample: Sample, level: float, draws: int, seed: int) -> tuple[float, Tensor]:
    """The mean error with random noise of a norm of ``level`` |y|, over draws and the method's seeds, and the noise
    (*range_shape) that is the worst.

    :class:`Unusable` where one has no reconstruction.
    """
    e = attack.noise(sample.data, draws, level * float(torch.linalg.vector_norm(sample.data)), seed)
    objective = Objective(sample.truth[None])
    errors = torch.stack([objective.errors(probes.images(each, sample.data + e)) for each in target.hosts])
    if not bool(torch.isfinite(errors).all()):
        raise Unusable(f"some noise of {100 * level:g} % has no reconstruction")
    return float(errors.mean()), e[int(errors.mean(0).argmax())]


def unsteady(target: Target, sample: Sample) -> str:
    """A remark where the same data give another image when they come again; else nothing."""
    first, second = (probes.images(target.hosts[0], sample.data[None]) for _ in range(2))
    far = float((first - second).abs().norm() / first.abs().norm().clamp(min=1e-30))
    return f"the same data give another image when they come again (by {far:.0e})" if far > 1e-6 else ""


def exact(target: Target, sample: Sample, level: float) -> float:
    """The exact worst error of a linear method of real images with a gradient; NaN of others."""
    method, y = target.hosts[0], sample.data[None]
    if not target.attacks["gradient"] or len(target.hosts) > 1 or sample.truth.is_complex():
        return math.nan
    x, radius = probes.images(method, y), level * float(torch.linalg.vector_norm(y))
    if not _linear(method, y, x):
        return math.nan
    forward = lambda e: probes.images(method, e[None])[0]  # noqa: E731
    back = lambda w: method.gradient(y, w[None])[0].cpu()  # noqa: E731
    return attack.exact(forward, back, x[0] - sample.truth, radius) / float(torch.linalg.vector_norm(sample.truth))


def _linear(method: Host, y: Tensor, x: Tensor) -> bool:
    """Whether 2 y gives 2 x, and y + e gives x and what some e gives."""
    e = attack.noise(y[0], 1, float(torch.linalg.vector_norm(y)), seed=3)
    differences = probes.images(method, 2 * y) - 2 * x, probes.images(method, y + e) - probes.images(method, e) - x
    return all(float(each.norm()) <= SAME * float(x.norm()) for each in differences)


def region(truth: Tensor, part: float) -> Tensor:
    """1 in the square with the largest variance of an image (rows, columns), of sides ``part`` of it; else 0."""
    image, side = magnitude(truth).double()[None, None], max(2, round(part * min(truth.shape)))
    mean = torch.nn.functional.avg_pool2d(image, side, stride=1)
    spread = (torch.nn.functional.avg_pool2d(image.square(), side, stride=1) - mean.square())[0, 0]
    row, column = divmod(int(spread.argmax()), spread.shape[1])
    inside = torch.zeros(truth.shape)
    inside[row : row + side, column : column + side] = 1
    return inside
