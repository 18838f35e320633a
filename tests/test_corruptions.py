"""Corruptions: worse with severity, the same for everybody, and what a result on them says."""

import dataclasses

import pytest
import torch

from recon_bench import registry
from recon_bench.core import Noise, Sample
from recon_bench.data.corruptions import FOURIER, RAYS, SEVERITIES, corrupt, kinds
from recon_bench.measurement import Cell
from recon_bench.measurements import corruptions
from recon_bench.operators import MaskedFourier
from recon_bench.rules import QUICK
from recon_bench.scoring.attack import Objective
from tests.helpers_training import TOY, A

NOISE = Noise("gaussian", 0.05)


@pytest.mark.parametrize("kind", RAYS)
def test_a_more_severe_corruption_changes_the_image_of_fbp_more(kind):
    fbp = registry.method("fbp").build(TOY.problem(), registry.method("fbp").settings)
    far = []
    for severity in SEVERITIES:
        changes = []
        for index in range(3):
            sample = TOY.samples("test")[index]
            y = corrupt(kind, sample, A, NOISE, severity, seed=index)
            assert y.shape == sample.data.shape and y.dtype == sample.data.dtype
            changes.append(float(Objective(fbp(sample.data[None], A)).errors(fbp(y[None], A))))
        far.append(sum(changes))
    assert far == sorted(far) and far[0] > 0 and far[-1] > 2 * far[0]


def kspace():
    F = MaskedFourier((32, 32), tuple(range(4, 28)))
    truth = torch.polar(TOY.samples("test")[0].truth, torch.ones(32, 32))
    return Sample("test-0000", truth, F(truth)), F


@pytest.mark.parametrize("kind", FOURIER)
def test_a_more_severe_corruption_changes_kspace_more(kind):
    sample, F = kspace()
    noise = Noise("complex-gaussian", 0.05)
    changed = [corrupt(kind, sample, F, noise, severity, seed=1) for severity in SEVERITIES]
    far = [float((y - sample.data).norm()) for y in changed]
    assert far == sorted(far) and far[0] > 0 and far[-1] > 2 * far[0]
    assert all(y.dtype == torch.complex64 and y.shape == sample.data.shape for y in changed)


def test_a_shift_of_whole_bins_moves_the_views():
    sample = TOY.samples("test")[0]
    moved = corrupt("centre-shift", sample, A, NOISE, 3, seed=0)
    left, right = (torch.allclose(moved[:, 5:-5], sample.data.roll(by, 1)[:, 5:-5], atol=1e-5) for by in (-1, 1))
    assert left != right


def test_corrupted_data_are_the_same_whenever_they_are_made():
    sample = TOY.samples("test")[0]
    first, second = (corrupt("rings", sample, A, NOISE, 2, seed=4) for _ in range(2))
    assert torch.equal(first, second) and not torch.equal(first, corrupt("rings", sample, A, NOISE, 2, seed=5))
    gains = [(corrupt("rings", sample, A, NOISE, s, seed=4) - sample.data) for s in (1, 2)]
    assert torch.allclose(2 * gains[0], gains[1], atol=1e-4)  # the same detector, twice as far off


def test_more_noise_is_that_of_the_task_as_many_times():
    sample = TOY.samples("test")[0]
    for noise, expected in ((NOISE, 0.05 * float(sample.data.abs().mean())), (Noise("poisson", 100.0), None)):
        added = corrupt("more-noise", sample, A, noise, 2, seed=0) - sample.data
        deviation = expected or float((torch.exp(sample.data.clamp(max=4.6)) / 100).mean().sqrt())
        assert float(added.std()) == pytest.approx(3**0.5 * deviation, rel=0.15)


def test_severities_are_from_one_to_five():
    with pytest.raises(ValueError, match="expected a severity"):
        corrupt("rings", TOY.samples("test")[0], A, NOISE, 0, seed=0)


def measured(method, images=1, at=None):
    rules = dataclasses.replace(QUICK, images=images)
    asked = Cell(TOY, method, method.settings, rules, torch.device("cpu"), at or {})
    return list(corruptions.measure(asked, {}, lambda *picture: None))


def test_fbp_is_its_own_reference_and_a_constant_does_not_change():
    of_fbp = measured(registry.method("fbp"))
    assert len(of_fbp) == 1 + len(SEVERITIES) * len(kinds(A)) + 1
    assert of_fbp[-1].at == {} and of_fbp[-1].values["of_reference"] == of_fbp[-1].values["growth"] == 1
    constant = dataclasses.replace(
        registry.method("fbp"), build=lambda problem, settings: lambda y, A: torch.ones(len(y), 32, 32)
    )
    of_constant = measured(constant)
    assert of_constant[-1].values["growth"] == 0 and len({r.values["error"] for r in of_constant[:-1]}) == 1


def test_images_are_measured_apart_as_they_are_together():
    fbp = registry.method("fbp")
    cell = Cell(TOY, fbp, fbp.settings, dataclasses.replace(QUICK, images=2), torch.device("cpu"))
    apart = [record for at in corruptions.points(cell) for record in measured(fbp, 2, at)]
    assert apart == measured(fbp, 2) and len({record.sample for record in apart}) == 2


def test_what_fails_on_some_data_has_no_summary():
    def build(problem, settings):
        return lambda y, A: A.adjoint(y) / (0.0 if (y == 0).all(1)[:, 8:-8].any() else 1.0)

    found = measured(dataclasses.replace(registry.method("fbp"), build=build))
    failed = {r.at["corruption"] for r in found if r.error}
    assert failed == {float(list({**RAYS, **FOURIER}).index("dead-bins"))} and all(r.at for r in found)
