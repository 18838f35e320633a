import math

import numpy as np
import pytest

from recon_bench.tables.statistics import difference, interval, ranks, ratio


def images(seed: int, n: int = 60) -> np.ndarray:
    return 25 + 3 * np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_intervals_are_the_same_each_time_and_hold_their_value(statistic):
    values = images(0)
    first = interval(values, statistic)
    assert first == interval(values, statistic)
    assert first.low < first.value < first.high
    assert first.value == pytest.approx(getattr(np, statistic)(values))


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_intervals_follow_shift_and_scale(statistic):
    values = images(1)
    moved = interval(10 * values - 7, statistic)
    assert moved == pytest.approx(10 * np.array(interval(values, statistic)) - 7)


def test_more_images_or_less_confidence_make_it_narrower():
    def width(values, **kwargs):
        found = interval(values, **kwargs)
        return found.high - found.low

    values = images(2, 400)
    assert width(values) < width(values[:25])
    assert width(values, confidence=0.5) < width(values, confidence=0.95)


def test_intervals_cover_the_true_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        found = interval(rng.exponential(size=50), draws=500)
        covered += found.low <= 1.0 <= found.high
    assert 0.89 <= covered / 400 <= 0.98


def test_one_number_has_no_interval_and_none_has_no_value():
    assert interval(np.array([3.0])).value == 3.0
    assert np.isnan(interval(np.array([3.0]))[1:]).all()
    assert np.isnan(interval(np.array([]))).all()


def test_pairing_sees_a_small_difference_on_images_that_vary_a_lot():
    values = images(4)
    better = values + 0.1 + 0.01 * np.random.default_rng(5).normal(size=values.size)
    gap = difference(better, values)
    assert gap.low > 0
    assert interval(better).low < interval(values).high  # the intervals alone would not tell
    assert ranks({"a": values, "b": better}) == {"b": 1, "a": 2}


def test_pairing_needs_the_same_images():
    with pytest.raises(ValueError, match="same images"):
        difference(images(0, 5), images(0, 6))


def test_a_ratio_is_of_means_and_known_exactly_where_it_is_the_same_of_all_images():
    second = np.array([1.0, 2.0, 5.0])
    assert ratio(3 * second, second) == pytest.approx((3.0, 3.0, 3.0))
    value, low, high = ratio(np.array([1.0, 2.0, 15.0]), second)
    assert value == pytest.approx(18 / 8) and 1 <= low < value < high <= 3
    assert math.isnan(ratio(second[:1], second[:1]).low) and math.isnan(ratio(second[:0], second[:0]).value)


def test_equal_methods_share_a_rank():
    values = images(6)
    assert ranks({"a": values, "b": values.copy(), "c": values - 1}) == {"a": 1, "b": 1, "c": 3}


def test_differences_below_the_resolution_are_ties_however_regular():
    values = images(6)
    rounded = {"a": values, "b": values - 1e-6, "c": values - 0.01}
    assert ranks(rounded) == {"a": 1, "b": 2, "c": 3}
    assert ranks(rounded, resolution=0.005) == {"a": 1, "b": 1, "c": 3}


def test_ranks_turn_with_the_direction():
    values = {"good": images(7), "bad": images(7) - 2}
    assert ranks(values, "higher") == {"good": 1, "bad": 2}
    assert ranks(values, "lower") == {"bad": 1, "good": 2}


def test_a_method_that_failed_on_an_image_is_not_ranked():
    values = images(8)
    broken = np.where(np.arange(values.size) == 3, np.nan, values + 100)
    assert ranks({"broken": broken, "fine": values}) == {"fine": 1}
    assert ranks({}) == {}


def test_ranks_do_not_depend_on_the_order_of_methods():
    rng = np.random.default_rng(9)
    base = images(9)
    methods = {f"m{i}": base + 0.05 * i + 0.2 * rng.normal(size=base.size) for i in range(8)}
    expected = ranks(methods)
    for _ in range(5):
        names = list(rng.permutation(list(methods)))
        assert ranks({name: methods[name] for name in names}) == expected
    ordered = sorted(expected, key=lambda name: -methods[name].mean())
    assert [expected[name] for name in ordered] == sorted(expected.values())
    assert 1 < len(set(expected.values())) < len(methods)  # some are tied, some are not
