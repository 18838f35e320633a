"""Means with bootstrap intervals, and ranks that share a place where the difference is not significant.

The bootstrap draws images with replacement and reads the interval off the percentiles (Efron, Annals of Statistics 7
(1979) 1-26, https://doi.org/10.1214/aos/1176344552). Draws are seeded and shared, so that every method is judged on
the same draws and numbers are the same each time. Images are taken to be independent: slices of one scan are not
quite, and their intervals are too narrow by that much.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """A value with the ends of its interval; the ends are NaN where one number does not tell the spread."""

    value: float
    low: float
    high: float


def alone(value: float) -> Interval:
    """A value without an interval."""
    return Interval(value, np.nan, np.nan)


def interval(
    values: Array,
    statistic: Literal["mean", "median"] = "mean",
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean or median of ``values`` (n,) with its percentile bootstrap interval, in the unit of the values.

    All is NaN without values; the ends are NaN for a single one.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    value = float(np.mean(values) if statistic == "mean" else np.median(values))
    if values.size == 1:
        return Interval(value, np.nan, np.nan)
    if statistic == "mean":
        drawn = _weights(values.size, draws, seed) @ values
    else:
        drawn = np.median(values[_draws(values.size, draws, seed)], axis=1)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


def difference(first: Array, second: Array, confidence: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Mean of ``first - second`` over the same images (n,) in the same order, with its interval.

    Raises ValueError where the shapes differ.
    """
    if np.shape(first) != np.shape(second):
        shapes = f"{np.shape(first)} and {np.shape(second)}"
        raise ValueError(f"expected values of the same images in the same order, found shapes {shapes}")
    return interval(np.asarray(first) - np.asarray(second), "mean", confidence, draws, seed)


def ratio(first: Array, second: Array, confidence: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """The mean of ``first`` over that of ``second``, positive values of the same images (n,), with its interval.

    All is NaN without values; the ends are NaN for a single image.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.size == 0:
        return alone(np.nan)
    value = float(first.mean() / second.mean())
    if first.size == 1:
        return alone(value)
    weights = _weights(first.size, draws, seed)
    low, high = np.quantile((weights @ first) / (weights @ second), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


def ranks(
    values: Mapping[str, Array],
    better: Literal["higher", "lower"] = "higher",
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    resolution: float = 0.0,
) -> dict[str, int]:
    """Rank of each method by the mean of its values (n,), one value for each image in the same order.

    Going down from the best mean, a method shares the rank of the best of the group above it unless the interval of
    their paired difference excludes zero and the difference is at least ``resolution`` (rounding errors differ
    significantly, too); then it opens a group, ranked by the number of methods above (1, 1, 3).
    Methods with a NaN among their values are left out: they have failed on an image. Raises ValueError where the others
    have different numbers of values.
    """
    sign = -1.0 if better == "higher" else 1.0
    complete = {name: np.asarray(v, dtype=np.float64) for name, v in values.items() if not np.isnan(v).any()}
    order = sorted(complete, key=lambda name: (sign * complete[name].mean(), name))
    found: dict[str, int] = {}
    leader = ""
    for position, name in enumerate(order, start=1):
        gap = difference(complete[leader or name], complete[name], confidence, draws, seed)
        significant = gap.low > 0 or gap.high < 0
        tied = leader and (not significant or abs(gap.value) < resolution)
        found[name] = found[leader] if tied else position
        leader = leader if tied else name
    return found


@lru_cache(maxsize=64)
def _draws(n: int, draws: int, seed: int) -> NDArray[np.int64]:
    """(draws, n) positions drawn with replacement."""
    return np.random.default_rng([seed, n]).integers(n, size=(draws, n))


@lru_cache(maxsize=64)
def _weights(n: int, draws: int, seed: int) -> Array:
    """(draws, n) weights of the same draws: the mean of a draw is one product."""
    rows = _draws(n, draws, seed) + n * np.arange(draws)[:, None]
    return np.bincount(rows.ravel(), minlength=draws * n).reshape(draws, n) / n
