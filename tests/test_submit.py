"""From results to a pull request: what is missing, cards and tracks, reproduction, and who vouches for a row."""

import dataclasses
import json
import shutil
import tomllib

import pytest

from recon_bench import identity, registry, templates
from recon_bench.cli.main import main
from recon_bench.results import load, marks, write
from recon_bench.results.check import check
from recon_bench.rules import FULL, QUICK
from recon_bench.run import runner, task_cards
from recon_bench.storage import REPOSITORY
from recon_bench.submission import card as cards
from recon_bench.submission import gather
from recon_bench.submission.reproduce import compared
from tests.helpers_results import make_cell

TASK = "ct-shepp-logan-30"


@pytest.fixture
def method(tmp_path, monkeypatch):
    """A method in a file of its own, on a suite of two tasks."""
    monkeypatch.chdir(tmp_path)
    suite = {name: registry.task(name) for name in (TASK, "mri-brain-4x")}
    monkeypatch.setattr(registry, "tasks", lambda: suite)
    (tmp_path / "my_method.py").write_text(templates.text("iterative"))
    return registry.method("my_method.py")


def measured(method, root, task, kind, status="ok", reason=None, **facts):
    """A result as `recon-bench run` would write it, with made-up values."""
    known, made = registry.task(task), make_cell(task, 1, method.name, kind, images=100)
    settings = {"iterations": 20 if facts.get("tuned") else 50}
    header = {"hash": identity.of_file(tmp := _file(method)), "file": tmp.name, "settings": settings, "tuned": []}
    registered = registry.measurement(kind)
    made = dataclasses.replace(
        made,
        task={"name": task, "version": known.version, "hash": known.hash},
        method=made.method | {"name": method.name, "depth": None} | header | facts,
        measurement=made.measurement | {"hash": registered.hash, "version": registered.version},
        status=status,
        reason=reason,
        records=[] if status == "not-applicable" else made.records,
    )
    task_cards.write(known, root)
    return write(made, root)


def _file(method):
    return cards.path(method).with_name("my_method.py")


def filled(method, **changes):
    """Its card, as somebody would fill it in."""
    text = templates.text("card", method.name).replace("= false", "= true")
    given = {"authors = []": 'authors = ["A. Author"]', 'licence = ""': 'licence = "MIT"', **changes}
    given['hardware = ""'] = 'hardware = "a laptop"'
    for old, new in given.items():
        text = text.replace(old, new)
    cards.path(method).write_text(text)


def test_half_a_suite_is_refused_with_what_to_do(method, tmp_path, capsys):
    root = tmp_path / "results"
    measured(method, root, TASK, "accuracy")
    assert main(["submit", "my_method.py"]) == 1
    said = capsys.readouterr().out
    assert "no card" in said and cards.path(method).is_file() and not (tmp_path / "build").exists()
    assert f"{TASK}: tuning, pictures, runtime" in said and "mri-brain-4x: tuning, accuracy, pictures, runtime" in said
    assert f"recon-bench run --methods my_method.py --tasks {TASK} mri-brain-4x --measurements tuning accuracy" in said
    assert main(["submit", "my_method.py"]) == 1
    said = capsys.readouterr().out
    for field in ("authors", "licence", "hardware", "declared.no_test_data"):
        assert f"{method.name}.toml: {field}: " in said


def test_a_whole_suite_is_gathered_as_the_repository_is_laid_out(method, tmp_path, capsys):
    root = tmp_path / "results"
    for kind in gather.SUITE:
        measured(method, root, TASK, kind, tuned=["iterations"])
    measured(method, root, "mri-brain-4x", "accuracy", "not-applicable", "it needs views")
    filled(method)
    assert main(["submit", "my_method.py"]) == 0, capsys.readouterr().out
    out = tmp_path / "build" / "submit" / method.name
    assert (out / "baselines" / "my_method.py").read_text() == templates.text("iterative")
    assert tomllib.loads((out / "baselines" / "cards" / "my-method.toml").read_text())["licence"] == "MIT"
    assert len(list((out / "results" / TASK / method.name).glob("*.json"))) == len(gather.SUITE)
    assert main(["submit", "my_method.py"]) == 2  # nothing is overwritten
    capsys.readouterr()
    assert main(["show", "my_method.py", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["submission"]["authors"] == ["A. Author"]


def test_results_of_other_code_or_quick_rules_do_not_count(method, tmp_path):
    root = tmp_path / "results"
    measured(method, root, TASK, "accuracy")
    [result], _ = load(root)
    assert gather.own(method, [result]) == [result]
    quick = dataclasses.replace(result, rules=result.rules | {"hash": QUICK.hash})
    assert gather.own(method, [quick]) == [] and result.rules["hash"] == FULL.hash
    _file(method).write_text(templates.text("iterative").replace("int = 50", "int = 60"))
    assert gather.own(method, [result]) == []


def test_a_network_applies_where_it_only_lacks_training(method, tmp_path):
    root = tmp_path / "results"
    measured(method, root, TASK, "accuracy", "not-applicable", "no weights for this task: recon-bench train")
    network = dataclasses.replace(method, network=lambda problem, settings: None)
    lacks = gather.missing(network, load(root)[0])
    assert str(lacks[0]) == f"{TASK}: weights"
    assert gather.commands("mine.py", lacks, root)[0].startswith(f"recon-bench train mine.py --task {TASK}")
    assert [lack.task for lack in gather.missing(method, load(root)[0])] == ["mri-brain-4x"]


def test_the_track_is_compared_with_what_was_measured(method, tmp_path):
    for name, facts in (("by-hand", {"settings": {"iterations": 7}}), ("tuned", {"tuned": ["iterations"]})):
        measured(method, tmp_path / name, TASK, "accuracy", **facts)
    by_hand, tuned = (load(tmp_path / name)[0] for name in ("by-hand", "tuned"))
    assert "set by hand" in cards.against_track("fixed-budget", method, by_hand)[0]
    assert "tuned" in cards.against_track("default", method, tuned)[0]
    assert (
        cards.against_track("free", method, by_hand + tuned) == cards.against_track("fixed-budget", method, tuned) == []
    )


def test_a_card_says_what_is_wrong_with_it(method):
    filled(method)
    assert cards.problems(cards.path(method), method)[1] == []
    for change, told in (
        ({'"fixed-budget"': '"free"'}, "tuning: "),
        ({'"fixed-budget"': '"best"'}, "track: 'best' is not one of"),
        ({"pretrained = []": 'pretrained = [{source = "a zoo"}]'}, "'licence' is a required property"),
        ({'method = "my-method"': 'method = "other"'}, "is of the method other"),
        ({"[declared]": "[declared"}, "cannot be read"),
    ):
        filled(method, **change)
        assert told in cards.problems(cards.path(method), method)[1][0]


def test_every_committed_card_is_valid():
    folder = REPOSITORY / "baselines" / "cards"
    for file in folder.glob("*.toml"):
        assert cards.problems(file, registry.method(file.stem))[1] == []


@pytest.fixture(scope="module")
def landweber(tmp_path_factory):
    """A result that was just measured."""
    root = tmp_path_factory.mktemp("results")
    runner.run([TASK], ["landweber"], ["accuracy"], dataclasses.replace(QUICK, cell_minutes=20.0), root)
    return root


def test_a_result_holds_and_its_row_says_so(landweber, tmp_path, capsys):
    root = shutil.copytree(landweber, tmp_path / "copy")
    [result], _ = load(root)
    assert result.mark == marks.REPORTED
    assert main(["reproduce", str(result.path), "--note"]) == 0
    assert "It holds" in capsys.readouterr().out
    [again], _ = load(root)
    assert again.mark == marks.REPRODUCED and again == result and check(root) == []
    assert main(["board", "--results", str(root), "--rules", "quick", "--alone", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["rows"][0]["mark"] == marks.REPRODUCED


def test_a_result_that_was_made_up_does_not_hold(landweber, tmp_path, capsys):
    root = shutil.copytree(landweber, tmp_path / "copy")
    [result], _ = load(root)
    better = [{**r, "values": r["values"] | {"psnr": r["values"]["psnr"] + 0.02}} for r in result.records]
    result.path.unlink()
    path = write(dataclasses.replace(result, records=better), root)
    assert main(["reproduce", str(path), "--note", "--threads", "1"]) == 1
    said = capsys.readouterr().out
    assert "psnr of test-0000: was " in said and "It does not hold: 2 of" in said
    assert load(root)[0][0].mark == marks.REPORTED


def test_a_result_of_other_code_is_not_compared(landweber, tmp_path, capsys):
    root = shutil.copytree(landweber, tmp_path / "copy")
    [result], _ = load(root)
    result.path.unlink()
    path = write(dataclasses.replace(result, method=result.method | {"hash": "0" * 16}), root)
    assert main(["reproduce", str(path)]) == 2
    assert "other code or weights, at commit" in capsys.readouterr().err


def test_times_are_compared_by_interval_and_on_one_machine():
    first = make_cell(TASK, 1, "fbp", "runtime")
    slower = [{**r, "values": {name: 2 * value for name, value in r["values"].items()}} for r in first.records]
    other = {**first.provenance, "machine": first.provenance["machine"] | {"id": "1" * 16}}
    assert compared(first, first).holds
    held = compared(first, dataclasses.replace(first, records=slower))
    assert not held.holds and any("intervals are apart" in text for text in held.broken)
    elsewhere = compared(first, dataclasses.replace(first, provenance=other, records=slower))
    assert all("another machine" in text for text in elsewhere.skipped) and elsewhere.skipped


def test_marks_are_data_beside_the_results(landweber, tmp_path):
    root = shutil.copytree(landweber, tmp_path / "copy")
    (root / marks.METHODS).write_text('["landweber"]')
    assert load(root)[0][0].mark == marks.REFERENCE and check(root) == []
    (root / marks.METHODS).write_text('{"landweber": 1}')
    assert "expected a JSON list" in check(root)[0]
    (root / marks.METHODS).unlink()
    for name in ("a", "b"):
        marks.append(marks.Reproduction(f"{TASK}/landweber/{name}.json", "0" * 64, 4), root)
    lines = (root / marks.NAME).read_text().splitlines(keepends=True)
    (root / marks.NAME).write_text(lines[0].replace("0000", "1000") + lines[1])
    assert any("was changed" in text for text in check(root))


def test_every_committed_row_is_of_this_project_or_has_a_card():
    known = json.loads((REPOSITORY / "results" / marks.METHODS).read_text())
    measured = {folder.name for folder in (REPOSITORY / "results").glob("[!.]*/*/")}
    submitted = {name for name in measured if cards.path(registry.method(name)).exists()}
    assert known == sorted(set(known)) and measured == {*known} | submitted and not {*known} & submitted
