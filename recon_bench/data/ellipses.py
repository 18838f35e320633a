"""Random ellipse phantoms: the laws they are drawn from, their pixels, and their exact sinograms.

A phantom is an array ``(n, 6)`` of value, semi-axes a and b, centre x and y, angle (radians, counter-clockwise); the
values of overlapping ellipses add. Lengths are in half sides of the *reference square* [-1, 1] x [-1, 1], x to the
right and y up. What the square covers depends on who looks: :func:`sampled` puts its corners on the centres of the
corner pixels (the convention of ODL's phantoms), :func:`averaged` and :func:`sinogram` on the corners of the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon_bench.operators import ParallelBeam

Array = NDArray[np.float64]
Rng = np.random.Generator | np.random.RandomState
Draw = tuple[str, *tuple[float, ...]]  # a numpy distribution and its parameters: ("uniform", -1, 1)

_BLOCK = 16  # phantoms between two remembered generator states


@dataclass(frozen=True)
class EllipseLaw:
    """Law of a random phantom.

    ``value``: distributions whose product is an ellipse's value; ``axis``: of each semi-axis; ``centre``: of each
    coordinate of the centre; the angle is uniform over a full turn; ``count``: of the number of ellipses, of which at
    most ``most`` count. Ellipses that reach beyond the circle of ``radius`` around the middle are left out.
    """

    value: tuple[Draw, ...]
    axis: Draw
    centre: Draw
    count: Draw
    most: int
    radius: float | None = None

    def draw(self, rng: Rng) -> Array:
        """One phantom ``(n, 6)``; the numbers are taken in the order value, a, b, x, y, angle, count."""
        value = np.prod([_draw(rng, factor, self.most) for factor in self.value], axis=0)
        a, b = (_draw(rng, self.axis, self.most) for _ in range(2))
        x, y = (_draw(rng, self.centre, self.most) for _ in range(2))
        angle = rng.uniform(0.0, 2 * np.pi, self.most)
        count = min(int(_draw(rng, self.count, 1)[0]), self.most)
        ellipses = np.stack((value, a, b, x, y, angle), axis=1)[:count]
        reach = np.hypot(*ellipses[:, 3:5].T) + ellipses[:, 1:3].max(axis=1, initial=0)
        return ellipses if self.radius is None else ellipses[reach <= self.radius]


def _draw(rng: Rng, law: Draw, count: int) -> Array:
    name, *parameters = law
    return getattr(rng, name)(*parameters, count)


@dataclass(frozen=True)
class Stream:
    """The phantoms that ``law`` draws one after the other from ``numpy.random.RandomState(seed)``.

    ``stream[i]`` is the i-th whatever was asked before; the first request of a late one draws all before it (about
    60 microseconds each), and only a generator state of every 16th is kept.
    """

    law: EllipseLaw
    seed: int
    _states: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __getitem__(self, index: int) -> Array:
        if index < 0:
            raise IndexError(f"phantoms of a stream are numbered from 0, got {index}")
        rng = np.random.RandomState(self.seed)
        if not self._states:
            self._states.append(rng.get_state())
        block = min(index // _BLOCK, len(self._states) - 1)
        rng.set_state(self._states[block])
        for i in range(block * _BLOCK, index):
            if i == len(self._states) * _BLOCK:
                self._states.append(rng.get_state())
            self.law.draw(rng)
        return self.law.draw(rng)


def sampled(ellipses: Array, size: int) -> Array:
    """Image ``(size, size)`` of the values at points; the reference square joins the centres of the corner pixels."""
    grid = np.linspace(-1.0, 1.0, size)
    image = np.zeros((size, size))
    for value, a, b, x, y, angle in ellipses:
        dx, dy = grid[None, :] - x, -grid[:, None] - y
        along, across = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
        image += value * ((along / a) ** 2 + (across / b) ** 2 <= 1)
    return np.round(image, 12) + 0.0  # what cancels is exactly zero


def averaged(ellipses: Array, size: int, lines: int = 32) -> Array:
    """Image ``(size, size)`` of the means over pixels; the reference square is the whole image.

    Each row of pixels is the mean of ``lines`` horizontal lines along which the mean over a pixel is exact, so a pixel
    crossed by an edge is off by at most 1/(2 lines) of the jump, and by about 0.001 of it in the quadratic mean.
    """
    height = np.hypot(ellipses[:, 1] * np.sin(ellipses[:, 5]), ellipses[:, 2] * np.cos(ellipses[:, 5]))
    level = 1 - (2 * np.arange(size * lines) + 1) / (size * lines)
    dy = level - ellipses[:, 4, None]
    which, line = np.nonzero(np.abs(dy) < height[:, None])
    (value, a, b, x, _, angle), dy, height = ellipses[which].T, dy[which, line], height[which]
    half = a * b * np.sqrt(height**2 - dy**2) / height**2
    middle = x + dy * (a**2 - b**2) * np.sin(angle) * np.cos(angle) / height**2
    first = line // lines * (size + 2)
    steps = np.zeros(size * (size + 2))  # differences along each row of the image, two columns wider than it
    for edge, jump in ((middle - half, value), (middle + half, -value)):
        column = np.clip((edge + 1) * size / 2, 0, size)
        whole = column.astype(np.intp)
        part = jump * (column - whole)
        steps += np.bincount(first + whole, jump - part, len(steps))
        steps += np.bincount(first + whole + 1, part, len(steps))
    image = np.cumsum(steps.reshape(size, -1), axis=1)[:, :size] / lines
    return np.round(image, 12) + 0.0  # what cancels is exactly zero


def sinogram(ellipses: Array, geometry: ParallelBeam) -> Array:
    """Exact line integrals ``(views, bins)`` in the length unit of ``geometry``; the square is the whole image.

    The chord of an ellipse at distance t from its centre is 2 a b sqrt(h^2 - t^2) / h^2, where h is its half width
    seen from that angle (Kak and Slaney 2001, section 3.1, doi:10.1137/1.9780898719277).
    """
    g, half = geometry, geometry.size * geometry.pixel / 2
    s = ((np.arange(g.bins) - (g.bins - 1) / 2) * g.spacing + g.shift) / half
    theta = np.array(g.angles)[:, None]
    total = np.zeros((len(g.angles), g.bins))
    for value, a, b, x, y, angle in ellipses:
        square = (a * np.cos(theta - angle)) ** 2 + (b * np.sin(theta - angle)) ** 2
        t = s - x * np.cos(theta) - y * np.sin(theta)
        total += value * (2 * a * b) * np.sqrt(np.maximum(square - t**2, 0)) / square
    return total * half
