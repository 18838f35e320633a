"""Small features: where they are put, what is said to be recovered of them, and what is said to be made up."""

import dataclasses
import html

import numpy as np
import pytest
import torch
from scipy import ndimage

from recon_bench import registry
from recon_bench.core import Method, Noise, NotApplicable
from recon_bench.measurement import Cell
from recon_bench.measurements import small_features
from recon_bench.measurements.small_features import LEVELS, MEASUREMENT, PROTOCOL, layout, measure, scale, scenes
from recon_bench.operators import MaskedFourier
from recon_bench.results import load, write
from recon_bench.results.check import check
from recon_bench.rules import FULL, QUICK
from recon_bench.run.limits import least_deviations
from recon_bench.scoring import inserts
from recon_bench.site.pages.features import over_spread
from recon_bench.site.render import render
from recon_bench.tables.board import board
from recon_bench.task import Task, Truth
from tests.helpers_results import of_small_features, write_tree

SIZE = 96
METRICS = {metric.name for metric in MEASUREMENT.metrics}


def draw(split, index):
    """A square of magnitude 0.5 with a phase and an edge, on nothing."""
    image = np.zeros((SIZE, SIZE), complex)
    image[4:-4, 4:-4] = 0.5 * np.exp(1j * np.linspace(0, 2, SIZE - 8))
    image[4:-4, 4 : 8 + index] *= 1.5
    return Truth(image)


def fourier(truth, rng, level=0.01):
    clean = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(truth.image), norm="ortho"))
    return clean + level * rng.standard_normal(clean.shape)


TASK = Task(
    name="toy",
    version=1,
    family="mri",
    title="Squares",
    description="Squares, all of k-space.",
    make_operator=lambda device, dtype: MaskedFourier((SIZE, SIZE), tuple(range(SIZE)), device, dtype),
    draw=draw,
    measure=fourier,
    seed=1,
    sizes={"train": 1, "validation": 1, "test": 3},
    noise=Noise("complex-gaussian", 0.01),
    data_range=1.0,
    card={},
    fingerprint=lambda: "",
)


def method(reconstruct):
    return Method("mine", "Mine", "direct", "", "none", lambda problem, settings: reconstruct, None)


def measured(reconstruct, task=TASK, rules=FULL, done=()):
    cell = Cell(task, method(reconstruct), None, rules, torch.device("cpu"))
    return list(measure(cell, {r.key: r for r in done}, lambda *_: None))


def means(records):
    return {
        name: float(np.mean([r.values[name] for r in records if name in r.values]))
        for name in METRICS
        if any(name in r.values for r in records)
    }


def exact(y, A):
    return A.adjoint(y)


def blurred(y, A):
    x = A.adjoint(y)
    return torch.from_numpy(np.stack([ndimage.gaussian_filter(image, 2.0) for image in x.abs().numpy()])).to(A.dtype)


def test_an_exact_inverse_recovers_all_of_everything_and_makes_up_nothing():
    noiseless = dataclasses.replace(TASK, measure=lambda truth, rng: fourier(truth, rng, level=0))
    found = means(measured(exact, noiseless))
    assert found.keys() == METRICS
    assert found.pop("invented") < 1e-3
    assert found == pytest.approx(dict.fromkeys(found, 1.0), abs=1e-3)


def test_noise_of_the_same_seed_cancels_in_what_is_recovered_but_is_made_up():
    found = means(measured(exact))
    assert 0.1 < found["invented"] < 5
    assert found["recovered_faint_16"] == pytest.approx(1, abs=0.05)


def test_who_blurs_loses_small_discs_before_large_ones_and_who_sees_nothing_recovers_nothing():
    found = means(measured(blurred))
    of_size = [found[f"recovered_low_{size}"] for size in PROTOCOL.diameters]
    assert of_size == sorted(of_size) and of_size[0] < 0.5 < of_size[-1] < 1
    assert found["modulation_1"] < found["modulation_3"] < 0.9 and found["text"] < 0.9
    constant = means(measured(lambda y, A: torch.full((len(y), SIZE, SIZE), 0.7, dtype=A.dtype)))
    assert constant.pop("invented") == pytest.approx(20, abs=0.01)  # 0.7 where 0.5 is, of a data range of 1
    assert constant == dict.fromkeys(constant, 0.0)


def test_a_network_whose_residual_is_added_back_recovers_more_of_faint_discs_and_makes_up_more():
    task, rules = registry.task("ct-head-50"), dataclasses.replace(FULL, images=1)
    found = []
    for name in ("learned-primal-dual", "learned-primal-dual-corrected"):
        method = registry.method(name)
        cell = Cell(task, method, method.settings, rules, torch.device("cpu"))
        found.append(means(list(measure(cell, {}, lambda *_: None))))
    without, corrected = found
    assert corrected["recovered_low_11"] > without["recovered_low_11"] + 0.1
    assert corrected["invented"] > without["invented"]


@pytest.mark.parametrize("name", ["ct-head-50", "mri-brain-4x", "ct-ellipses-30"])
def test_inserts_lie_apart_where_the_truth_is_homogeneous_at_the_same_places_each_time(name):
    task = registry.task(name)
    told = scale(task.card, task.data_range)
    image = np.abs(task.draw("test", 8).image)
    region = inserts.homogeneous(image, told.deviation, task.data_range)
    for which in (*LEVELS, small_features.FINE):
        placed = layout(task, "somebody", image, which)
        assert len(placed) >= 2
        taken = np.zeros(image.shape, int)
        for each in placed:
            assert region[each.window][each.insert.room].all()
            taken[each.window] += each.insert.room
        assert taken.max() == 1
        added = inserts.drawn(placed, image.shape)
        assert np.array_equal(added, inserts.drawn(layout(task, "somebody", image, which), image.shape))
        assert not np.array_equal(added, inserts.drawn(layout(task, "else", image, which), image.shape))
        assert (image + added).max() <= task.data_range
        steps = {round(abs(each.contrast) * told.units) for each in placed}
        levels = PROTOCOL.hounsfield if name == "ct-head-50" else [100 * part for part in PROTOCOL.fractions]
        assert steps == {levels[-1 if which == small_features.FINE else LEVELS.index(which)]}
    where = [[each.window for each in layout(task, "somebody", image, level)] for level in LEVELS]
    assert where[0] == where[1] == where[2]


def test_millimetres_and_hounsfield_units_are_those_of_the_card():
    task = registry.task("ct-head-50")
    (large, *_), image = layout(task, "a", np.ones((256, 256)), "low"), np.zeros((256, 256))
    assert 2 * np.sqrt(inserts.drawn([large], image.shape).sum() / 0.06 / np.pi) * 0.957 == pytest.approx(16, rel=0.03)


def test_scans_are_other_people_between_the_own_and_phantoms_are_the_own():
    names = [scene.name for scene in scenes(registry.task("mri-brain-4x"))]
    assert names[:4] == ["test-0000", "brain-a-00", "test-0005", "brain-b-00"] and len(names) == PROTOCOL.images + 5
    assert all(scene.name.startswith("test-") for scene in scenes(registry.task("ct-ellipses-50")))


def test_a_change_is_measured_with_the_noise_of_the_image_itself():
    task = registry.task("mri-brain-4x")
    own, same = task.observe("test", 0), task.observe("test", 0, lambda truth: Truth(truth.image))
    other = task.observe("test", 0, lambda truth: Truth(truth.image * 2))
    assert torch.equal(own.data, same.data)
    assert torch.allclose(other.data, 2 * own.data, atol=1e-5)  # noise is relative to the data, and no other
    group = task.foreign[0]
    changed = task.observe_foreign(group, 0, lambda truth: Truth(truth.image * 2))
    assert torch.allclose(changed.data, 2 * task.observe_foreign(group, 0).data, atol=1e-5)


def test_what_noise_leaves_open_is_that_of_a_mean_over_the_disc_where_all_is_measured():
    found = least_deviations(TASK)
    for size, contrast in ((4, 0.05), (16, 0.05)):
        expected = []
        for index in range(3):
            clean = torch.from_numpy(fourier(draw("test", index), np.random.default_rng(0), level=0))
            pixels = int(inserts.disc("", size).shape.sum())
            expected.append(0.01 * float(clean.abs().mean()) / (contrast * pixels**0.5))
        assert found[f"recovered_low_{size}"] == pytest.approx(np.mean(expected), rel=1e-6)
    assert least_deviations(dataclasses.replace(TASK, noise=Noise("none"))) == {}


def test_data_that_come_with_images_do_not_apply():
    with pytest.raises(NotApplicable, match="data come with the images"):
        registry.task("lodopab").measure(Truth(np.zeros((362, 362))), np.random.default_rng(0))


def fragile(y, A):
    """Fails on the second image of the first scene."""
    first = scenes(TASK)[0]
    placed = layout(TASK, first.name, np.abs(draw("test", 0).image), "faint")
    bad = TASK.observe("test", 0, lambda t: small_features.with_added(inserts.drawn(placed, t.image.shape), t))
    if any(torch.equal(each, bad.data) for each in y):
        raise RuntimeError("not this one")
    return A.adjoint(y)


def test_a_method_that_fails_on_some_inserts_keeps_the_others():
    records = measured(fragile)
    assert [r.sample for r in records if r.error] == ["test-0000-faint"]
    assert len(records) == 15 and all(r.values for r in records if not r.error)


def test_quick_rules_take_a_few_and_an_interrupted_run_repeats_none():
    records = measured(exact, rules=QUICK)
    assert len(records) == 2 * 5 and records == measured(exact)[:10]
    for kept in (1, 3, 5):
        again = measured(exact, rules=QUICK, done=records[:kept])
        assert again == records[kept:]


def test_the_board_shows_two_columns_and_the_page_all_with_intervals(tmp_path):
    root = write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp", "cgls", "tikhonov"], images=4)
    for name, shift in (("fbp", 0.0), ("cgls", 0.2), ("tikhonov", 0.9)):
        write(of_small_features(name, shift), root)
    assert check(root) == []
    found = board(load(root)[0], "ct-ellipses-30")
    shown = {column.name for column in found.columns if column.kind == "small-features"} - found.hidden
    assert shown == {"recovered_low_11", "invented"}
    out = render(root, tmp_path / "site").parent
    text = html.unescape((out / "features.html").read_text())
    best, other, exaggerated = (part.split("</tr>")[0] for part in text.split("<tr data-order")[1:])
    assert 'method/cgls.html"' in best and "0.85" in best and "lost & gone" in best and ">partial<" in best
    assert 'method/tikhonov.html"' in exaggerated and ">1.55<" in exaggerated
    leading = text.split("Of a disc of 5 %, 11 px (contrast of the data range), ")[1].split("</p>")[0]
    assert all(f"{title} {value} [" in leading for title, value in (("Fbp", 0.65), ("Cgls", 0.85), ("Tikhonov", 1.55)))
    place = dict(zip(found.frame["method"], found.frame["rank"]))["cgls"]
    assert (
        "The first in PSNR of those measured that recovers 0.7 to 1.3: Cgls, 0.85 [" in leading
        and f"], place {place}." in leading
    )
    assert "over its spread" not in text  # white noise is the same with and without a disc
    spread = over_spread(of_small_features("fbp", 0.0))["over_spread"]  # of 0.5, 0.6, 0.7 and 0.8
    assert spread.value == pytest.approx(5.03, abs=0.01)
    bold = [line for line in (out / "board" / "ct-ellipses-30.tex").read_text().splitlines() if "mathbf{0.65}" in line]
    assert len(bold) == 1 and "Fbp" in bold[0]
    row = found.frame.set_index("method").loc["fbp"]
    for name, digits in (("recovered_low_11", 2), ("invented", 1)):
        assert f"[{row[name + '_low']:.{digits}f}, {row[name + '_high']:.{digits}f}]" in other
    assert "5 %, 11 px" in text and 'href="features.html"' in (out / "index.html").read_text()


def test_without_results_the_page_says_how_to_make_them(tmp_path):
    write_tree(tmp_path / "results", tasks=["ct-ellipses-30"], methods=["fbp"], images=2)
    out = render(tmp_path / "results", tmp_path / "site").parent
    assert "recon-bench run --measurements small-features" in (out / "features.html").read_text()
