"""The track of a row, on boards and on the site, and the page of cards."""

import dataclasses
import html
import json
import re

import pytest

from recon_bench.cli.main import main
from recon_bench.results import load, write
from recon_bench.results.check import check
from recon_bench.results.declared import BUDGET, DEFAULT, FREE
from recon_bench.site.render import render
from recon_bench.tables.board import board
from tests.helpers_results import CARD, make_cell, write_task_card

TASK = "ct-ellipses-30"
COMMAND = f"recon-bench run --tasks {TASK} --methods"
TRAINING = {
    "command": "recon-bench train unet --task ct-ellipses-30 --minutes 5",
    "task": TASK,
    "samples": 1234,
    "seconds": 300.0,
    "data": "phantoms",
    "device": "cpu",
    "machine": {"cpu": "Example CPU 3000", "gpu": None},
    "start": {"name": "ct-head-50/unet", "samples": 99, "seconds": 60.0, "sha256": "0" * 64},
}
PART = {"recipe": {"batch": 4, "steps": 0}, "steps": 9, "peak_bytes": 0, "best": {"psnr": 30.0, "step": 9}}
PART |= {"finished": True, "seed": 0, "parameters": 7, "bits": 8, "rounding_change_db": 0.0, "threads": 1}
PART |= {"precision": "float32", "commit": "0" * 40, "clean": True}


@pytest.fixture
def root(tmp_path):
    """Four rows: tuned, as it comes, set by hand, and declared free; the second was trained and is the project's."""
    folder = tmp_path / "results"
    write_task_card(folder, TASK)
    (tmp_path / "baselines" / "cards").mkdir(parents=True)
    declare(folder, "landweber", FREE)
    put(folder, "fbp", {"tuned": ["weight"]})
    put(folder, "unet", {"tuned": [], "weights": {f"{TASK}/unet": "0" * 64}, "training": TRAINING | PART})
    put(folder, "cgls", {"tuned": []}, f"{COMMAND} cgls --set cgls.iterations=7")
    put(folder, "landweber", {"tuned": ["weight"]})
    put(folder, "tsvd", {"tuned": []})  # not applicable
    (folder / "reference.json").write_text('["unet"]')
    return folder


def declare(folder, name, track):
    file = folder.parent / "baselines" / "cards" / f"{name}.toml"
    file.write_text(CARD.format(name=name, track=track))
    return file


def put(folder, name, header, command=COMMAND):
    made = make_cell(TASK, 1, name, "accuracy")
    write(
        dataclasses.replace(made, method=made.method | header, provenance=made.provenance | {"command": command}),
        folder,
    )


def tracks(folder, **chosen):
    frame = board(load(folder)[0], TASK, **chosen).frame
    return dict(zip(frame["method"], frame["track"]))


def section(site, name):
    """The text of one card."""
    whole = (site / "cards.html").read_text()
    part = whole[whole.index(f'<section aria-labelledby="{name}">') :].split("</section>")[0]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", part)))


def test_a_row_is_on_the_track_that_was_measured_or_declared(root):
    assert tracks(root) == {"fbp": BUDGET, "unet": DEFAULT, "cgls": FREE, "landweber": FREE, "tsvd": ""}
    declare(root, "fbp", DEFAULT)  # what was measured counts: it was tuned
    assert tracks(root)["fbp"] == BUDGET


@pytest.mark.parametrize("option", ["--set ", "--set=", "--set '", "--se "])  # argparse takes the last one, too
def test_an_option_sets_by_hand_however_it_is_written(root, option):
    put(root, "tikhonov", {"tuned": []}, f"{COMMAND} tikhonov {option}tikhonov.weight=7")
    assert tracks(root)["tikhonov"] == FREE


def test_another_method_that_was_set_by_hand_changes_no_track(root):
    put(root, "tikhonov", {"tuned": []}, f"{COMMAND} tikhonov cgls --set cgls.iterations=7")
    assert tracks(root)["tikhonov"] == DEFAULT


def test_one_track_is_ranked_among_itself(root, capsys):
    results = load(root)[0]
    whole, free = board(results, TASK).frame, board(results, TASK, track=FREE).frame
    order = [name for name in whole["method"] if name in ("cgls", "landweber")]
    assert list(free["method"]) == order and list(free["rank"]) == [1, 2]
    assert whole.set_index("method").loc[order, "psnr"].tolist() == free["psnr"].tolist()
    asked = ["board", TASK, "--results", str(root), "--alone", "--json", "--track"]
    assert main([*asked, DEFAULT]) == 0
    assert [row["method"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["unet"]


def test_a_track_without_rows_is_said(root, capsys):
    for file in (root / TASK / "unet").glob("*.json"):
        file.unlink()
    assert main(["board", TASK, "--results", str(root), "--alone", "--track", DEFAULT]) == 2
    assert f"no row of {TASK} is on the track default" in capsys.readouterr().err


def test_a_board_prints_the_track(root, capsys):
    assert main(["board", TASK, "--results", str(root), "--alone", "--columns", "psnr"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if " landweber " in line]
    assert FREE in line.split()


def test_a_card_that_is_wrong_is_found_and_counts_for_nothing(root):
    assert not [text for text in check(root) if "cards" in text]
    file = declare(root, "landweber", "best")
    assert [text for text in check(root) if f"{file}: track: 'best' is not one of" in text]
    assert tracks(root)["landweber"] == BUDGET
    declare(root, "landweber", FREE).rename(file.with_name("other.toml"))
    assert [text for text in check(root) if "rename it to landweber.toml" in text]
    assert tracks(root)["landweber"] == BUDGET


def test_the_site_shows_tracks_and_cards(root):
    site = render(root, root.parent / "site").parent
    page = (site / "board" / f"{TASK}.html").read_text()
    assert 'href="../cards.html#landweber">free' in page and "not equals" in page
    assert all(f'name="track" value="{name}"' in page for name in (DEFAULT, BUDGET, FREE))
    assert 'href="../cards.html#unet"' in (site / "method" / "unet.html").read_text()
    said = section(site, "landweber")
    for text in ("a@example.org", "BSD-3-Clause", "natural images (CC0), for a dictionary", "40 tries", "20 minutes"):
        assert text in said
    assert "Pretrained weights none" in said and "no test data" in said and "self-reported" in said


def test_the_card_of_a_method_of_the_project_says_how_it_was_trained(root):
    said = section(render(root, root.parent / "site").parent, "unet")
    assert "1,234" in said and "5.00 min on Example CPU 3000" in said and "reference" in said
    assert "Extra data random ellipses" in said and "those of other tasks here: ct-head-50/unet" in said
    assert "ct-head-50/unet, after 99 samples in 1.00 min" in said


def test_who_has_declared_nothing_is_said(root):
    said = section(render(root, root.parent / "site").parent, "cgls")
    assert "no card was submitted" in said and "MIT" not in said
