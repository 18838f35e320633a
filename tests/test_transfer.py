"""Other people's scans: whose they are, how they are measured, and what is said of who gains on them."""

import dataclasses
import html
import json
import shutil

import numpy as np
import pytest
import torch

from recon_bench import registry
from recon_bench.core import NotApplicable
from recon_bench.data import foreign, scans
from recon_bench.data.ellipses import averaged, sinogram
from recon_bench.data.shepp_logan import shepp_logan
from recon_bench.data.simulation import gaussian, line_integrals, project
from recon_bench.measurement import Cell
from recon_bench.measurements.transfer import MEASUREMENT, measure
from recon_bench.operators import ParallelBeam, evenly
from recon_bench.results import load, write
from recon_bench.results.check import check
from recon_bench.results.traits import TRAITS
from recon_bench.rules import FULL, QUICK
from recon_bench.site.pages import index as front
from recon_bench.site.pages import transfer as page
from recon_bench.site.render import render
from recon_bench.site.task_parts import unmeasured
from recon_bench.tables import transfer
from recon_bench.tables.board import board
from recon_bench.tables.statistics import Interval
from recon_bench.task import Foreign, Truth
from tests.helpers_results import make_cell, picture, record, write_tree
from tests.helpers_training import GEOMETRY, TOY

CT = ("ct-head-50", "ct-head-143", "ct-ellipses-30", "ct-ellipses-50", "ct-ellipses-143", "ct-shepp-logan-30")
TASKS = (*CT, "mri-brain-4x", "mri-brain-8x")
CHEAP = ("ct-ellipses-30", "mri-brain-4x")  # measured in milliseconds


def shipped(task):
    return [group for group in registry.task(task).foreign if not group.downloaded]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_given_people_it_was_not_made_of(task):
    names = {group.name for group in shipped(task)}
    people = foreign.CT if task in CT else foreign.MRI
    assert len(people) >= 3 and names >= {scan.name for scan in people}
    phantoms = {"ct-shepp-logan-30": {"ellipses"}, **{t: {"shepp-logan"} for t in TASKS if "ellipses" in t}}
    assert names == {scan.name for scan in people} | phantoms.get(task, set())


@pytest.mark.parametrize("task", TASKS)
def test_every_foreign_truth_has_source_and_licence_and_the_grid_and_range_of_the_task(task):
    found = registry.task(task)
    size = {"ct-ellipses-50": 512, "ct-ellipses-143": 512}.get(task, 128 if task.endswith("-30") else 256)
    for group in shipped(task):
        assert group.source and group.licence and group.title and group.count >= 1
        for index in range(group.count):
            image = group.draw(index, np.random.default_rng(0)).image
            assert image.shape == (size, size)
            shown = np.abs(image) if found.family == "mri" else image
            assert shown.min() >= 0 and 0.3 * found.data_range < shown.max() <= found.data_range + 1e-9


@pytest.mark.parametrize("scan", foreign.CT + foreign.MRI, ids=lambda scan: scan.name)
def test_the_licences_name_every_scan_with_its_source_and_terms(scan):
    (line,) = [
        line
        for line in (scans.FOLDER / "LICENSES.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{scan.name}` |")
    ]
    assert scan.licence.split()[0] in line or "as above" in line
    read = foreign.attenuation if scan in foreign.CT else foreign.magnitude
    assert len(read(scan.name)) == scan.slices


def test_ct_is_in_hounsfield_units():
    for scan in foreign.CT:
        for image in foreign.attenuation(scan.name):
            soft = image[(image > 0.8) & (image < 1.2)]
            assert image.min() == 0 and 0.9 < np.median(soft) < 1.1, scan.name  # from fat to muscle


@pytest.mark.parametrize("name", CHEAP)
def test_a_foreign_truth_is_measured_by_the_measure_of_its_task_and_is_always_the_same(name):
    task = registry.task(name)
    asked = []

    def noting(truth, rng):
        asked.append(truth)
        return task.measure(truth, rng)

    group = task.foreign[0]
    one, again = (dataclasses.replace(task, measure=noting).observe_foreign(group, 0) for _ in range(2))
    assert len(asked) == 2 and torch.equal(one.truth, again.truth) and torch.equal(one.data, again.data)
    other_seed = dataclasses.replace(task, seed=task.seed + 1).observe_foreign(group, 0)
    other_name = task.observe_foreign(dataclasses.replace(group, name="somebody"), 0)
    for other in (other_seed, other_name):
        assert not torch.equal(one.data, other.data)
    clean = task.problem().operator(one.truth)
    missed = torch.linalg.vector_norm(clean - one.data) / torch.linalg.vector_norm(one.data)
    assert 0 < missed < 0.3


def test_a_scan_is_projected_as_ellipses_are_that_fill_the_same_pixels():
    geometry = ParallelBeam(size=128, angles=evenly(12), bins=183)
    exact = sinogram(shepp_logan(), geometry)
    found = line_integrals(averaged(shepp_logan(), 128), geometry)
    assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)
    finer = line_integrals(averaged(shepp_logan(), 256), geometry)
    assert np.linalg.norm(finer - exact) < np.linalg.norm(found - exact)


def square(index, rng):
    image = np.zeros((32, 32))
    image[8 : 20 + index, 8:20] = 1
    return Truth(image)


PEOPLE = Foreign("squares", "Squares", "none", "MIT", 3, square)
AWAY = dataclasses.replace(PEOPLE, name="away", downloaded=True, missing=lambda: "set AWAY to its folder")


def noisy(truth, rng):
    return gaussian(project(truth.image, GEOMETRY), 0.05, rng)


TASK = dataclasses.replace(TOY, measure=noisy, foreign=(PEOPLE, AWAY))


def measured(method, task=TASK, rules=FULL, done=()):
    found = registry.method(method) if isinstance(method, str) else method
    asked, saved = Cell(task, found, found.settings, rules, torch.device("cpu")), {}
    known = {r.key: r for r in done}
    return list(measure(asked, known, lambda name, pixels, caption: saved.update({name: caption}))), saved


def test_scans_are_scored_by_name_and_what_is_not_there_is_a_note():
    records, saved = measured("fbp")
    assert [r.sample for r in records] == ["squares-00", "squares-01", "squares-02", "away"]
    sample = TASK.observe_foreign(PEOPLE, 1)
    x = registry.method("fbp").build(TASK.problem(), registry.method("fbp").settings)(
        sample.data[None], TASK.problem().operator
    )[0]
    mse = (x - sample.truth).double().square().mean()
    psnr = float(10 * torch.log10(TASK.data_range**2 / mse))
    assert records[1].values["foreign_psnr"] == pytest.approx(psnr, abs=1e-4)
    assert (records[3].values, records[3].note) == ({}, "not measured: set AWAY to its folder")
    assert list(saved) == ["foreign"] and saved["foreign"].startswith("squares-00, ")


def test_what_is_downloaded_has_metrics_of_its_own():
    there = dataclasses.replace(AWAY, missing=lambda: None)
    records, _ = measured("fbp", dataclasses.replace(TASK, foreign=(PEOPLE, there)))
    assert {tuple(r.values) for r in records[3:]} == {("downloaded_psnr", "downloaded_ssim")} and len(records) == 6


def test_without_lodopab_every_ct_task_says_where_to_put_it(monkeypatch):
    monkeypatch.delenv("RECON_BENCH_LODOPAB", raising=False)
    (group,) = [group for group in registry.task("ct-head-50").foreign if group.downloaded]
    records, _ = measured("fbp", dataclasses.replace(TASK, foreign=(group,)))
    assert [(r.sample, bool(r.values)) for r in records] == [("lodopab", False)]
    assert "RECON_BENCH_LODOPAB is not set" in records[0].note


def fragile(problem, settings):
    def reconstruct(y, A):
        x = A.adjoint(y)
        if any(torch.equal(each, TASK.observe_foreign(PEOPLE, 1).data) for each in y):
            raise RuntimeError("not this one")
        return x

    return reconstruct


def test_a_method_that_fails_on_one_scan_keeps_the_others():
    records, _ = measured(dataclasses.replace(registry.method("fbp"), build=fragile))
    assert [r.error and r.error.partition(" at ")[0] for r in records] == [
        None,
        "RuntimeError: not this one",
        None,
        None,
    ]
    assert all(r.values for r in (records[0], records[2]))


def test_quick_rules_take_a_few_and_an_interrupted_run_repeats_none():
    records, _ = measured("fbp", rules=QUICK)
    assert [r.sample for r in records] == ["squares-00", "squares-01", "away"]
    again, _ = measured("fbp", rules=QUICK, done=records[:1])
    assert [r.key for r in again] == [r.key for r in records[1:]]


def test_a_task_without_foreign_images_does_not_apply():
    with pytest.raises(NotApplicable, match="no images of another origin"):
        measured("fbp", TOY)


def test_a_change_of_the_scans_is_another_measurement():
    assert MEASUREMENT.protocol.scans == foreign.files_hash()
    protocol = dataclasses.replace(MEASUREMENT.protocol, scans="0" * 16)
    assert dataclasses.replace(MEASUREMENT, protocol=protocol).hash != MEASUREMENT.hash


PSNRS = {  # by image, a single one of b
    "tv-isotropic": {"head-a-00": 30.0, "head-a-01": 32.0, "neck-00": 28.0},
    "tv-anisotropic": {"head-a-00": 35.0, "head-a-01": 35.0, "neck-00": 35.0},  # better here, worse at home
    "cgls": {"head-a-00": 31.0, "head-a-01": 31.0, "neck-00": 23.0},
    "fbp": {"head-a-00": 20.0, "neck-00": 21.0},
}
TASK_NAME = "ct-ellipses-30"


def of(root, name, psnrs, started="2026-01-01T00:00:00Z"):
    made = make_cell(TASK_NAME, 2, name, "accuracy")
    kind = json.loads(json.dumps({"metrics": [dataclasses.asdict(metric) for metric in MEASUREMENT.metrics]}))
    kind |= {"version": 1, "hash": "0" * 16, "title": MEASUREMENT.title}
    kind |= {"traits": {**TRAITS, "hidden": list(MEASUREMENT.hidden)}}
    records = [record(sample, {"foreign_psnr": value, "foreign_ssim": 0.9}) for sample, value in psnrs.items()]
    records.append(record("lodopab", note="not measured: LoDoPaB-CT is to be had from Zenodo"))
    made = dataclasses.replace(made, kind="transfer", measurement=kind, records=records, images={})
    made = dataclasses.replace(made, provenance={**made.provenance, "started": started})
    if name == "cgls":
        weights = {f"{TASK_NAME}/cgls": "0" * 64}
        made = dataclasses.replace(made, method={**made.method, "weights": weights})
    if name == "fbp":
        records.append(record("head-a-01", error="RuntimeError: lost & gone"))
        made = dataclasses.replace(made, status="partial", reason="1 of 4 failed: RuntimeError: lost & gone")
    file = f"{made.stem}-foreign.webp"
    return dataclasses.replace(made, images={"foreign": picture(made.folder(root) / file, "head-a-00, 30 dB", 32, 1)})


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Results at home of a few methods, the worse TV first, and on scans; cgls plays the network."""
    root = tmp_path_factory.mktemp("tree") / "results"
    write_tree(root, tasks=[TASK_NAME], methods=["tv-anisotropic", "tv-isotropic", "cgls", "fbp"], images=4)
    for name, psnrs in PSNRS.items():
        write(of(root, name, psnrs), root)
    home = make_cell(TASK_NAME, 2, "tv-isotropic", "accuracy")
    better = [record(f"test-{i:04d}", {"psnr": 40.0}) for i in range(4)]
    write(
        dataclasses.replace(home, records=better, provenance={**home.provenance, "started": "2026-02-01T00:00:00Z"}),
        root,
    )
    return root


def test_gains_are_differences_of_two_results_to_the_tv_that_is_best_at_home(tree):
    found = board(load(tree)[0], TASK_NAME)
    assert transfer.rival(found) == "tv-isotropic" and check(tree) == []
    rows = {row.result.method["name"]: row for row in transfer.rows(found)}
    assert list(rows) == ["tv-anisotropic", "tv-isotropic", "cgls", "fbp"]
    mine, theirs = PSNRS["cgls"], PSNRS["tv-isotropic"]
    gains = {sample: mine[sample] - theirs[sample] for sample in mine}
    assert rows["cgls"].total.gain.value == pytest.approx(np.mean([*gains.values()]))
    assert rows["cgls"].total.gain.value == pytest.approx(
        rows["cgls"].total.psnr.value - rows["tv-isotropic"].total.psnr.value
    )
    assert rows["cgls"].groups["head-a"].gain.value == pytest.approx(0) and rows["cgls"].groups["head-a"].count == 2
    assert rows["cgls"].groups["neck"].gain.value == gains["neck-00"]
    assert rows["fbp"].total.gain.value == pytest.approx(-8.5)  # over the two that it has
    assert rows["tv-isotropic"].drop == pytest.approx(40 - 30) and rows["tv-isotropic"].home_gain == 0
    assert {name: row.behind for name, row in rows.items()} == {name: name == "cgls" for name in rows}
    assert transfer.kept(rows.values()) == transfer.Kept(networks=1, everywhere=0, on_people=0, on_all=0)
    clear = transfer.Part(rows["cgls"].total.psnr, Interval(1.0, 0.5, 1.5), 3)
    better = dataclasses.replace(rows["cgls"], total=clear, groups={"neck": clear})
    assert transfer.kept([better, rows["cgls"]]) == transfer.Kept(networks=2, everywhere=1, on_people=0, on_all=1)
    better = dataclasses.replace(better, people=clear)
    assert transfer.kept([better, rows["cgls"]]) == transfer.Kept(networks=2, everywhere=1, on_people=1, on_all=1)
    shown = {**better.result.method, "name": "unet-scan-alone"}
    contrast = dataclasses.replace(better, result=dataclasses.replace(better.result, method=shown))
    named = dataclasses.replace(contrast, result=dataclasses.replace(better.result, method={**shown, "name": "unet"}))
    partial = dataclasses.replace(better, result=dataclasses.replace(better.result, status="partial"))
    unknown = dataclasses.replace(better, groups={"lodopab": dataclasses.replace(clear, gain=Interval(*3 * [np.nan]))})
    assert transfer.contrasts([contrast, named]) == [named, contrast] and transfer.contrasts([contrast]) == []
    assert transfer.kept([contrast, partial, unknown]) == transfer.Kept(
        networks=1, everywhere=1, on_people=1, on_all=1, left_out=1
    )
    lent = {**better.result.method, "weights": {"ct-head-50/unet": "0"}}
    borrowed = dataclasses.replace(better, result=dataclasses.replace(better.result, method=lent))
    assert transfer.kept([borrowed, unknown]) == transfer.Kept(
        networks=1, everywhere=1, on_people=1, on_all=1, left_out=1
    )


def test_phantoms_are_no_people(tree, tmp_path):
    root = tmp_path / "results"
    shutil.copytree(tree, root)
    write(of(root, "tikhonov", {**PSNRS["cgls"], "shepp-logan-00": 60.0}), root)
    write(of(root, "tv-isotropic", {**PSNRS["tv-isotropic"], "shepp-logan-00": 40.0}, "2026-03-01T00:00:00Z"), root)
    found = board(load(root)[0], TASK_NAME)
    row = next(row for row in transfer.rows(found) if row.result.method["name"] == "tikhonov")
    assert row.total.count == 4 and row.people.count == 2 and not row.behind and not row.behind_on_people
    assert row.total.gain.value == pytest.approx((20 - 5) / 4) and row.people.gain.value == pytest.approx(-2.5)
    assert front.carried_over(found, "tikhonov") == "27.00 dB on 2 people, 2.50 dB below total variation (TV)"
    learned = dataclasses.replace(
        row, result=dataclasses.replace(row.result, method={**row.result.method, "weights": 1})
    )
    assert page.behind(learned) == "behind TV on people" and page.behind(row) == ""
    lower = dataclasses.replace(learned, total=learned.people)
    assert page.behind(lower) == "behind TV"
    assert page.behind(dataclasses.replace(lower, people=learned.total)) == "behind TV with phantoms"


def test_a_person_counts_once_however_many_slices_there_are(tree):
    rows = {row.result.method["name"]: row for row in transfer.rows(board(load(tree)[0], TASK_NAME))}
    assert rows["cgls"].people.gain.value == pytest.approx(((31 - 31) + (23 - 28)) / 2)
    assert rows["cgls"].people.psnr.value == pytest.approx((31 + 23) / 2) and rows["cgls"].people.count == 2
    assert rows["cgls"].ssim.value == pytest.approx(0.9)
    assert rows["fbp"].people.gain.value == pytest.approx(((20 - 30) + (21 - 28)) / 2)  # where it failed nobody counts


def test_the_scans_are_a_column_of_the_board_and_an_absent_group_is_no_remark(tree):
    found = board(load(tree)[0], TASK_NAME)
    row = found.frame.set_index("method").loc["cgls"]
    assert row["foreign_psnr"] == pytest.approx(np.mean([*PSNRS["cgls"].values()]))
    assert "foreign_psnr" not in found.hidden and "foreign_ssim" in found.hidden
    assert "LoDoPaB" not in row["notes"] and list(transfer.absent(found)) == ["lodopab"]


def test_the_page_marks_networks_behind_tv_and_shows_scans_and_reasons(tree, tmp_path):
    out = render(tree, tmp_path / "site").parent
    text = html.unescape((out / "transfer.html").read_text())
    marked = [part.split("</tr>")[0] for part in text.split('class="behind"')[1:]]
    assert len(marked) == 1 and 'method/cgls.html"' in marked[0] and ">behind TV<" in marked[0]
    assert "−1.67" in marked[0] and "gains are over Tv isotropic" in text
    assert "Of 1 network measured, 0 are at or above Tv isotropic in the mean of every group of images below" in text
    assert "and 0 are at least 1 dB above it" in text
    assert "lost & gone" in text and "LoDoPaB-CT is to be had from Zenodo" in text
    assert "Head of another person" in text and text.count("head-a-00, 30 dB") >= 2
    for scan in foreign.CT + foreign.MRI:
        assert scan.source in text and scan.licence in text
    assert 'href="transfer.html"' in (out / "index.html").read_text()


def test_the_page_names_ranked_methods_that_are_not_measured_yet(tree, tmp_path):
    root = tmp_path / "results"
    shutil.copytree(tree, root)
    write(make_cell(TASK_NAME, 2, "landweber", "accuracy"), root)
    found = board(load(root)[0], TASK_NAME)
    ranked = int(found.frame["rank"].notna().sum())
    left = unmeasured(found, "transfer")
    assert left == {"titles": ["Landweber"], "ranked": ranked, "of": "ranked methods"}
    assert unmeasured(found, "transfer", trained=True) == {"titles": [], "ranked": 0, "of": "trained methods"}
    text = (render(root, tmp_path / "site").parent / "transfer.html").read_text()
    assert f"not measured yet: 1 of {ranked} ranked methods</summary><p>Landweber.</p>" in text


def test_the_front_page_says_what_a_leader_keeps_or_that_it_was_not_measured(tree):
    found = board(load(tree)[0], TASK_NAME)
    text, home = front.carried_over(found, "cgls"), 40 - found.frame.set_index("method").loc["cgls", "psnr"]
    there = "27.00 dB on 2 people, 2.50 dB below total variation (TV)"
    assert text == f"{there}; on the task’s own images {home:.2f} dB below it"
    assert front.carried_over(found, "tv-isotropic") == "29.50 dB on 2 people"  # what others are compared with
    assert [part["text"] for part in front.kept(found, "cgls")] == [text, "not measured yet"]
    two = [{"title": name, "parts": front.kept(found, name)} for name in ("cgls", "tv-isotropic")]
    assert front.once(two) == two and front.once([two[0], two[0]]) == two[:1] and front.once([]) == []


def test_without_results_the_page_says_how_to_make_them(tmp_path):
    write_tree(tmp_path / "results", tasks=[TASK_NAME], methods=["fbp"], images=2)
    out = render(tmp_path / "results", tmp_path / "site").parent
    assert "recon-bench run --measurements transfer" in (out / "transfer.html").read_text()
