"""The task nearest to measured data, whose tuned settings and trained weights are taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from recon_bench import registry, weights
from recon_bench.core import Method, Operator
from recon_bench.operators import FanBeam, ParallelBeam
from recon_bench.results import RANKING_KIND, Result, started


@dataclass(frozen=True)
class Sampling:
    """What makes two scans alike, also in ``words``: complex or not, ``pixels`` along a side, and how many of them
    there are for a view, or for a point of k-space.
    """

    complex: bool
    pixels: int
    undersampling: float
    words: str

    def distance(self, other: Sampling) -> float:
        """0 for the same; infinite for another kind."""
        if self.complex != other.complex:
            return math.inf
        ratio = abs(math.log2(self.undersampling / other.undersampling))
        return ratio + abs(math.log2(self.pixels / other.pixels)) / 2


def sampling(A: Operator) -> Sampling:
    """Of an operator: of rays, with data (views, bins), or of k-space."""
    if (g := getattr(A, "geometry", None)) is not None:
        return of_rays(g)
    pixels, size = max(A.domain_shape), " x ".join(map(str, A.domain_shape))
    times = math.prod(A.domain_shape) / math.prod(A.range_shape)
    of = "k-space" if A.dtype.is_complex else "as many data"
    return Sampling(A.dtype.is_complex, pixels, times, f"{size} pixels from {1 / times:.3g} of {of}")


def of_rays(g: ParallelBeam | FanBeam) -> Sampling:
    """Of a ray transform, which need not be made for it: that of a large image takes seconds."""
    views, degrees = len(g.angles), round(math.degrees(max(g.angles) - min(g.angles)))
    beam = "a fan beam" if isinstance(g, FanBeam) else "a parallel beam"
    words = f"{g.size} x {g.size} pixels from {views} views over {degrees} degrees of {beam}"
    return Sampling(False, g.size, g.size / views, words)


def of_task(name: str) -> Sampling:
    """Of a task."""
    make = registry.task(name).make_operator
    g = next((given for given in getattr(make, "args", ()) if isinstance(given, ParallelBeam)), None)
    return sampling(make(torch.device("cpu"), torch.float32)) if g is None else of_rays(g)


def nearest(scan: Sampling, names: Iterable[str]) -> str | None:
    """The task among ``names`` that is nearest to ``scan``; None where none is of its kind."""
    known = [name for name in dict.fromkeys(names) if name in registry.tasks()]
    distances = {name: scan.distance(of_task(name)) for name in known}
    found = min(distances, key=lambda name: distances[name], default=None)
    return None if found is None or math.isinf(distances[found]) else found


def tuned(method: Method, results: Sequence[Result]) -> Mapping[str, Mapping[str, Any]]:
    """By task, the settings that the tuner chose for a method, from its newest ranked result."""
    own = [r for r in results if r.method["name"] == method.name and r.kind == RANKING_KIND and r.method["tuned"]]
    newest = {r.task["name"]: r.method for r in sorted(own, key=started)}
    return {task: {name: of["settings"][name] for name in of["tuned"]} for task, of in newest.items()}


def trained(method: Method, settings: Any) -> list[str]:
    """The tasks that a learned method has weights for."""
    tasks = {facts["task"] for facts in weights.registry().values()}
    return [task for task in sorted(tasks) if weights.taken(method.name, task, settings, method.settings)]
