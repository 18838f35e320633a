"""One method on measured data: with which settings, and why, and what came out."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_bench import registry
from recon_bench.core import Log, Method, Noise, NotApplicable, NotConverged, Problem, Reconstructor, Samples
from recon_bench.reconstruction import choice, nearest
from recon_bench.reconstruction.choice import Fit
from recon_bench.reconstruction.scan import Scan
from recon_bench.results import Result
from recon_bench.scoring.metrics import magnitude, noise_norm
from recon_bench.solvers import conjugate_gradients

LARGEST = 0.999  # the quantile of an image that is taken for its largest value


@dataclass(frozen=True)
class Reconstructed:
    """The ``images`` (n, *domain_shape) on the CPU, with the ``settings`` they were made with and ``why`` with those.

    ``misfit`` is |A x - y| / |y| of each and ``times_noise`` |A x - y| over the expected norm of the noise, None where
    that is not known; ``seconds`` of setting up and of reconstructing; ``notes`` warn.
    """

    images: Tensor
    settings: Mapping[str, Any]
    why: str
    misfit: Sequence[float]
    times_noise: Sequence[float] | None
    set_up: float
    seconds: float
    notes: Sequence[str]


def reconstruct(
    method: Method, scan: Scan, results: Sequence[Result], rule: str = "auto", given: Mapping[str, Any] | None = None
) -> Reconstructed:
    """The images of a scan by a method.

    What is ``given`` stands above what the ``rule`` chooses of the settings. "auto" is the discrepancy principle where
    the noise is known, else what was tuned on the nearest task, of which ``results`` tell, else the L-curve. A network
    takes its weights of the nearest task. ValueError where the method or the rule does not apply.
    """
    task, notes = _task(method, scan, given or {})
    problem = Problem(
        scan.operator, scan.noise or Noise("unknown"), _data_range(scan), _none(), _none(), task, None, None
    )
    build = lambda changes: _built(method, problem, changes)  # noqa: E731
    chosen, why = _chosen(method, scan, results, rule, given or {}, build)
    start = time.perf_counter()
    made = build({**chosen, **(given or {})})
    built = time.perf_counter()
    images, more = _run(made, scan)
    ended = time.perf_counter()
    missed = _missed(scan, images)
    size = torch.linalg.vector_norm(scan.data.flatten(1), dim=1)
    noise, used = _noise(scan), registry.with_settings(method, {**chosen, **(given or {})})
    return Reconstructed(
        images=images,
        settings={} if used is None else dataclasses.asdict(used),
        why=why,
        misfit=(missed / size).tolist(),
        times_noise=None if noise is None else (missed / noise).tolist(),
        set_up=built - start,
        seconds=ended - built,
        notes=[*scan.notes, *notes, *more],
    )


def _task(method: Method, scan: Scan, given: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The task whose weights a network takes, with what differs from it; nothing for other methods."""
    if method.network is None or given.get("weights"):
        return "", []
    known = nearest.trained(method, registry.with_settings(method, given))
    here = nearest.sampling(scan.operator)
    if (found := nearest.nearest(here, known)) is None:
        of = ", ".join(known) or "no task"
        raise ValueError(f"{method.name} has no weights for such data, {here.words}: there are some of {of}")
    there = nearest.of_task(found)
    notes = [f"weights of {found}; images were taken to go up to {_data_range(scan):.4g}"]
    if here.words != there.words:
        differ = f"trained for {there.words}, these are {here.words}: what it was not trained for it may get wrong"
        notes.append(f"{method.name} was {differ}")
    return found, notes


def _chosen(
    method: Method,
    scan: Scan,
    results: Sequence[Result],
    rule: str,
    given: Mapping[str, Any],
    build: Callable[[Mapping[str, Any]], Reconstructor],
) -> tuple[dict[str, Any], str]:
    """Settings and why these, by the first rule that applies."""
    axis, noise = choice.axis(method), _noise(scan)
    if axis is not None and axis[0] in given:
        axis = None
    tuned = nearest.tuned(method, results)
    task = nearest.nearest(nearest.sampling(scan.operator), tuned)
    one = "a method with one setting to choose" if axis is None else ""
    lacking = {
        "discrepancy": one or ("a noise that is known, in the geometry's file" if noise is None else ""),
        "nearest": "tuned settings of the method on a task of this kind, in --results" if task is None else "",
        "l-curve": one,
        "default": "",
    }
    order = ("discrepancy", "nearest", "l-curve", "default") if rule == "auto" else (rule,)
    taken = next((name for name in order if not lacking[name]), None)
    if taken is None:
        raise ValueError(f"--choose {rule} needs {lacking[rule]}")
    if taken == "default":
        return {}, "as the method comes"
    if taken == "nearest" and task is not None:
        return dict(tuned[task]), f"tuned on {task}, the nearest task ({nearest.of_task(task).words})"
    assert axis is not None
    name, space = axis

    def fit(value: float) -> Fit:
        images, _ = _run(build({**given, name: _typed(space, value)}), scan)
        return Fit(float(torch.linalg.vector_norm(_missed(scan, images))), total_variation(images))

    if taken == "l-curve":
        found = choice.l_curve(fit, space)
    else:
        assert noise is not None
        found = choice.discrepancy(fit, space, float(torch.linalg.vector_norm(noise)))
    return {name: _typed(space, found.value)}, found.why


def total_variation(images: Tensor) -> float:
    """The sum of the lengths of all gradients in images (n, rows, columns)."""
    down, right = images.diff(dim=-2)[..., :-1], images.diff(dim=-1)[..., :-1, :]
    return float(torch.hypot(down.abs(), right.abs()).sum())


def _typed(space: Log, value: float) -> float:
    return int(value) if space.integer else value


def _built(method: Method, problem: Problem, changes: Mapping[str, Any]) -> Reconstructor:
    try:
        return method.build(problem, registry.with_settings(method, changes))
    except NotApplicable as why:
        raise ValueError(f"{method.name} does not apply to these data: {why}") from why


def _run(reconstructor: Reconstructor, scan: Scan) -> tuple[Tensor, list[str]]:
    """The images, one after the other, and what the method warned of."""
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always", NotConverged)
        images = [reconstructor(y[None].to(scan.operator.device), scan.operator)[0].cpu() for y in scan.data]
    notes = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, NotConverged))
    return torch.stack(images), list(notes)


def _missed(scan: Scan, images: Tensor) -> Tensor:
    """|A x - y| of each image (n,)."""
    A = scan.operator
    return torch.stack(
        [torch.linalg.vector_norm(A(x[None].to(A.device, A.dtype))[0].cpu() - y) for x, y in zip(images, scan.data)]
    )


def _noise(scan: Scan) -> Tensor | None:
    """The expected norm of the noise in the data of each image (n,); None where it is not known."""
    return None if scan.noise is None else noise_norm(scan.noise, scan.data, len(scan.operator.range_shape))


def _data_range(scan: Scan) -> float:
    """The largest value of the images: as it was told, or of a few least-squares iterations."""
    if scan.data_range is not None:
        return scan.data_range
    A = scan.operator
    y = scan.data.to(A.device)
    x, _ = conjugate_gradients(lambda x: A.adjoint(A(x)), A.adjoint(y), len(A.domain_shape), iterations=5)
    return float(torch.quantile(magnitude(x).flatten().cpu()[:: max(1, x.numel() // 2**23)], LARGEST))


def _none() -> Samples:
    """No samples: measured data come without truths."""

    def make(index: int) -> Any:
        raise IndexError(index)

    return Samples(0, make)
