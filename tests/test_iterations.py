"""Iterating more: what a depth does to a method, what fails at one of them, and the rule of the verdict."""

import dataclasses
import json
import math
import re
from functools import partial

import pytest
import torch

from recon_bench import registry, weights
from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell
from recon_bench.measurements import iterations
from recon_bench.measurements.iterations import MEASUREMENT, Protocol, depths, settings_at
from recon_bench.repeating import repeating
from recon_bench.results import load, write
from recon_bench.results.check import check
from recon_bench.results.traits import TRAITS
from recon_bench.rules import QUICK
from recon_bench.scoring.host import host
from recon_bench.site.render import render
from recon_bench.tables.board import board
from recon_bench.tables.iterations import DEGRADES, MARGIN, PLATEAUS, UNKNOWN, curves, judge
from tests.helpers_results import make_cell, picture, record, write_tree
from tests.helpers_training import TOY

SMALL = Protocol(depths=(1, 2, 4), images=2, pictured=(1, 4), repeats=1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(iterations, "PROTOCOL", SMALL)


def cell(method, **changes):
    found = registry.method(method) if isinstance(method, str) else method
    settings = dataclasses.replace(found.settings, **changes) if changes else found.settings
    return Cell(TOY, found, settings, QUICK, torch.device("cpu"))


def measured(asked, done=()):
    saved = {}
    records = list(
        iterations.measure(
            asked, {r.key: r for r in done}, lambda name, pixels, caption: saved.update({name: (pixels, caption)})
        )
    )
    return records, saved


def at(records, depth, sample=None):
    return [r for r in records if r.at["iterations"] == depth and (sample is None or r.sample == sample)]


def test_a_point_is_the_reconstruction_of_so_many_iterations():
    asked = cell("landweber", iterations=3)
    records, _ = measured(asked)
    assert sorted({r.at["iterations"] for r in records}) == [1, 2, 4]
    longer = host(asked)
    longer.set_up(dataclasses.replace(asked.settings, iterations=4))
    sample = TOY.samples("test")[0]
    (found,) = longer.reconstruct(sample.data[None])
    mse = (found.x - sample.truth).double().square().mean()
    [record] = at(records, 4, "test-0000")
    assert record.values["psnr"] == pytest.approx(float(10 * torch.log10(TOY.data_range**2 / mse)), abs=1e-6)
    missed = torch.linalg.vector_norm(longer.operator(found.x) - sample.data) / torch.linalg.vector_norm(sample.data)
    assert record.values["misfit"] == pytest.approx(float(missed), rel=1e-5)


def test_cost_counts_applications_and_the_last_step():
    records, saved = measured(cell("landweber"))
    costs = {r.at["iterations"]: r.values for r in records if r.sample == "cost"}
    assert [costs[depth]["applications"] for depth in (1, 2, 4)] == [0.5, 1.5, 3.5]
    assert all(values["seconds"] > 0 for values in costs.values())
    assert "change" not in costs[1] and 0 < costs[4]["change"] < costs[2]["change"]
    assert list(saved) == ["iterations-001", "iterations-004"]
    assert saved["iterations-004"][0].shape == (32, 32, 3) and ", 4 iterations, " in saved["iterations-004"][1]


def test_a_tolerance_stops_nothing():
    records, _ = measured(cell("tv-isotropic", tolerance=10.0))
    assert {r.at["iterations"]: r.values["applications"] for r in records if r.sample == "cost"}[4] == 5
    assert settings_at(registry.method("tv-isotropic").settings, "iterations", 7).tolerance == 0


@pytest.mark.parametrize("depth", [0, -1])
def test_no_iteration_is_refused(depth):
    with pytest.raises(ValueError, match=f"expected at least 1 iteration, got {depth}"):
        settings_at(registry.method("landweber").settings, "iterations", depth)


def test_a_depth_of_zero_is_a_row_with_its_reason(monkeypatch):
    monkeypatch.setattr(iterations, "PROTOCOL", dataclasses.replace(SMALL, depths=(0, 2)))
    records, _ = measured(cell("landweber"))
    assert [r.error for r in at(records, 0)] == ["ValueError: expected at least 1 iteration, got 0"]
    assert all(r.error is None for r in at(records, 2)) and len(at(records, 2)) == 3


@pytest.mark.parametrize("name", ["fbp", "tikhonov", "unet"])
def test_a_method_without_a_depth_does_not_apply(name):
    with pytest.raises(NotApplicable, match="no setting counts iterations"):
        measured(cell(name))


def broken(problem, settings, error):
    if settings.iterations == 2:
        raise error
    return registry.method("landweber").build(problem, settings)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("lost"), r"RuntimeError: lost at \S*test_iterations\.py:\d+"),
        (NotApplicable("shy"), "NotApplicable: shy"),
        (MemoryError("full"), "out of memory on cpu: full"),
    ],
)
def test_a_point_that_fails_leaves_the_others(error, said):
    method = dataclasses.replace(registry.method("landweber"), build=partial(broken, error=error))
    records, _ = measured(cell(method))
    (broken_one,) = at(records, 2)
    assert re.fullmatch(said, broken_one.error)
    assert all(r.error is None and r.values for depth in (1, 4) for r in at(records, depth))


def test_a_method_that_cannot_run_at_all_does_not_apply():
    with pytest.raises(NotApplicable, match="no weights for this task"):
        measured(cell("unrolled-gradient-tied"))


def test_a_reconstruction_that_is_not_finite_is_a_row():
    method = dataclasses.replace(
        registry.method("landweber"), build=lambda problem, settings: lambda y, A: A.adjoint(y) * torch.nan
    )
    records, saved = measured(cell(method))
    assert all("NaN or infinite" in r.error and not r.values for r in records) and not saved


def test_an_image_that_grows_without_bounds_is_a_row_and_leaves_the_others():
    first = TOY.samples("test")[0].data

    def build(problem, settings):
        grown = 10.0 ** min(15 * (settings.iterations - 1), 300)  # 1 after one iteration, beyond float32 after four
        return lambda y, A: torch.stack([A.adjoint(each) * (grown if each.equal(first) else 1) for each in y])

    method = dataclasses.replace(registry.method("landweber"), build=build)
    records, _ = measured(cell(method))
    [kept], [lost], [beyond] = (at(records, depth, "test-0000") for depth in (1, 2, 4))
    assert kept.values["psnr"] and kept.error is None
    assert re.fullmatch(r"diverged: values of \de\+1[4-7] times the data range", lost.error) and not lost.values
    assert "NaN or infinite" in beyond.error
    assert all(r.values["psnr"] for depth in (1, 2, 4) for r in at(records, depth, "test-0001"))


def test_an_interrupted_run_repeats_no_record():
    records, _ = measured(cell("landweber"))
    again, _ = measured(cell("landweber"), done=records[:4])
    assert [r.key for r in again] == [r.key for r in records[4:]]


UNTIED = ("unrolled-gradient", "unrolled-ista", "learned-primal-dual", "learned-primal")
SMALLER = {"unrolled-ista": {"filters": 12}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Networks of two steps, one tied and the others not, with weights for the toy."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
    found = {}
    for name in ("unrolled-gradient-tied", *UNTIED):
        method = registry.method(name)
        small = dataclasses.replace(method.settings, depth=2, **SMALLER.get(name, {"width": 4}))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            state = method.network(TOY.problem(), small).state_dict()
        variant = weights.variant(small, method.settings)
        weights.save(name, TOY.name, state, {"settings": dataclasses.asdict(small)}, variant=variant)
        found[name] = small
    yield found
    patch.undo()


def test_tied_steps_are_repeated_with_the_weights_they_have(trained):
    asked = cell("unrolled-gradient-tied", depth=2, width=4)
    records, _ = measured(asked)
    ratios = {r.at["iterations"]: r.values["of_trained"] for r in records if r.sample == "cost"}
    assert ratios == {1: 0.5, 2: 1, 4: 2, 20: 10}  # trained for two, measured at ten times that as well
    assert not [r for r in records if r.error or r.note]


def test_the_last_of_steps_of_their_own_is_repeated_and_that_is_said(trained):
    records, _ = measured(cell("unrolled-gradient", depth=2, width=4))
    assert [r.error for r in at(records, 1)] == ["not applicable: no weights for this number of iterations"]
    notes = {depth: {r.note for r in at(records, depth)} for depth in (2, 4, 20)}
    assert notes == {2: {None}, 4: {"repeats its last block"}, 20: {"repeats its last block"}}
    assert all(r.error is None and r.values for depth in (2, 4, 20) for r in at(records, depth))
    costs = {r.at["iterations"]: r.values for r in records if r.sample == "cost"}
    assert costs[4]["applications"] == 4.5 and costs[4]["of_trained"] == 2 and costs[4]["change"] > 0


@pytest.mark.parametrize("name", UNTIED)
def test_repeating_is_applying_the_last_block_again(trained, name):
    method, settings = registry.method(name), trained[name]
    [weighed] = weights.own(method, TOY.name, settings=settings)
    problem, y = TOY.problem(), TOY.samples("test")[0].data[None]
    found = repeating(method, weighed).build(problem, dataclasses.replace(settings, depth=4))(y, problem.operator)

    network = method.network(problem, settings)
    network.load_state_dict(weights.load_named(weighed))
    network.depth = 4  # of those that do not go by their blocks
    for blocks in [part for part in network.children() if isinstance(part, torch.nn.ModuleList)]:
        blocks.extend([blocks[-1]] * 2)
    with torch.no_grad():
        expected = network.eval()(y / 2, problem.operator) * 2
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, method.build(problem, settings)(y, problem.operator))


def test_weights_of_another_width_are_not_repeated(trained):
    [name] = weights.own(registry.method("unrolled-gradient"), TOY.name, settings=trained["unrolled-gradient"])
    wider = dataclasses.replace(trained["unrolled-gradient"], depth=4, width=8)
    with pytest.raises(weights.WeightsError, match="another architecture"):
        repeating(registry.method("unrolled-gradient"), name).build(TOY.problem(), wider)


def test_multiples_of_the_trained_depth_are_measured_too():
    protocol = Protocol(depths=(1, 10), multiples=(1, 10))
    assert depths(protocol, None) == [1, 10] and depths(protocol, 8) == [1, 8, 10, 80]
    assert MEASUREMENT.hash != dataclasses.replace(MEASUREMENT, protocol=protocol).hash


def test_the_verdict_is_by_the_last_place_and_a_fixed_margin():
    peaks = judge({1: 20.0, 10: 30.0, 100: 30.0 - 1.01 * MARGIN}, 10)
    assert (peaks.verdict, peaks.best_at, peaks.at_trained) == (DEGRADES, 10, 30.0)
    assert peaks.drop == pytest.approx(1.01 * MARGIN) and peaks.at_ten == peaks.last
    holds = judge({1: 20.0, 10: 30.0, 100: 30.0 - 0.99 * MARGIN}, 10)
    assert holds.verdict == PLATEAUS
    rises = judge({1: 20.0, 10: 30.0, 100: 31.0})
    assert (rises.verdict, rises.drop, rises.best_at) == (PLATEAUS, 0, 100) and math.isnan(rises.at_trained)
    assert judge({1: 30.0, 2: 30.0}).best_at == 1  # of equals the cheaper


def test_what_diverges_degrades_wherever_it_was_last_measured():
    lost = judge({1: 20.0, 10: 30.0}, 10, diverged=[40, 100])
    assert (lost.verdict, lost.best_at, lost.last_at, lost.last, lost.at_ten) == (
        DEGRADES,
        10,
        100,
        -math.inf,
        -math.inf,
    )
    back = judge({1: 20.0, 10: 30.0, 100: 30.0}, 10, diverged=[40])
    assert (back.verdict, back.last) == (PLATEAUS, 30.0)


def test_there_is_no_verdict_on_what_was_not_iterated_further():
    assert judge({10: 30.0}).verdict == UNKNOWN and judge({5: 31.0, 10: 30.0}, 10).verdict == UNKNOWN
    with pytest.raises(ValueError, match="at least one"):
        judge({})


def results(root):
    """A tree whose first task has curves of a network that degrades, one that plateaus and a method that is absent."""
    write_tree(root, tasks=["ct-ellipses-30"], methods=["fbp", "cgls", "landweber", "tikhonov"], images=2)
    psnrs = {"cgls": {1: 20.0, 10: 30.0, 100: 12.0}, "landweber": {1: 20.0, 10: 29.0, 100: 29.5}, "fbp": {}}
    for name, psnr in psnrs.items():
        write(result(root, name, psnr), root)
    return root


def result(root, name, psnr):
    made = make_cell("ct-ellipses-30", 2, name, "pictures")
    kind = json.loads(json.dumps({"metrics": [dataclasses.asdict(metric) for metric in MEASUREMENT.metrics]}))
    kind |= {"version": 1, "hash": "0" * 16, "title": MEASUREMENT.title, "traits": {**TRAITS, "board": False}}
    notes = {100: "repeats its last block"} if name == "cgls" else {}
    records = [
        record("test-0000", {"psnr": value}, {"iterations": depth}, note=notes.get(depth))
        for depth, value in psnr.items()
    ]
    for depth in psnr:
        values = {"seconds": 0.01 * depth, "applications": depth - 0.5, "of_trained": depth / 10}
        records.append(record("cost", values, {"iterations": depth}))
    if psnr:
        records.append(record("", {}, {"iterations": 5}, error="RuntimeError: lost & gone"))
    made = dataclasses.replace(made, kind="iterations", measurement=kind, records=records, images={})
    made = dataclasses.replace(made, status="partial", reason="1 of 7 failed: RuntimeError: lost & gone")
    if not psnr:
        return dataclasses.replace(made, status="not-applicable", reason="no setting counts iterations")
    file = f"{made.stem}-iterations-001.webp"
    return dataclasses.replace(
        made, images={"iterations-001": picture(made.folder(root) / file, "test-0000, 1 iteration", 32, 1)}
    )


def test_curves_are_read_with_what_failed_apart(tmp_path):
    loaded, problems = load(results(tmp_path))
    assert not problems and check(tmp_path) == []
    [any_] = {(r.task["hash"], r.rules["hash"]) for r in loaded if r.kind == "iterations"}
    found = {curve.result.method["name"]: curve for curve in curves(loaded, *any_)}
    assert found["cgls"].trained == 10 and found["cgls"].of("psnr") == {1: 20.0, 10: 30.0, 100: 12.0}
    assert [point.error for point in found["cgls"].points if point.iterations == 5] == ["RuntimeError: lost & gone"]
    assert found["fbp"].points == [] and "tikhonov" not in found
    assert curves(loaded, any_[0], "0" * 16) == []


def test_the_page_shows_curves_verdicts_pictures_and_reasons(tmp_path):
    out = render(results(tmp_path / "results"), tmp_path / "site").parent
    text = (out / "iterations.html").read_text()
    specs = [json.loads(spec) for spec in re.findall(r'<script type="application/json">(.*?)</script>', text)]
    assert [spec["x"]["title"] for spec in specs] == ["Iterations", "Time per image", "Pairs of A and adjoint"]
    lines = {series["name"]: series for series in specs[0]["series"]}
    assert [point["y"] for point in lines["Cgls"]["points"]] == [20, 30]  # 12 dB is too far below to be drawn
    assert lines["Landweber"]["marked"] == [10] and [p["x"] for p in specs[2]["series"][0]["points"]] == [0.5, 9.5]
    assert text.count("beyond K it repeats its last block") == 1
    numbers = [rows for rows in re.findall(r"<tr>(.*?)</tr>", text) if "Cgls, repeats its last block" in rows]
    assert len(numbers) == 3 and all("12.00" in row for row in numbers)
    verdicts = re.findall(r">(\w+)</span></td></tr>", text)
    assert verdicts == [DEGRADES, PLATEAUS] and text.count("lost &amp; gone") == 2
    assert "no setting counts iterations" in text and "test-0000, 1 iteration" in text and "12.00" in text
    assert 'href="iterations.html"' in (out / "index.html").read_text()
    gallery = (out / "gallery" / "ct-ellipses-30.html").read_text()
    assert "iterations-001" not in gallery and "no setting counts" not in gallery


def test_the_page_tells_what_diverged_from_what_could_not_be_measured(tmp_path):
    root = write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["cgls"], images=2)
    made = result(root, "cgls", {1: 20.0, 10: 30.0})
    errors = {
        20: "diverged: values of 3e+12 times the data range",
        40: "the reconstruction has 7 values that are NaN or infinite",
    }
    lost = [record("test-0000", {}, {"iterations": depth}, error=error) for depth, error in errors.items()]
    write(dataclasses.replace(made, records=[*made.records, *lost]), root)
    text = (render(root, tmp_path / "site").parent / "iterations.html").read_text()
    [verdict] = [row for row in re.findall(r"<tr>(.*?)</tr>", text) if DEGRADES in row]
    assert ">diverged</td>" in verdict and ">40</td>" in verdict
    reasons = re.findall(r"<dd>(.*?)</dd>", text)
    assert any(
        reason.endswith("20, 40 iterations: diverged: values of 3e+12 times the data range") for reason in reasons
    )
    assert any(reason.endswith("5 iterations: RuntimeError: lost &amp; gone") for reason in reasons)


def test_curves_leave_the_board_alone(tmp_path):
    write_tree(tmp_path, tasks=["ct-ellipses-30"], methods=["fbp", "cgls"], images=2)
    before = board(load(tmp_path)[0], "ct-ellipses-30")
    write(result(tmp_path, "cgls", {1: 20.0, 10: 30.0}), tmp_path)
    after = board(load(tmp_path)[0], "ct-ellipses-30")
    assert (
        after.frame.equals(before.frame) and after.notes == before.notes and after.cells.keys() == before.cells.keys()
    )


def test_no_curves_give_a_page_that_says_so(tmp_path):
    write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp"], images=2)
    out = render(tmp_path / "results", tmp_path / "site").parent
    assert "Not measured yet" in (out / "iterations.html").read_text()
