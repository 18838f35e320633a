"""Small structures that are put into truths where these are homogeneous, and what a reconstruction makes of each.

All are looked at in a difference: the reconstruction with the structure minus the one without, over the contrast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

GAP, RING = 1.5, 2.0  # pixels between a disc and the ring that it is compared with, and across that ring
LENGTH, MARGIN = 11, 2  # pixels of a bar, and around bars and letters
WINDOW = 5  # pixels across where a truth is asked whether it is homogeneous, and an error is averaged
DARK = 0.05  # of the data range: below is air, or no signal
LETTERS = (
    ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
    ("..#..", ".#.#.", "#...#", "#...#", "#####", "#...#", "#...#"),
)


@dataclass(frozen=True)
class Insert:
    """A structure of contrast 1 on an odd number of rows and columns, named by the ``metric`` that tells of it.

    ``shape`` is where it is, ``room`` what has to be homogeneous around it; ``score(seen)`` says how much of it is in a
    difference ``seen`` of the same size: 1 is all, 0 nothing.
    """

    metric: str
    shape: Mask
    room: Mask
    score: Callable[[Array], float]


@dataclass(frozen=True)
class Placed:
    """An insert in the rows and columns ``window`` of an image, with its ``contrast`` in the image's unit."""

    insert: Insert
    window: tuple[slice, slice]
    contrast: float


def disc(metric: str, diameter: float) -> Insert:
    """A disc, ``diameter`` in pixels: the mean inside minus the mean of a ring around it."""
    reach = diameter / 2 + GAP + RING
    axis = np.arange(-math.floor(reach), math.floor(reach) + 1)
    distance = np.hypot(axis[:, None], axis)
    inside, room = distance <= diameter / 2, distance <= reach
    ring = room & (distance > reach - RING)
    return Insert(metric, inside, room, lambda seen: float(seen[inside].mean() - seen[ring].mean()))


def bars(metric: str, spacing: int) -> Insert:
    """Two vertical bars, ``spacing`` pixels wide and as far apart: their mean minus the mean between them."""
    labels = np.tile(np.repeat([1, 2, 1], spacing), (LENGTH, 1))
    labels = np.pad(labels, ((MARGIN, MARGIN), (MARGIN, MARGIN + 1 - labels.shape[1] % 2)))
    pair, between = labels == 1, labels == 2
    return Insert(metric, pair, np.ones_like(pair), lambda seen: float(seen[pair].mean() - seen[between].mean()))


def text(metric: str) -> Insert:
    """Three letters of 5 x 7 pixels: the correlation with them, 0 of what is constant."""
    rows = [".".join(parts) for parts in zip(*LETTERS, strict=True)]
    letters = np.pad(np.array([[sign == "#" for sign in row] for row in rows]), MARGIN)
    return Insert(metric, letters, np.ones_like(letters), lambda seen: _correlation(seen, letters))


def _correlation(seen: Array, shape: Mask) -> float:
    return float(np.corrcoef(seen.ravel(), shape.ravel())[0, 1]) if seen.std() > 0 else 0.0


def homogeneous(image: Array, deviation: float, data_range: float) -> Mask:
    """Where ``image`` (rows, columns) has a local standard deviation of at most ``deviation`` and is not dark."""
    mean, square = ndimage.uniform_filter(image, WINDOW), ndimage.uniform_filter(image**2, WINDOW)
    return (square - mean**2 <= deviation**2) & (mean >= DARK * data_range)


def place(
    inserts: Sequence[Insert], image: Array, region: Mask, contrast: float, most: float, rng: np.random.Generator
) -> list[Placed]:
    """Each insert at random with its room inside ``region`` and apart from the others; without those that do not fit.

    ``contrast`` is taken off where the ``image`` would rise above ``most`` with it.
    """
    free, found = region.copy(), []
    for insert in sorted(inserts, key=lambda insert: -int(insert.room.sum())):
        centres = np.argwhere(ndimage.binary_erosion(free, insert.room))
        if len(centres):
            corner, size = rng.choice(centres) - np.array(insert.room.shape) // 2, insert.room.shape
            window = slice(corner[0], corner[0] + size[0]), slice(corner[1], corner[1] + size[1])
            free[window] &= ~insert.room
            fits = image[window][insert.shape].max() + contrast <= most
            found.append(Placed(insert, window, contrast if fits else -contrast))
    return found


def drawn(placed: Sequence[Placed], shape: tuple[int, ...]) -> Array:
    """What the inserts add to an image of ``shape``."""
    added = np.zeros(shape)
    for each in placed:
        added[each.window] += each.contrast * each.insert.shape
    return added


def recovered(placed: Placed, difference: Array) -> float:
    """How much of an insert is in the ``difference`` (rows, columns) that inserts made to a reconstruction."""
    return placed.insert.score(difference[placed.window] / placed.contrast)


def invented(error: Array, region: Mask) -> float:
    """The largest mean of an ``error`` over WINDOW x WINDOW pixels that are all in ``region``; NaN without any."""
    inside = ndimage.binary_erosion(region, np.ones((WINDOW, WINDOW)))
    return float(np.abs(ndimage.uniform_filter(error, WINDOW))[inside].max()) if inside.any() else math.nan
