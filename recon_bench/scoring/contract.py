"""What a method promises of its reconstructions, found out by asking it again, in another order and for other data.

:func:`ask` is all that is asked of a :class:`Host`; checks are pure functions of its answers, that of the depth of a
host. They give what was seen, or None where a promise is kept. What can only be seen beside the method is in
:mod:`watching`, what it says of itself in :mod:`header`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon_bench.scoring.host import Host
from recon_bench.scoring.probes import images

SAME = 1e-4  # relative to |x|: more than sums in another order, less than random numbers
CLOSE = 0.03  # relative: what rounding and stopping rules explain between a batch and its images
CHANGE = 1e-6  # relative to |y|: of the data that are nearly the same
DEPTHS = (8, 16)
START = 12.0  # applications beyond the depth, as for where it starts


@dataclass(frozen=True)
class Case:
    """What a method is asked: ``settings``, a ``seed``, and data ``y`` (2 or more, *range_shape), all distinct."""

    settings: Any
    y: Tensor
    seed: int = 0


@dataclass(frozen=True)
class Answers:
    """Images (n, *domain_shape) of the data of a case; NaN where one failed.

    ``alone``: of all data one by one, after the method was set up; ``again``: of the first once more after these;
    ``batch``: of all at once; ``near``: of the first data, changed by a millionth; ``anew``: of the first and of the
    last data, each as the first of all after the method was set up again.
    """

    alone: Tensor
    again: Tensor
    batch: Tensor
    near: Tensor
    anew: Tensor


def ask(host: Host, case: Case) -> Answers:
    """The answers; raises what setting the method up raises."""
    first, last = case.y[:1], case.y[-1:]
    host.set_up(case.settings, case.seed)
    alone = torch.cat([images(host, y[None]) for y in case.y])
    again, batch, near = (images(host, y) for y in (first, case.y, nearly(first)))
    anew = []
    for y in (first, last):
        host.set_up(case.settings, case.seed)
        anew.append(images(host, y))
    return Answers(alone, again, batch, near, torch.cat(anew))


def nearly(y: Tensor) -> Tensor:
    """Data (batch, *range_shape) that differ from ``y`` by a millionth."""
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return y + CHANGE * torch.linalg.vector_norm(y) / torch.linalg.vector_norm(noise) * noise


def repeatable(given: Answers) -> str | None:
    """Set up again with the same seed, the same data give the same image."""
    return _differs(given.anew[0], given.alone[0], SAME, "set up again with the same seed, it gives an image")


def stateless(given: Answers) -> str | None:
    """An image depends neither on what was reconstructed before it nor on being the first."""
    told = "after another image, the same data give an image"
    return _differs(given.again[0], given.alone[0], SAME, told) or _differs(
        given.anew[1], given.alone[-1], SAME, "as the first of all, data give an image"
    )


def batch_as_loop(given: Answers) -> str | None:
    """A batch is its images one by one."""
    for number, (alone, image) in enumerate(zip(given.alone, given.batch), start=1):
        told = f"image {number} of {len(given.batch)}, reconstructed alone, is an image"
        if seen := _differs(alone, image, CLOSE, told):
            return seen
    return None


def no_table(given: Answers) -> str | None:
    """Data that are changed by a millionth give nearly the same image: it is computed, and not looked up."""
    return looked_up(given.alone[0], given.near[0])


def looked_up(x: Tensor, near: Tensor) -> str | None:
    """What tells that ``x`` comes from a table: the image ``near`` of data that differ by a millionth is another."""
    return _differs(near, x, CLOSE, "data that differ by a millionth give an image")


CHECKS: Mapping[str, Callable[[Answers], str | None]] = {
    "repeatable": repeatable,
    "no state between calls": stateless,
    "batch against loop": batch_as_loop,
    "no table": no_table,
}


def beats_zero(given: Answers, truth: Tensor) -> str | None:
    """Images are nearer to the ``truth`` (n, *domain_shape) than an image of zeros."""
    error = _apart(given.batch, truth)
    return None if error < 1 else f"the error is {error:.3g} of the truth, an image of zeros has 1"


def honours_depth(host: Host, case: Case) -> str | None:
    """The setting that the method names as its depth limits applications of (A, adjoint).

    Nothing to be said of a method without one. Raises what the method raises.
    """
    field, (few, more) = host.method.depth, DEPTHS
    if field is None:
        return None
    settings = [dataclasses.replace(case.settings, **{field: depth}) for depth in DEPTHS]
    less, most = (host.applications(case.y[:1], each, case.seed) for each in settings)
    told = f"with {field} = {few} it applies A and its adjoint {less:g} times, with {field} = {more} {most:g} times"
    ignored = less == most > few + 1
    return told if less > few + START or most > more + START or ignored else None


def _apart(x: Tensor, other: Tensor) -> float:
    """|x - other| / |other|; infinite where one of the two failed or ``other`` is nothing but zeros."""
    found = float(torch.linalg.vector_norm(x - other) / torch.linalg.vector_norm(other))
    return found if found < torch.inf else 0.0 if torch.equal(x, other) else torch.inf


def _differs(x: Tensor, other: Tensor, tolerance: float, told: str) -> str | None:
    apart = _apart(x, other)
    return None if apart <= tolerance else f"{told} that differs by {apart:.2g} of its norm (at most {tolerance:g})"
