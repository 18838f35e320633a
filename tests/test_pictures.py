"""Pictures: the same three images of every method, and what the site makes of their grey panels."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recon_bench import registry
from recon_bench.core import Method, NotApplicable
from recon_bench.measurement import Cell
from recon_bench.measurements import accuracy
from recon_bench.measurements import pictures as measurement
from recon_bench.results import latest, load, parse, to_result, write, write_card
from recon_bench.results.check import check
from recon_bench.rules import FULL, QUICK
from recon_bench.run import task_cards
from recon_bench.run.runner import SHIPPED
from recon_bench.scoring import pictures
from recon_bench.scoring.answers import Reconstruction
from recon_bench.site import pictures as made
from recon_bench.site.render import render
from recon_bench.tables import export
from recon_bench.tables.board import board, raw
from recon_bench.tables.columns import scalars
from tests.helpers_results import METHODS, PICTURED, TROUBLE, make_cell, write_tree
from tests.helpers_results import picture as stored

TASK = "ct-ellipses-30"


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "results", tasks=[TASK])


def half(problem, settings):
    """Half of what the data say, and not of the third image that it is given."""
    calls = []

    def reconstruct(y, A):
        calls.append(y)
        if len(calls) == 3:
            raise RuntimeError("no more")
        return A.adjoint(y) / 2

    return reconstruct


def cell(build, rules=FULL) -> Cell:
    method = Method("half", "Half", "direct", "", "", build, None)
    return Cell(registry.task(TASK), method, None, rules, torch.device("cpu"))


def run(build, rules=FULL, done=()):
    saved = {}
    known = {record.key: record for record in done}
    records = list(measurement.measure(cell(build, rules), known, lambda name, pixels, _: saved.update({name: pixels})))
    return records, saved


def shipped() -> list[str]:
    return sorted(path.name for path in SHIPPED.iterdir() if (path / "fbp").is_dir())


@pytest.mark.parametrize("name", shipped())
def test_pictured_images_are_at_the_percentiles_of_the_simplest_method(name):
    simplest = "zero-filled" if name.startswith("mri") else "fbp"
    paths = (SHIPPED / name / simplest).glob("accuracy-*.json")
    found = [to_result(parse(path), path) for path in paths]
    [result] = [r for r in latest(found) if (r.kind, r.rules["name"]) == ("accuracy", "full")]
    ranked = sorted((psnr, int(sample.removeprefix("test-"))) for sample, psnr in scalars(result, "psnr").items())
    expected = [ranked[round(share * (len(ranked) - 1))][1] for share in (0.1, 0.5, 0.9)]
    task = registry.task(name)
    shown = [index for index in task.pictured if index < task.sizes["test"]]
    assert shown == list(dict.fromkeys(expected))


def test_the_images_are_those_of_the_task_and_a_panel_is_the_grey_reconstruction():
    records, saved = run(half)
    task = registry.task(TASK)
    names = [f"test-{index:04d}" for index in task.pictured]
    assert [record.sample for record in records] == names and list(saved) == names[:2]
    assert records[2].error.startswith("RuntimeError: no more at ") and not records[2].at
    sample, A = task.observe("test", task.pictured[0]), task.problem().operator
    x = A.adjoint(sample.data[None])[0] / 2
    assert np.array_equal(saved[names[0]], pictures.grey(x, task.display))
    [scored] = [accuracy._score(task, A, names[0], sample, Reconstruction(x=x), 0)]
    assert records[0].values["psnr"] == pytest.approx(scored.values["psnr"], abs=1e-9)


def test_fewer_images_are_shown_where_the_rules_score_fewer():
    assert len(run(half, QUICK)[1]) == QUICK.images
    assert pictures.chosen(dataclasses.replace(registry.task(TASK), sizes={"test": 40})) == [36, 24]


def test_an_interrupted_run_makes_all_pictures_but_no_record_twice():
    records, saved = run(half)
    again, anew = run(half, done=records[:1])
    assert [r.key for r in again] == [r.key for r in records[1:]] and list(anew) == list(saved)


def test_a_method_that_does_not_apply_says_so():
    def build(problem, settings):
        raise NotApplicable("shy")

    with pytest.raises(NotApplicable, match="shy"):
        run(build)


def test_which_images_are_pictured_is_no_part_of_the_task():
    task = registry.task(TASK)
    assert dataclasses.replace(task, pictured=(5,)).hash == task.hash


def test_the_truth_is_stored_once_beside_the_card_and_an_old_card_gets_it(tmp_path):
    task = registry.task(TASK)
    path = task_cards.write(task, tmp_path)
    card = parse(path)
    names = [pictures.name(index) for index in task.pictured]
    assert list(card["images"]) == ["truth", "data", *names, "foreign"]
    with Image.open(path.parent / card["images"][names[0]]["file"]) as image:
        truth = pictures.grey(task.observe("test", task.pictured[0]).truth, task.display)
        assert np.array_equal(np.asarray(image.convert("RGB")), truth)
    old = {name: value for name, value in card.items() if name != "seal"}
    few = {name: card["images"][name] for name in ("truth", "data")}
    write_card(old | {"images": few, "description": "as it was"}, tmp_path)
    task_cards.write(task, tmp_path)
    assert parse(path) == card  # what it is called and described as does not define it, and follows the code
    assert check(tmp_path) == []


def test_pictures_are_neither_columns_nor_runs_nor_notes_of_a_board(tree):
    found = load(tree)[0]
    without = [result for result in found if result.kind != "pictures"]
    one, other = board(found, TASK), board(without, TASK)
    assert len(without) < len(found) and json.dumps(export.board_data(one)) == json.dumps(export.board_data(other))
    assert raw(found, TASK, "pictures").empty


def test_the_gallery_has_the_truth_and_every_method_for_each_image(tree):
    out = render(tree, tree.parent / "site").parent
    text = (out / "gallery" / f"{TASK}.html").read_text()
    shown = len(METHODS) - len(TROUBLE) + 1  # the one of which some other images failed has pictures
    assert text.count('<figure class="strip') == PICTURED * (shown + 1)
    assert text.count("truth</b>") + text.count("<b>Truth") == PICTURED
    for method, (status, reason) in TROUBLE.items():
        assert (reason in text) == (status not in ("partial",)), method
    assert "8 bits" in text and "with loss" in text


def panel(folder: Path, values: np.ndarray, name: str) -> made.Panel:
    path = folder / f"{name}.png"
    Image.fromarray(values.astype(np.uint8)).save(path)
    return made.Panel(path, name, values.shape[::-1])


def test_an_error_map_is_white_red_and_blue_at_its_window(tmp_path):
    truth = panel(tmp_path, np.full((30, 40), 100), "truth")
    seen = {}
    for step in (0, 51, 90, -51, 25):
        x = panel(tmp_path, np.full((30, 40), 100 + step), "x")
        with Image.open(io.BytesIO(made.error_map(truth, x, (0, 1), (-0.2, 0.2)))) as image:
            assert image.size == (40, 30)
            seen[step] = np.asarray(image.convert("RGB")).mean((0, 1))
    assert seen[0] == pytest.approx(255, abs=2)
    assert seen[51] == pytest.approx(made.POSITIVE, abs=4) and seen[90] == pytest.approx(seen[51], abs=2)
    assert seen[-51] == pytest.approx(made.NEGATIVE, abs=4)
    assert seen[25] == pytest.approx((made.POSITIVE + 255) / 2, abs=6)


def test_the_detail_is_where_the_edges_are(tmp_path):
    image = np.zeros((40, 64))
    image[21:29:2, 33:41:2] = 60
    left, top, right, bottom = made.detail(panel(tmp_path, image, "t"))
    assert (right - left, bottom - top) == (10, 10)
    assert left <= 33 and right >= 40 and top <= 21 and bottom >= 28
    flat = panel(tmp_path, np.zeros((3, 3)), "f")
    assert made.detail(flat) == (0, 0, 1, 1)


def test_pictures_that_are_altered_missing_or_of_another_size_are_left_out(tree):
    folder = tree / TASK / "fbp"
    first, second, third = sorted(folder.glob("pictures-*.webp"))[-PICTURED:]
    first.write_bytes(second.read_bytes())
    second.unlink()
    found = [r for r in load(tree)[0] if r.kind == "pictures" and r.method["name"] == "fbp" and r.task["version"] == 2]
    wide = stored(third, "wide", 40, 0)
    [result] = found
    (folder / f"{result.stem}.json").unlink()
    write(dataclasses.replace(result, images=result.images | {"test-0002": wide}), tree)
    assert len(check(tree)) == 2
    text = (render(tree, tree.parent / "site").parent / "gallery" / f"{TASK}.html").read_text()
    assert ": Fbp" not in text and text.count(': Cgls"') == PICTURED


def test_a_task_without_truths_has_a_gallery_that_says_what_to_do(tree):
    for path in (tree / TASK).glob("task-*-test-*.webp"):
        path.unlink()
    text = (render(tree, tree.parent / "site").parent / "gallery" / f"{TASK}.html").read_text()
    assert "There are no pictures yet" in text


def test_pictures_without_any_other_result_are_no_board_and_no_crash(tmp_path):
    write(make_cell(TASK, 1, "fbp", "pictures"), tmp_path / "results")
    assert "no results yet" in render(tmp_path / "results", tmp_path / "site").read_text()


def test_what_the_old_site_has_is_not_made_again(tree, monkeypatch):
    out = render(tree, tree.parent / "site").parent
    before = {path.name: path.read_bytes() for path in (out / "pictures").iterdir()}

    def again(*_):
        raise AssertionError("made again")

    monkeypatch.setattr(made, "error_map", again)
    monkeypatch.setattr(made, "crop", again)
    render(tree, out)
    assert {path.name: path.read_bytes() for path in (out / "pictures").iterdir()} == before and before


def test_the_same_picture_of_two_windows_has_two_names():
    names = {made.name("error", ".webp", "a", "b", (0, 1), window) for window in ((-0.1, 0.1), (-0.2, 0.2))}
    assert len(names) == 2


def test_stored_cells_have_pictures_only_where_there_is_something_to_see(tree):
    status = {r.method["name"]: (r.status, len(r.images)) for r in load(tree)[0] if r.kind == "pictures"}
    assert status["fbp"] == ("ok", PICTURED) and status["tsvd"] == ("not-applicable", 0)
