"""The shared tuner: budget, ranges, repeatability."""

import math

import pytest

from recon_bench.core import Choice, Log
from recon_bench.scoring.tuner import search, value


def play(space, start, budget, score):
    """Every (point, score) that the tuner asks for."""
    points, asked = search(space, start, budget), []
    try:
        point = next(points)
        while True:
            asked.append((point, score(point)))
            point = points.send(asked[-1][1])
    except StopIteration:
        return asked


def bowl(**centre):
    return lambda point: -sum(math.log(point[name] / x) ** 2 for name, x in centre.items())


@pytest.mark.parametrize("optimum", [2e-4, 0.03, 6.0])
def test_one_range_is_resolved_within_a_quarter(optimum):
    asked = play({"w": Log(1e-4, 10)}, {"w": 1.0}, 12, bowl(w=optimum))
    best = max(asked, key=lambda pair: pair[1])[0]["w"]
    assert abs(math.log(best / optimum)) < math.log(1.25)


def test_the_budget_is_never_exceeded_and_no_point_is_paid_for_twice():
    space = {"kind": Choice(("a", "b", "c")), "w": Log(0.1, 1), "n": Log(1, 20, integer=True)}
    asked = play(space, {"kind": "a", "w": 1.0, "n": 5}, 12, lambda p: -abs(p["n"] - 7) - (p["kind"] - 1) ** 2)
    points = [tuple(point.values()) for point, _ in asked]
    assert len(points) == 12 == len(set(points))


def test_points_stay_inside_their_ranges_and_integers_are_whole():
    space = {"w": Log(0.1, 1), "n": Log(1, 20, integer=True)}
    for point, _ in play(space, {"w": 0.5, "n": 5}, 30, lambda p: p["w"] + p["n"]):
        assert 0.1 <= point["w"] <= 1 and 1 <= point["n"] <= 20
        assert isinstance(value(space, point)["n"], int)


def test_the_same_scores_lead_to_the_same_points():
    space, start = {"a": Log(1e-3, 1), "b": Log(1e-3, 1)}, {"a": 0.1, "b": 0.1}
    assert play(space, start, 12, bowl(a=0.3, b=0.01)) == play(space, start, 12, bowl(a=0.3, b=0.01))


def test_a_small_whole_range_is_exhausted_and_then_ends():
    assert len(play({"n": Log(1, 3, integer=True)}, {"n": 2}, 12, lambda p: -p["n"])) == 3


def test_failing_points_do_not_stop_the_search():
    asked = play({"w": Log(1e-2, 1)}, {"w": 0.1}, 12, lambda p: -math.inf if p["w"] > 0.05 else p["w"])
    assert max(asked, key=lambda pair: pair[1])[0]["w"] <= 0.05
