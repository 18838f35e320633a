import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from recon_bench.results import DiskFull, Result, ResultError, latest, load, unused, write
from recon_bench.results import files as store
from recon_bench.results.check import check
from tests.helpers_results import METHODS, make_cell, write_cell, write_task_card, write_tree

TASK = "ct-ellipses-30"
PROJECT = Path(__file__).resolve().parent.parent / "results"


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path / "results", tasks=(TASK,), methods=("fbp", "tv-isotropic", "kaczmarz"), images=4)


@pytest.fixture
def cell() -> Result:
    return make_cell(TASK, 1, "fbp", "runtime")


def accuracy_file(root: Path) -> Path:
    return max((root / TASK / "fbp").glob("accuracy-*.json"))


def scaled(values: dict, **factors: float) -> None:
    values.update({name: values[name] * factor for name, factor in factors.items()})


def resealed(path: Path, change) -> None:
    """Forge a file: change its content and seal it again, as `write` would without its checks."""
    data = json.loads(path.read_text())
    data.pop("seal")
    change(data)
    path.write_text(store._text(data))


def test_what_is_written_is_what_is_read(tmp_path, cell):
    path = write(cell, tmp_path)
    assert load(tmp_path) == ([cell], [])
    assert path == tmp_path / TASK / "fbp" / f"{cell.stem}.json"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_results_that_began_in_the_same_second_have_names_of_their_own(tmp_path, cell):
    write_task_card(tmp_path, TASK)
    for number in (1.0, 2.0, 3.0):
        again = dataclasses.replace(cell, records=[{**cell.records[0], "values": {"seconds": number}}])
        write(unused(again, tmp_path), tmp_path)
    found, _ = load(tmp_path)
    assert [result.records[0]["values"]["seconds"] for result in latest(found)] == [3.0]
    assert len(found) == 3 and check(tmp_path) == []


def test_a_stem_does_not_depend_on_what_was_measured(cell):
    later = dataclasses.replace(cell, records=[], images={}, status="failed", reason="no luck")
    other = dataclasses.replace(cell, provenance={**cell.provenance, "threads": 7})
    assert later.stem == cell.stem != other.stem


def test_load_gives_every_result_and_no_problem(root):
    found, problems = load(root)
    assert len(found) == 2 * 4 + 3 * 4  # the older version of the task has two methods
    assert problems == []
    assert all(result.path is not None for result in found)


def test_load_without_a_kind_opens_no_file_of_it(root):
    every = load(root)[0]
    twin = dataclasses.replace(every[0], provenance={**every[0].provenance, "number": 2})
    write(twin, root)  # the second of its second
    assert twin.kind == "accuracy" and {each.kind for each in every} > {"accuracy"}
    accuracy_file(root).write_text("damaged")
    found, problems = load(root, without={"accuracy"})
    assert problems == [] and found == [each for each in every if each.kind != "accuracy"] != []


def test_load_of_an_absent_folder_is_empty(tmp_path):
    assert load(tmp_path / "nothing") == ([], [])


def test_hidden_folders_hold_no_results(root):
    shutil.copytree(root / TASK / "fbp", root / ".partial" / "fbp")
    assert len(load(root)[0]) == 20
    assert check(root) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "not a whole JSON file"),
        (lambda text: "", "not a whole JSON file"),
        (lambda text: text.replace('"status": "ok"', '"status": "partial"'), "changed after it was written"),
        (lambda text: text.replace('"psnr": 2', '"psnr": 3', 1), "changed after it was written"),
        (lambda text: text.replace('"psnr": ', '"psnr": NaN, "x": ', 1), "NaN is not a number"),
        (lambda text: "[1, 2]", "ends with a seal"),
        (lambda text: text.replace("seal", "deal"), "ends with a seal"),
        (lambda text: "\x00\xff", "JSON"),
    ],
)
def test_a_damaged_file_is_named_and_the_others_are_loaded(root, damage, said):
    path = accuracy_file(root)
    path.write_text(damage(path.read_text()), encoding="latin-1")
    found, problems = load(root)
    assert len(found) == 19
    assert len(problems) == 1 and str(path) in problems[0] and said in problems[0]
    assert any(str(path) in problem for problem in check(root))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda data: data.update(status="great"), "$.status"),
        (lambda data: data["task"].update(version="two"), "$.task.version"),
        (lambda data: data["records"][0].update(values={"psnr": "high"}), "$.records[0].values.psnr"),
        (lambda data: data["provenance"].pop("machine"), "machine"),
        (lambda data: data["rules"].update(seeds="all"), "$.rules.seeds"),
        (lambda data: data.update(comment="hello"), "comment"),
    ],
)
def test_a_forged_file_is_told_by_its_field(root, change, field):
    path = accuracy_file(root)
    resealed(path, change)
    assert any(str(path) in problem and field in problem for problem in check(root))


def test_invalid_content_is_not_written(tmp_path, cell):
    for bad in (
        dataclasses.replace(cell, status="great"),
        dataclasses.replace(cell, records=[{**cell.records[0], "values": {"seconds": float("nan")}}]),
        dataclasses.replace(cell, records=[{**cell.records[0], "values": {"seconds": 1j}}]),
    ):
        with pytest.raises(ResultError, match="not written"):
            write(bad, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_nothing_is_overwritten(tmp_path, cell):
    path = write(cell, tmp_path)
    before = path.read_bytes()
    with pytest.raises(ResultError, match="never overwritten"):
        write(dataclasses.replace(cell, records=[]), tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch, cell, step):

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(DiskFull, match=r"No space left on device.*[Ff]ree some space") as error:
        write(cell, tmp_path)
    assert cell.stem in str(error.value)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_at_the_first_byte(tmp_path, monkeypatch, cell):
    monkeypatch.setattr("tempfile.mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "gone.tmp")))
    with pytest.raises(ResultError, match="No space left"):
        write(cell, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_a_file_in_the_way_of_the_folder(tmp_path, cell):
    (tmp_path / TASK).write_text("not a folder")
    with pytest.raises(ResultError, match="could not be written"):
        write(cell, tmp_path)


def test_latest_takes_the_newest_run_of_each_cell(tmp_path):
    write_tree(tmp_path, tasks=(TASK,), methods=METHODS[:3], images=2, repeats=3)
    found, _ = load(tmp_path)
    newest = latest(found)
    assert len(newest) * 3 == len(found)
    for result in newest:
        same = [r for r in found if (r.method, r.kind, r.task) == (result.method, result.kind, result.task)]
        assert result.provenance["started"] == max(r.provenance["started"] for r in same)
    assert {r.stem for r in latest(found[::-1])} == {r.stem for r in newest}


def test_cards_by_hash(root):
    found = store.cards(root)
    assert {card["version"] for card in found.values()} == {1, 2}
    assert all(card["name"] == TASK and hash == card["hash"] for hash, card in found.items())


def test_check_finds_nothing_wrong_with_a_sound_tree(root):
    assert check(root) == []


def test_check_finds_a_file_in_the_wrong_place(root):
    path = accuracy_file(root)
    path.rename(root / TASK / "tv-isotropic" / path.name)
    assert any("belongs to" in problem for problem in check(root))


def test_check_finds_pictures_that_are_changed_missing_or_of_nobody(root):
    folder = root / TASK / "fbp"
    changed, missing = sorted(folder.glob("pictures-*.webp"))[:2]
    changed.write_bytes(b"something else")
    missing.rename(folder / "orphan.webp")
    problems = "\n".join(check(root))
    assert f"{changed}: was changed" in problems
    assert f"should be {missing.name!r} beside it" in problems
    assert "orphan.webp: belongs to no result" in problems


def test_check_finds_a_result_without_its_card(root):
    next((root / TASK).glob("task-*.json")).unlink()
    assert any("add the card" in problem for problem in check(root))


def test_check_finds_a_copy(root):
    path = accuracy_file(root)
    copy = path.with_name(path.name.replace("accuracy-2", "accuracy-3"))
    shutil.copy(path, copy)
    problems = "\n".join(check(root))
    assert "repeats" in problems and str(copy) in problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data["records"][0]["values"].update(psnr=5000.0), "not plausible"),
        (lambda data: data["records"][0]["values"].update(ssim=1.5), "not plausible"),
        (lambda data: data["records"][0]["values"].update(nrmse=-0.1), "not plausible"),
        (lambda data: data["records"][0]["values"].update(beauty=1.0), "expected one of the metrics"),
        (lambda data: data["records"].append(data["records"][0]), "repeats the sample"),
        (lambda data: data["records"][0].update(error="NaN"), "have an error"),
        (lambda data: data["records"][0].update(values={}), "has no values"),
        (lambda data: data.update(records=[]), "there are no records"),
        (lambda data: data.update(status="failed"), "expected a reason"),
        (lambda data: data["method"].update(name="other"), "belongs to"),
        (lambda data: data["records"].pop(), "3 images; rules and task card ask for 4"),
        (lambda data: data["rules"].update(seeds=[0, 1]), "ask for 8"),
        (lambda data: data["rules"].update(cell_minutes=900.0), "their fields give"),
        (lambda data: data["records"][0]["values"].update(psnr=200.0), "does not go with an NRMSE"),
        (lambda data: data["records"][0]["values"].update(nrmse=0.0), "does not go with an NRMSE"),
        (lambda data: scaled(data["records"][0]["values"], psnr=1 + 1e-9), "one of the two was changed"),
        (lambda data: scaled(data["records"][0]["values"], nrmse=1 - 1e-9), "one of the two was changed"),
    ],
)
def test_check_finds_what_the_schema_cannot(root, change, said):
    path = accuracy_file(root)
    resealed(path, change)
    assert any(said in problem and str(path) in problem for problem in check(root))


def test_check_counts_images_and_not_volumes(tmp_path):
    assert check(write_tree(tmp_path, tasks=("mri-brain-4x",), methods=("fbp",), images=3)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data["method"]["settings"].update(weight=0.5), "none that its ledger says were tried"),
        (
            lambda data: data["method"]["settings"].update(weight=data["records"][0]["at"]["weight"]),
            "expected the best",
        ),
        (lambda data: data["records"][-1]["values"].update(psnr=25.004), ""),  # a tie: the tuner may prefer either
        (lambda data: data["records"][-1]["values"].update(psnr=25.006), "expected the best"),
        (lambda data: [record["values"].clear() or record.update(error="NaN") for record in data["records"]], ""),
    ],
)
def test_check_finds_settings_that_the_ledger_did_not_choose(root, change, said):
    path = max((root / TASK / "fbp").glob("tuning-*.json"))
    resealed(path, change)
    found = [problem for problem in check(root) if "ledger" in problem]
    assert any(said in problem for problem in found) if said else not found


def test_trees_are_the_same_each_time(tmp_path):
    for name in ("a", "b"):
        write_task_card(tmp_path / name, TASK)
        write_cell(tmp_path / name, make_cell(TASK, 1, "fbp", "accuracy"))
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("a", "b"))
    assert first == second


def test_the_results_of_this_project_are_sound():
    assert check(PROJECT) == []
