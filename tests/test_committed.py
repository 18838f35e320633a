"""What committed results show: attacks that deserve the name, and parameters that data tell."""

import math

import pytest

from recon_bench import registry
from recon_bench.results import latest, load
from recon_bench.run.runner import SHIPPED
from recon_bench.tables import robustness, shift

KINDS = {"robustness", "shift"}


@pytest.fixture(scope="module")
def committed():
    """The newest results of these kinds, by kind."""
    found = latest(load(SHIPPED, set(registry.measurements()) - KINDS)[0])
    return {kind: [r for r in found if r.kind == kind and r.status in ("ok", "partial")] for kind in KINDS}


def test_every_attack_is_as_strong_as_noise_of_the_same_norm(committed):
    assert committed["robustness"]
    for result in committed["robustness"]:
        row = robustness.row(result)
        for level in row.images:
            noisy, worst = row.values("random", level), row.values("error", level)
            assert all(worst[name] >= noisy[name] for name in noisy), (result.path, level)


def test_of_linear_methods_the_exact_worst_case_is_reached_and_not_exceeded(committed):
    reached = [row.attained for row in robustness.rows(committed["robustness"])]
    known = [part for part in reached if not math.isnan(part)]
    assert len(known) >= 4 and min(known) >= 0.99 and max(known) <= 1.0001


def test_two_bins_of_the_detector_are_found_to_a_quarter_of_a_bin(committed):
    found = [
        parameter.error
        for result in committed["shift"]
        for name, parameter in shift.row(result).parameters.items()
        if name == "detector-2"
    ]
    assert found and max(found) < 0.25
