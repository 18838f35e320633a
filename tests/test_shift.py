"""Operator shift: what A1 measures, what of it is told, found or adapted to, and what is said of that."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from recon_bench import registry
from recon_bench.core import Noise, NotApplicable
from recon_bench.data import shifts
from recon_bench.measurement import Cell, Record
from recon_bench.measurements import adaptation, sampling, shift
from recon_bench.operators import MaskedFourier, RayTransform
from recon_bench.operators.sampled import SampledFourier
from recon_bench.results import load, write
from recon_bench.results.check import check
from recon_bench.results.traits import TRAITS
from recon_bench.rules import QUICK, UNSWAPPED
from recon_bench.run.apart import apart
from recon_bench.scoring import identify, shifted, trials
from recon_bench.scoring.adaptation import AT_NOISE, DIVERGED, LATE, NO_BETTER, Budget, Measured, Reuse
from recon_bench.scoring.answers import Reconstruction
from recon_bench.scoring.host import host
from recon_bench.scoring.named import Named, operators
from recon_bench.site import adaptation_parts, sampling_parts, shift_parts
from recon_bench.site.charts import curve_figures
from recon_bench.site.pages import shift as shift_page
from recon_bench.site.render import render
from recon_bench.tables import adaptation as adaptation_tables
from recon_bench.tables import sampling as sampling_tables
from recon_bench.tables import shift as shift_tables
from recon_bench.tables.board import board, curves
from tests.helpers_results import make_cell, write_tree
from tests.helpers_training import GEOMETRY, TOY, A
from tests.plugins.gain import TASKS, network

CHEAP = ("ct-ellipses-30", "mri-brain-4x")
CPU = torch.device("cpu")


FILE = str(Path(__file__).parent / "plugins" / "gain.py")
(SHIFTED,) = TASKS


def cell(method, task=SHIFTED, **at):
    return Cell(task, method, method.settings, QUICK, CPU, at)


def measured(kind, method, task=SHIFTED, **at):
    return list(kind.measure(cell(method, task, **at), {}, lambda *picture: None))


def number(name):
    return float(shifts.KINDS.index(name))


@pytest.mark.parametrize("name", CHEAP)
def test_a1_measures_in_its_own_shape_and_is_mapped_to_that_of_a0(name):
    task = registry.task(name)
    A0 = task.make_operator(CPU, torch.float32)
    assert {s.name for s in task.shifts} >= set(shifts.RAYS if task.family == "ct" else shifts.FOURIER)
    for other in task.shifts:
        A1, sample = other.make_operator(CPU, torch.float32), task.shifted(other).observe("test", 0)
        assert sample.data.shape == A1.range_shape and A1.domain_shape == A0.domain_shape, other.name
        assert other.mapped(sample.data[None]).shape == (1, *A0.range_shape), other.name
        missed = (A1(sample.truth[None])[0] - sample.data).norm() / sample.data.norm()
        assert missed < 0.25, other.name  # its operator is the one that measured


@pytest.mark.parametrize("name", CHEAP)
def test_the_tasks_own_rate_gives_its_own_data_and_tells_the_same_operator(name):
    task = registry.task(name)
    own = 30.0 if task.family == "ct" else 4.0
    sample, same = task.observe("test", 1), task.shifted(task.rates[own]).observe("test", 1)
    assert torch.equal(sample.truth, same.truth) and torch.allclose(sample.data, same.data, atol=1e-5)


def test_views_are_interpolated_around_the_half_turn():
    y = RayTransform(GEOMETRY)(TOY.samples("test")[0].truth[None])
    angles = GEOMETRY.angles
    assert torch.allclose(shifts.interpolated(y, angles, angles), y, atol=1e-5)
    close = shifts.interpolated(y, angles, [angles[-1] + math.pi / 24])  # between the last and the first, mirrored
    assert torch.allclose(close[:, 0], (y[:, -1] + y[:, 0].flip(-1)) / 2, atol=1e-5)


def test_lines_of_the_golden_angle_pass_the_centre_and_fill_the_share():
    mask = shifts.golden_angle(64, 0.25)
    assert mask[32, 32] and 0.25 <= mask.mean() < 0.29
    assert mask.any(0).all() and mask.any(1).all()  # unlike columns


def test_points_of_kspace_are_a_matched_pair_and_the_same_as_columns():
    columns, mask = (3, 8, 9), np.zeros((16, 16), dtype=bool)
    mask[:, columns] = True
    F, points = MaskedFourier((16, 16), columns), SampledFourier(mask)
    x = torch.randn(2, 16, 16, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    y = points(x)
    assert torch.allclose(y.reshape(2, 16, 3), F(x), atol=1e-5)
    assert torch.allclose(points(points.adjoint(y)), y, atol=1e-5)
    assert torch.allclose((y.conj() * y).sum(), (x.conj() * points.adjoint(y)).sum(), rtol=1e-4)
    with pytest.raises(ValueError, match="at least one point"):
        SampledFourier(np.zeros((4, 4), dtype=bool))


SOLVERS = ("zero-filled", "cgls", "landweber", "tikhonov-gradient", "ista", "fista", "tv-isotropic", "tv-anisotropic")


@pytest.mark.filterwarnings("ignore::recon_bench.core.NotConverged")
@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_reconstructs_from_points_of_kspace_what_it_does_from_columns(name):
    columns, mask = (3, 8, 9), np.zeros((16, 16), dtype=bool)
    mask[:, columns] = True
    problem, solver = registry.task("mri-brain-4x").problem(CPU), registry.method(name)
    y = SampledFourier(mask)(torch.randn(2, 16, 16, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)))
    found = []
    for operator, data in ((SampledFourier(mask), y), (MaskedFourier((16, 16), columns), y.reshape(2, 16, 3))):
        here = dataclasses.replace(problem, operator=operator)
        found.append(solver.build(here, solver.settings)(data, operator))
    assert torch.allclose(*found, atol=1e-3 * float(found[0].abs().max()))


def found(name):
    """What is found of the parameter of one of the toy's shifts."""
    (other,) = (s for s in SHIFTED.shifts if s.name == name)
    y = torch.stack([SHIFTED.shifted(other).observe("test", i).data for i in range(3)])
    return other.parameter, shift.search(other.parameter, y, CPU)


def test_an_unknown_shift_of_the_detector_is_found_from_data_alone():
    parameter, estimate = found("detector-2")
    assert estimate.identified and abs(estimate.value - parameter.true) < 0.25


def test_a_turn_of_all_views_cannot_be_told_from_a_turn_of_what_lies_inside_the_circle():
    _, estimate = found("angle-offset")
    misfits = list(estimate.tried.values())
    assert not estimate.identified and max(misfits) < 2 * min(misfits)


def test_the_search_finds_the_vertex_and_says_what_is_flat():
    search = identify.Search()
    sharp = identify.estimate(lambda x: 1 + (x - 0.3) ** 2, -1, 2, search)
    assert sharp.value == pytest.approx(0.3, abs=1e-6) and sharp.identified
    assert not identify.estimate(lambda x: 1.0, -1, 2, search).identified
    assert not identify.estimate(lambda x: 1 - x, -1, 0.5, search).identified  # still falling at an end
    with pytest.raises(ValueError, match="low < high"):
        identify.estimate(lambda x: x, 1, 1, search)


def by_scenario(records):
    values = {}
    for record in records:
        if "scenario" in record.at and record.values:
            values.setdefault(shift.SCENARIOS[int(record.at["scenario"])], []).append(record.values["psnr"])
    return {name: sum(each) / len(each) for name, each in values.items()}


def test_who_is_told_loses_little_and_who_finds_the_parameter_as_little():
    records = measured(shift, registry.method("cgls"), shift=number("detector-2"))
    psnr = by_scenario(records)
    assert "swapped" not in psnr  # not a network
    assert psnr["ignorant"] < psnr["home"] - 1 and abs(psnr["told"] - psnr["home"]) < 1
    assert psnr["estimated"] == pytest.approx(psnr["told"], abs=0.2)
    (scalar,) = (record for record in records if not record.at)
    assert scalar.sample == "detector-2"
    assert scalar.values["ignorant_loss"] == pytest.approx(psnr["home"] - psnr["ignorant"])


def test_a_scenario_that_fails_leaves_the_others():
    def build(problem, settings):
        if problem.operator.range_shape != A.range_shape:
            raise NotApplicable("needs twelve views")
        return registry.method("fbp").build(problem, settings)

    method = dataclasses.replace(registry.method("fbp"), build=build)
    records = measured(shift, method, shift=number("fewer-views"))
    assert set(by_scenario(records)) == {"home", "ignorant"}
    assert [record.note for record in records if record.note] == ["not applicable: needs twelve views"]
    with pytest.raises(NotApplicable, match="no other measurement"):
        measured(shift, method, TOY)


def test_an_image_without_bounds_is_a_row_with_the_reason_and_leaves_the_others():
    def build(problem, settings):
        def reconstruct(y, A):
            return A.adjoint(y) * (1e12 if A.range_shape != problem.operator.range_shape else 1)

        return reconstruct

    method = dataclasses.replace(network(0.97), build=build)
    records = measured(sampling, method)
    told = [record for record in records if "swapped_psnr" not in record.values]
    assert told and all("psnr" in record.values for record in records)
    pattern = r"set up for the task's own data: diverged: values of \de\+1\d times the data range"
    assert all(re.fullmatch(pattern, record.note) for record in told)


def data(other="detector-2"):
    (made,) = (s for s in SHIFTED.shifts if s.name == other)
    y = torch.stack([SHIFTED.shifted(made).observe("validation", i).data for i in range(3)])
    return Measured(y[:2], y[2:]), Named(other)


def begin(method, shift, plan):
    """A trial of a method that is set up for A0."""
    return trials.begin(cell(method), shifted.told(cell(method)), shift, plan)


def hosted(method):
    found = host(cell(method))
    found.set_up(method.settings)
    return found


FAST = Budget(steps=30, rate=0.1, penalty=0.0, look=5)


def test_a_network_is_fitted_to_measurements_without_truth():
    method, (free, A1) = hosted(network()), data()
    before = method.reconstruct(free.held, A1)[0].x
    seconds, adapted = method.adapt(free, A1, FAST)
    after = method.reconstruct(free.held, A1)[0].x
    gain = float((after * before).sum() / before.square().sum())
    assert 0.5 * gain == pytest.approx(1, abs=0.1)
    assert adapted.trace[0] > 3 * min(adapted.trace.values()) and adapted.note is None
    assert seconds > 0 and adapted.peak > free.y.nbytes
    method.set_up(None)  # which brings the network back that was trained
    assert torch.equal(method.reconstruct(free.held, A1)[0].x, before)


def answers(cell):
    """What needs another operator, with and without parameters that were fitted; the clock's figures are left out."""
    method, (free, A1) = shifted.told(cell), data()
    found = [method.reconstruct(free.y, operator) for operator in (None, A1, Named("detector-2", 1.0))]
    found.append(shifted.told(cell, Named(rate=24.0)).reconstruct(torch.ones(1, 24, GEOMETRY.bins)))
    _, adapted = method.adapt(free, A1, dataclasses.replace(FAST, steps=5))
    found.append(method.reconstruct(free.y, A1))
    ways = [dataclasses.replace(r, values={}) if "way" in r.at and not r.sample else r for r in adaptations(cell)]
    return [[each.x for each in images] for images in found], adapted, ways


def adaptations(cell):
    at = {"shift": number("fewer-views")}
    quick = dataclasses.replace(cell, rules=QUICK, at=at)
    return list(adaptation.measure(quick, {}, lambda *picture: None))


def test_another_process_is_told_of_operators_and_adapts_with_the_same_result():
    images, adapted, ways = answers(cell(registry.imported(FILE)))
    others, found, records = apart(FILE, FILE, {}, answers)
    assert all(torch.equal(x, y) for one, two in zip(images, others) for x, y in zip(one, two, strict=True))
    assert len({float(each[0].sum()) for each in images}) == len(images)  # each operator has images of its own
    assert adapted == found and ways == records
    assert not [record.error for record in records if record.error]


def test_a_name_that_the_task_does_not_have_is_said():
    for name, why in (
        (Named("no-such"), "expected a shift of toy, one of .*'detector-2'"),
        (Named(rate=7.5), "expected a rate of toy, one of"),
        (Named("fewer-views", 1.0), "'fewer-views' of toy has none"),
    ):
        with pytest.raises(ValueError, match=why):
            shifted.told(cell(network()), name)


def test_a_network_is_fitted_through_reuse_and_a_penalty_holds_it_back():
    method, (free, A1) = hosted(network()), data()
    method.adapt(free, A1, FAST, Reuse(iterations=1, weight=0.1))
    _, held = hosted(network()).adapt(free, A1, dataclasses.replace(FAST, penalty=1e4))
    _, loose = hosted(network()).adapt(free, A1, FAST)
    assert min(held.trace.values()) > min(loose.trace.values())


def test_what_diverges_or_gets_worse_keeps_the_start_and_what_is_late_keeps_its_curve():
    free, A1 = data()
    for gain, budget, note in (
        (0.5, dataclasses.replace(FAST, rate=1e30), DIVERGED),
        (1.0, dataclasses.replace(FAST, rate=10.0), NO_BETTER),
        (0.5, dataclasses.replace(FAST, seconds=0.0), LATE),
    ):
        method = hosted(network(gain))
        before = method.reconstruct(free.held, A1)[0].x
        _, adapted = method.adapt(free, A1, budget)
        assert adapted.note == note and len(adapted.trace) >= 1
        if note != LATE:
            assert torch.equal(method.reconstruct(free.held, A1)[0].x, before)
        else:
            assert list(adapted.trace) == [0, 1]


def test_data_are_not_explained_better_than_their_noise_allows():
    (free, A1), often = data(), dataclasses.replace(FAST, rate=0.05, look=1)
    _, whole = hosted(network()).adapt(free, A1, often)
    misfits = sorted(whole.trace.values(), reverse=True)
    assert misfits[-1] < misfits[1] < misfits[0]
    floor = (misfits[1] + misfits[-1]) / 2
    method = hosted(network())
    _, adapted = method.adapt(dataclasses.replace(free, floor=floor), A1, often)
    assert adapted.note == f"{AT_NOISE}: the best before was kept" and floor < adapted.least < adapted.trace[0]
    kept = trials.held_out(method, A1, operators(SHIFTED, CPU)(A1), free.held)
    assert adapted.least == pytest.approx(kept) == pytest.approx(trials.cost(1.0, adapted)["held"])
    _, nothing = hosted(network()).adapt(dataclasses.replace(free, floor=2 * misfits[0]), A1, FAST)
    assert nothing.note == f"{AT_NOISE}: the start was kept" and list(nothing.trace) == [0] and nothing.peak == 0


def test_the_noise_of_a_part_of_the_data_is_that_of_the_part():
    noise, clean = Noise("complex-gaussian", 0.1), torch.ones(4, 64, 64, dtype=torch.complex64)
    clean[:, :, :8] = 30  # as the middle of k-space is
    size = 0.1 * clean.abs().mean()
    y = clean + size * torch.randn(clean.shape, dtype=clean.dtype) * math.sqrt(2)
    kept = torch.zeros(64, 64)
    kept[:, 32:] = 1
    true = ((kept * (y - clean)).flatten(1).norm(dim=1) / (kept * y).flatten(1).norm(dim=1)).mean()
    assert trials._noise(noise, y, kept) == pytest.approx(float(true), rel=0.05)
    assert trials._noise(noise, y) < 0.2 * trials._noise(noise, y, kept)
    assert trials._noise(Noise("speckle", 0.1), y) == 0.0


@pytest.mark.parametrize("known", [1.0, 0.0])
def test_reuse_takes_the_weight_that_explains_data_it_has_not_seen(known):
    """Of what knows the images not the smallest, with which data that were seen are always explained best."""
    (fewer,) = (each for each in SHIFTED.shifts if each.name == "fewer-views")
    plan = trials.Plan(measurements=1, held=2, images=1, single=1)
    trial = begin(network(1.0), fewer, plan)
    truths = [SHIFTED.observe("validation", index).truth for index in (1, 2)]

    class Knowing:
        operator = trial.host().operator

        def reconstruct(self, y):
            return [Reconstruction(x=known * truth) for truth in truths]

    rules, misfit = trials.weighted(trial, Knowing(), 12)
    assert (rules.weight > min(plan.weights)) == bool(known) and misfit > 0 and rules.iterations == 12


def test_a_weight_without_images_is_not_taken():
    (fewer,) = (each for each in SHIFTED.shifts if each.name == "fewer-views")
    trial = begin(network(1.0), fewer, trials.Plan(measurements=1, held=2, images=1, single=1))

    class Failing:
        operator = trial.host().operator
        asked = 0

        def reconstruct(self, y):
            self.asked += 1
            if self.asked == 1:
                return [Reconstruction(error="diverged"), Reconstruction(error="diverged")]
            return [Reconstruction(x=torch.zeros(self.operator.domain_shape)) for _ in y]

    rules, misfit = trials.weighted(trial, Failing(), 2)
    assert rules.weight == trial.rules.weights[1] and math.isfinite(misfit)


def test_what_is_fitted_through_a_few_iterations_is_used_in_as_many():
    (fewer,) = (each for each in SHIFTED.shifts if each.name == "fewer-views")
    plan = trials.Plan(measurements=2, held=1, images=2, through=2, budget=Budget(steps=0))
    trial = begin(network(0.7), fewer, plan)
    made = trials.refitted(trial)
    rules = dataclasses.replace(plan.reuse, weight=made.values["weight"], iterations=2)
    expected = trials.reusing(trial, trial.host(), trial.y, rules)
    assert torch.allclose(trials.images(made.images), expected)
    twelve = trials.reusing(trial, trial.host(), trial.y, dataclasses.replace(rules, iterations=12))
    assert not torch.allclose(expected, twelve, atol=1e-3)


def test_what_has_no_network_cannot_be_fitted():
    free, A1 = data()
    with pytest.raises(RuntimeError, match="no network"):
        hosted(registry.method("fbp")).adapt(free, A1, FAST)
    with pytest.raises(NotApplicable, match="no network"):
        measured(adaptation, registry.method("fbp"))


def test_a_network_that_does_not_apply_to_the_task_is_not_adapted_rather_than_failing():
    def build(problem, settings):
        raise NotApplicable("needs real data")

    with pytest.raises(NotApplicable, match="needs real data"):
        measured(adaptation, dataclasses.replace(network(1.0), build=build))


def result(task, name, kind, records, family="unrolled"):
    """A result of these records."""
    made = make_cell(task, 2, name, "accuracy")
    header = {"metrics": [dataclasses.asdict(m) for m in kind.metrics], "version": 1, "hash": "0" * 16}
    header |= {"title": kind.title, "protocol": dataclasses.asdict(kind.protocol)}
    header |= {"traits": {**TRAITS, "hidden": list(kind.hidden)}}
    changes = {"kind": kind.name, "measurement": json.loads(json.dumps(header)), "images": {}}
    changes |= {"records": [dataclasses.asdict(r) for r in records], "method": {**made.method, "family": family}}
    return dataclasses.replace(made, status="ok", reason=None, **changes)


@pytest.fixture(scope="module")
def records():
    """What is measured of a network and of two classical methods on the toy."""
    method, at = network(0.97), {"shift": number("detector-2")}
    return {
        ("unet", shift.MEASUREMENT): measured(shift, method, **at),
        ("cgls", shift.MEASUREMENT): measured(shift, registry.method("cgls"), **at),
        ("fbp", shift.MEASUREMENT): measured(shift, registry.method("fbp"), shift=number("angle-offset")),
        ("unet", adaptation.MEASUREMENT): measured(adaptation, method, **at),
        ("unet", sampling.MEASUREMENT): measured(sampling, method),
    }


@pytest.fixture(scope="module")
def folder(records, tmp_path_factory):
    """A tree of results with these."""
    root = tmp_path_factory.mktemp("shift")
    write_tree(root)
    for (name, kind), found in records.items():
        write(result("ct-ellipses-30", name, kind, found, "unrolled" if name == "unet" else "iterative"), root)
    return root


def test_adaptation_closes_the_gap_that_an_unknown_parameter_opens(folder):
    (each,) = adaptation_tables.adaptations(board(load(folder)[0], "ct-ellipses-30"))
    assert (each.bottom, each.top, each.shift) == ("ignorant", "home", "detector-2")
    assert each.gap > 1 and each.closed("fitted") > 0.5
    assert each.costs["naive"]["parameter_error"] < 0.25 and each.costs["fitted"]["parameter_error"] < 0.25
    assert {"seconds", "mib", "steps"} <= each.costs["fitted"].keys() and 0 in each.traces["fitted"]
    assert each.classical[1] > 10 and "oracle" not in each.values
    assert each.notes["oracle"] == "not applicable: no network was trained on A1"


def test_data_that_are_explained_better_by_worse_images_are_said(folder):
    (each,) = adaptation_tables.adaptations(board(load(folder)[0], "ct-ellipses-30"))
    naive = each.values["naive"]
    better, worse = ({sample: psnr + change for sample, psnr in naive.items()} for change in (1, -1))
    values = {**each.values, "fitted": worse, "alone": better}
    each = dataclasses.replace(each, values=values, traces={way: {0: 0.04, 5: 0.01} for way in ("fitted", "alone")})
    for kept, said in ((0.02, {"fitted": (0.04, 0.02)}), (0.04, {})):  # of what was kept, not of every look
        costs = {way: {**each.costs[way], "held": kept} for way in each.traces}
        assert dataclasses.replace(each, costs=costs).misled == said


@pytest.mark.parametrize("worse", [False, True])
def test_a_parameter_is_found_again_after_the_fit_where_that_explains_more(monkeypatch, worse):
    (detector,) = [each for each in SHIFTED.shifts if each.name == "detector-2"]
    before = identify.Estimate(1.0, {}, 1.0, True)
    after = identify.Estimate(-3.0 if worse else detector.parameter.true, {}, 1.0, True)
    found = [before, after]
    monkeypatch.setattr(trials, "sought", lambda *_: found.pop(0))
    records = measured(adaptation, network(0.97), shift=number("detector-2"))
    naive, fitted = (
        next(r.values for r in records if r.at.get("way") == way and "parameter" in r.values)
        for way in (list(trials.WAYS).index(name) for name in ("naive", "fitted"))
    )
    assert naive["parameter"] == before.value
    assert fitted["parameter"] == (before if worse else after).value and fitted["held"] <= naive["held"]


def test_the_share_of_a_gap_counts_from_naive_use_to_the_oracle():
    values = {"home": 30.0, "ignorant": 20.0, "naive": 24.0, "fitted": 26.0, "oracle": 28.0}
    by_image = {way: {"test-0000": value} for way, value in values.items()}
    each = adaptation_tables.Adaptation(None, "other-task", by_image, {}, {}, {})
    assert each.closed("fitted") == 0.5 and each.best == 0.5
    small = dataclasses.replace(each, values={**by_image, "naive": {"test-0000": 27.8}})
    assert math.isnan(small.closed("fitted"))


def at(rate, psnr=None, why=None, sample="test-0000"):
    """A record of a rate, told and handed the operator, which may have said ``why`` it has no image of that."""
    psnr = 20.0 + rate if psnr is None else psnr
    values = {"psnr": 20.0 + rate} | ({} if why else {"swapped_psnr": psnr})
    note = f"not converged; {UNSWAPPED}{why}" if why else None
    return Record(sample, values, {"views": float(rate)}, note=note)


def rates(*records, own=24.0):
    return sampling_tables.row(result("ct-ellipses-30", "unet", sampling.MEASUREMENT, records), own)


def test_more_data_that_make_a_network_diverge_make_it_worse():
    assert rates(at(18), at(30)).worse is False
    for why in ("diverged: values of 2e+12 times", "the reconstruction has 3 values that are NaN or infinite; see"):
        assert rates(at(18), at(30, why=why)).worse is True
        assert sampling_tables.diverged(rates(at(18), at(30, why=why)).swapped) == [30.0]
        assert rates(at(18, why=why), at(30)).worse is False  # it is with little data that it fails
    assert rates(at(30)).worse is None
    assert "needs more" in rates(at(18), at(30, why="needs more")).missing[30.0]


def test_an_error_larger_than_the_data_range_is_no_figure_but_a_divergence():
    """However far below zero, one bad image takes its mean with it, in tables and in the chart."""
    others = [at(rate, sample="test-0001") for rate in (18, 30, 60)]
    found = rates(at(18), at(30, -0.1), at(60, -193.0), *others)
    assert found.worse is True and math.isinf(found.worst_swapped.value) and math.isnan(found.worst_swapped.low)
    assert sampling_tables.diverged(found.swapped) == [30.0, 60.0]
    shown = sampling_parts.rate(found)["swapped"]
    assert (shown["text"], shown["ends"]) == ("diverged", "at 30, 60")
    told = dataclasses.replace(found, told=found.swapped)
    figure = sampling_parts.curve("toy", [told])
    assert [point["x"] for point in figure.spec["series"][0]["points"]] == [18.0]
    (only,) = figure.spec["series"][0]["points"]
    assert only["low"] == only["y"] == only["high"] == 38.0 and [bool(row[3]) for row in figure.rows] == [
        True,
        False,
        False,
    ]
    assert "2 at which an image has diverged" in figure.caption and [row[2] for row in figure.rows][1:] == 2 * [
        "diverged"
    ]


def test_harm_of_more_data_is_told_only_where_there_were_more():
    assert rates(at(18), at(30), own=30.0).worse is None
    assert rates(at(18), at(30), own=math.nan).worse is None
    columns = [dataclasses.replace(at(rate), at={"acceleration": float(rate)}) for rate in (8, 4)]
    assert rates(*columns, own=4.0).worse is None and rates(*columns, own=6.0).worse is True
    some = rates(at(18), at(30), at(60), own=30.0)
    fewer = {rate: values for rate, values in some.told.items() if rate <= 30}
    assert some.worse is False and dataclasses.replace(some, told=fewer, swapped={}).worse is None
    assert sampling_parts.own_rate({"card": {"operator": {"views": 30}}}) == 30.0
    assert sampling_parts.own_rate({"card": {"acceleration": 4, "operator": "Fourier"}}) == 4.0
    assert math.isnan(sampling_parts.own_rate({}))


def test_more_data_that_make_it_worse_are_found():
    def of(*means):
        return {rate: {"a": mean - 1, "b": mean + 1} for rate, mean in enumerate(means)}

    fall = sampling_tables.falls(of(20.0, 25.0, 24.0, 26.0))
    assert (fall.value, fall.low, fall.high) == (1.0, 1.0, 1.0)  # of the same images, whose spread does not count
    assert sampling_tables.falls(of(20.0, 25.0)).value < 0 and math.isnan(sampling_tables.falls({}).value)


def shifted_row(name, **psnr):
    """A row with these PSNR of two images, by shift; home has 30 dB."""
    values = {}
    for kind, told in psnr.items():
        of = kind.replace("_", "-")
        for scenario, value in (("home", 30.0), ("told", told)):
            values[of, scenario] = {"test-0000": value - 1, "test-0001": value + 1}
    return shift_tables.Row(result("ct-ellipses-30", name, shift.MEASUREMENT, []), values, {}, {})


def test_methods_are_ordered_by_their_images_and_better_data_do_not_make_up_for_losses():
    found = [
        shifted_row("fbp", other_mask=29.0, golden_angle=30.5),
        shifted_row("unet", other_mask=28.0, golden_angle=39.0),
        shifted_row("modl", other_mask=27.0, golden_angle=-math.inf),
    ]
    assert shift_tables.better(found) == ["golden-angle"]
    (told,) = shift_page.heat_maps(found, shift_page.TITLES)
    assert [row["name"] for row in told["rows"]] == ["unet", "fbp", "modl"]
    assert [row["mean"]["text"] for row in told["rows"]] == ["+2.00", "+1.00", "+3.00"]
    assert told["left_out"] == ["Golden-angle lines"] and told["images"] == "2 images"
    assert told["rows"][1]["cells"][0]["ends"] == "[1.00, 1.00]" and told["rows"][1]["cells"][0]["psnr"] == "29.00"
    diverged = told["rows"][2]
    assert diverged["psnr"]["text"] == diverged["cells"][1]["text"] == "diverged" and diverged["cells"][1]["psnr"] == ""


def test_an_image_of_a_shift_that_errs_by_more_than_the_data_range_has_diverged():
    def record(sample, scenario, psnr, error=None):
        place = {"shift": number("limited-120"), "scenario": float(shift.SCENARIOS.index(scenario))}
        return Record(sample, {} if psnr is None else {"psnr": psnr}, place, error=error)

    told = [record("a", "told", 25.0), record("b", "told", None, "diverged: values of 2e+12 times the data range")]
    home = [record(sample, "home", 30.0) for sample in "ab"]
    swapped = [record("a", "swapped", 25.0), record("b", "swapped", -0.5)]
    row = shift_tables.row(result("ct-ellipses-30", "unet", shift.MEASUREMENT, [*home, *told, *swapped]))
    for scenario in ("told", "swapped"):
        assert row.psnr("limited-120", scenario) == -math.inf and row.loss("limited-120", scenario).value == math.inf
    assert row.missing == {}


def adapted(folder, **costs):
    """The one adaptation of the folder, with some of its costs changed in all ways that have them."""
    (each,) = adaptation_tables.adaptations(board(load(folder)[0], "ct-ellipses-30"))
    changed = {way: {**cost, **{k: v for k, v in costs.items() if k in cost}} for way, cost in each.costs.items()}
    return dataclasses.replace(each, costs=changed)


def test_a_parameter_that_was_not_used_has_no_error_to_be_ranked_by(folder):
    each = adapted(folder, identified=0.0)
    note = "cannot identify the shift of the detector: the misfit falls by 49 % from the ends of its range"
    each = dataclasses.replace(each, notes={**each.notes, "naive": note})
    shown = adaptation_parts.adaptation(each, shift_page.TITLES)["error"]
    assert shown["raw"] == "" and shown["text"] == "rejected" and shown["ends"].endswith(" off")
    (remark,) = adaptation_parts.remarks([each], shift_page.TITLES)
    assert (
        "rule rejected it (the misfit falls by 49 % from the ends of its range; a fall of 50 % is asked)"
        in remark["text"]
    )
    used = adaptation_parts.adaptation(adapted(folder), shift_page.TITLES)["error"]
    assert float(used["raw"]) < 0.25 and used["text"] != "rejected"


def test_what_is_fitted_to_few_images_is_compared_on_these_alone(folder):
    each = adapted(folder)
    each = dataclasses.replace(
        each, values={**each.values, "alone": {s: v + 1 for s, v in each.values["naive"].items()}}
    )
    first = next(iter(each.values["naive"]))
    few = dataclasses.replace(each, values={**each.values, "alone": {first: each.values["naive"][first] + 2}})
    cells = [adaptation_parts.reached(one, "alone") for one in (each, few)]
    assert [cell["text"] for cell in cells] == ["+1.00", "+2.00"] and cells[1]["ends"] == "1 image"


def test_what_is_only_the_undoing_of_a_bad_operator_is_said(folder):
    each = adapted(folder)
    samples = each.values["naive"]
    psnrs = {"home": 30.0, "ignorant": 24.0, "naive": 20.0, "fitted": 25.0, "reused": 20.0, "refitted": 20.0}
    costs = {way: {k: v for k, v in cost.items() if k != "parameter"} for way, cost in each.costs.items()}
    each = dataclasses.replace(
        each, costs=costs, values={way: dict.fromkeys(samples, psnr) for way, psnr in psnrs.items()}, notes={}
    )
    assert each.closed("fitted") == pytest.approx(0.5) and each.beyond == pytest.approx(1 / 6)
    (remark,) = adaptation_parts.remarks([each], shift_page.TITLES)
    assert "A1 put in is 4.00 dB below ignorant, from where the best way closes 16.7 %" in remark["text"]
    assert not dataclasses.replace(each, values={**each.values, "ignorant": dict.fromkeys(samples, 19.0)}).undoing
    title = each.result.method["title"]
    both = adaptation_parts.closing([each, each], shift_page.TITLES)
    assert f"2 are closed by half or more (detector off by 2 bins: {title}; {title})." in both
    for classical, count in ((24.9, 1), (25.1, 0)):
        said = adaptation_parts.closing([dataclasses.replace(each, classical=("TV", classical))], shift_page.TITLES)
        assert said.endswith(f"In {count} of 1 the best way of adaptation reaches the best classical method told A1.")


def test_why_gaps_stay_open_is_told_from_what_was_measured(folder):
    each = adapted(folder, identified=0.0)
    naive = each.values["naive"]
    open_gap = dict.fromkeys(("fitted", "reused", "refitted", "ignorant"), naive)
    each = dataclasses.replace(each, values={**each.values, **open_gap, "home": {s: v + 2 for s, v in naive.items()}})
    done = dataclasses.replace(each, costs={"fitted": {"steps": 0.0, "mib": 0.0, "held": 0.02}})
    assert "in 1 held-out data were explained to within their noise" in adaptation_parts.reason([done])
    stuck = dataclasses.replace(each, costs={"fitted": {"steps": 5.0, "mib": 1.0, "held": 0.04}})
    assert (
        adaptation_parts.reason([each, done, done, stuck])
        == "Of the other 4: in 1 the parameter was rejected; in 2 held-out data were explained to within their noise "
        "before the first step, which ends a fit; in 1 no step of a fit explained them better."
    )
    better = {**each.costs, "fitted": {"steps": 9.0, "mib": 1.0, "held": 0.01, "identified": 1.0, "parameter": 2.0}}
    fitted = dataclasses.replace(each, costs=better, traces={"fitted": {0: 0.04, 5: 0.01}})
    assert (
        adaptation_parts.reason([fitted])
        == "Of the other 1: in 1 fitting explained them better and closed 0.0 % at most, any way 0.0 %."
    )
    failed = dataclasses.replace(fitted, values={**fitted.values, "fitted": {}}, traces={})
    assert adaptation_parts.reason([failed]) == "Of the other 1: in 1 fitting has no images."


def test_tables_and_the_board_tell_the_same_share_of_a_gap(records, folder):
    each = adapted(folder)
    (scalar,) = (record for record in records["unet", adaptation.MEASUREMENT] if not record.at)
    for way in adaptation.SCORED:
        assert each.closed(way) == pytest.approx(scalar.values[f"closed_{way}"])


def test_a_parameter_that_the_data_tell_weakly_is_said_to_be_found_and_not_accepted(folder):
    found = shift_tables.rows(board(load(folder)[0], "ct-ellipses-30"))
    by_shift = {row["title"]: row for row in shift_page.parameters(found, shift_page.TITLES)}
    offset, detector = (by_shift[shift_page.TITLES[name]] for name in ("angle-offset", "detector-2"))
    assert offset["verdict"] == "found, not accepted: a fall of 50 % is asked" and offset["tone"] == "bad"
    assert "the value of A0 is kept" in offset["brings"] and "told the value" in offset["brings"]
    assert detector["verdict"] == "identified" and ", a gain of " in detector["brings"]


def test_a_method_has_a_map_of_its_shifts_by_what_it_knows(folder):
    found = board(load(folder)[0], "ct-ellipses-30")
    heat = shift_parts.of_method(found, "unet")
    assert heat["heads"] == ["Home", "Ignorant", "Told", "Estimated", "Adapted"]
    (row,) = heat["rows"]
    home, ignorant, told, estimated, fitted = (float(cell["text"]) for cell in row["cells"])
    assert row["title"] == "Detector off by 2 bins" and ignorant < home - 1 and min(told, estimated) > home - 1
    assert row["cells"][1]["warm"] > row["cells"][2]["warm"] and "dB lost [" in row["cells"][1]["title"]
    assert fitted > ignorant and shift_parts.of_method(found, "fbp")["heads"][-1] == "Estimated"
    assert shift_parts.of_method(found, "tv-isotropic") == {}


def test_a_shift_to_another_task_names_it():
    assert shift_parts.titles("mri-brain-4x")["other-task"] == "As in Brain MRI, 8x"
    assert shift_parts.titles("no-such-task") == shift_parts.TITLES


def test_the_page_shows_losses_parameters_shares_and_what_was_not_measured(folder, tmp_path):
    assert check(folder) == []
    site = render(folder, tmp_path / "site").parent
    page = (site / "shift.html").read_text()
    for text in ("Ignorant: the method takes", "Detector off by 2 bins", "Fitted to one", "Less and more data"):
        assert text in page
    assert "not accepted: a fall of 50 % is asked" in page and "no network was trained on A1" not in page
    assert 'href="#shift-ct-ellipses-30"' in page and "over 2 images" in page
    assert "shift.html" in (site / "index.html").read_text()
    assert "With another operator" in (site / "method" / "unet.html").read_text()
    assert "With another operator" not in (site / "method" / "tv-isotropic.html").read_text()


def test_charts_of_a_board_leave_out_what_diverged(folder):
    worse = [at(18), at(30, -3.0), at(60, -193.0)]
    results = [*load(folder)[0], result("ct-ellipses-30", "landweber", sampling.MEASUREMENT, worse)]
    found = curves(results, "ct-ellipses-30", sampling_tables.KIND)
    figures = curve_figures(board(results, "ct-ellipses-30"), found[found["metric"] == "swapped_psnr"])
    (figure,) = (each for each in figures if "swapped_psnr" in each.id)
    assert "Left out: 2 below 0 dB" in figure.caption
    assert [row[2] for row in figure.rows if row[0] == "Landweber"] == ["38.00", "diverged", "diverged"]
    assert all(point["y"] >= 0 for series in figure.spec["series"] for point in series["points"])
