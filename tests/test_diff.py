"""What changed between two sets of results, and whose."""

import dataclasses
import json
import shutil
import subprocess

import pytest

from recon_bench.cli.main import main
from recon_bench.results import load, write
from recon_bench.tables.diff import diff
from tests.helpers_results import make_cell, record, write_tree

TASK, VERSION = "ct-shepp-logan-30", 2  # the first version of the tree has been replaced


@pytest.fixture
def base(tmp_path):
    return write_tree(tmp_path / "base", tasks=(TASK,), methods=("fbp", "cgls", "landweber"), images=6)


@pytest.fixture
def head(base, tmp_path):
    return shutil.copytree(base, tmp_path / "head")


def again(root, method, kind="accuracy", change=lambda name, number, value: value):
    """Measure a cell once more, with other values."""
    made = make_cell(TASK, VERSION, method, kind, images=6, repeat=1)
    known = [r for r in load(root)[0] if (r.method["name"], r.kind, r.task["version"]) == (method, kind, VERSION)]
    [old] = [r for r in known if r.stem != made.stem]
    records = [
        {**r, "values": {name: change(name, number, value) for name, value in r["values"].items()}}
        for number, r in enumerate(old.records)
    ]
    return write(dataclasses.replace(made, records=records), root)


def differ(base, head, capsys, *words):
    status = main(["diff", str(base), str(head), *words])
    return status, capsys.readouterr().out


def test_nothing_changed(base, head, capsys):
    again(head, "fbp", change=lambda name, number, value: value * (1 + 1e-6))  # rounding
    status, said = differ(base, head, capsys)
    assert status == 0 and "Scores that changed: 0" in said and "No row of others changed." in said


def test_a_change_of_a_row_is_told_with_its_interval_and_fails_unless_it_is_mine(base, head, capsys):
    again(head, "cgls", change=lambda name, number, value: value - 0.3 - 0.01 * number if name == "psnr" else value)
    status, said = differ(base, head, capsys)
    [line] = [line for line in said.splitlines() if "PSNR (dB)" in line]
    assert status == 1 and "**cgls**" in line and "-0.33 (-0.34 to -0.31)" in line and "| significant" in line
    assert "Rows of others changed: **cgls**" in said
    status, said = differ(base, head, capsys, "--mine", "cgls")
    assert status == 0 and "-0.33" in said and "**cgls**" not in said
    assert differ(base, head, capsys, "--mine", "fbp")[0] == 1


def test_a_change_that_averages_out_is_not_significant(base, head, capsys):
    again(
        head, "fbp", change=lambda name, number, value: value + 0.01 + 0.1 * (-1) ** number if name == "psnr" else value
    )
    [change] = diff(load(base)[0], load(head)[0]).changes
    assert (change.column.name, change.text) == ("psnr", "not significant") and change.counts


def test_a_new_method_is_mine(base, head, capsys):
    for kind in ("accuracy", "runtime"):
        write(make_cell(TASK, VERSION, "ista-of-mine", kind, images=6), head)
    status, said = differ(base, head, capsys)
    assert status == 0 and "ista-of-mine" in said and "| new" in said
    assert differ(head, base, capsys)[0] == 1  # the other way round it is gone


def test_times_count_beyond_their_interval_alone(base, head, capsys):
    again(head, "fbp", "runtime", lambda name, number, value: value * (1.001 if name.endswith("seconds") else 1))
    assert differ(base, head, capsys)[0] == 0
    again(head, "cgls", "runtime", lambda name, number, value: value * 1.5)
    status, said = differ(base, head, capsys)
    assert status == 1 and "beyond the interval of the first" in said and "Rows of others changed: **cgls**" in said


def test_curves_and_failures_are_told(base, head, capsys):
    made = make_cell(TASK, VERSION, "fbp", "accuracy", images=6)
    measurement = {**made.measurement, "hash": "0" * 16}
    for root, value in ((base, 10.0), (head, 11.0)):
        points = [record("", {"psnr": value}, {"depth": depth}) for depth in (1, 2)]
        write(dataclasses.replace(made, kind="depth", measurement=measurement, records=points), root)
    broken = make_cell(TASK, VERSION, "landweber", "accuracy", images=6, repeat=1)
    write(dataclasses.replace(broken, status="failed", reason="no memory", records=[]), head)
    found = diff(load(base)[0], load(head)[0])
    assert {change.method: change.text for change in found.changes} == {
        "fbp": "2 of 2 values of curves differ",
        "landweber": "ok → failed (no memory)",
    }
    assert found.lost == ["ct-shepp-logan-30/fbp/" + next(p.name for p in head.glob("*/fbp/depth-*"))]


def test_what_is_gone_fails_whoever_it_belongs_to(base, head, capsys):
    again(base, "fbp")  # the newest stays the same
    again(head, "fbp")
    [victim] = [p for p in head.glob("*/fbp/accuracy-*") if p.name in {q.name for q in base.glob("*/fbp/*")}][:1]
    victim.unlink()
    status, said = differ(base, head, capsys, "--mine", "fbp")
    assert status == 1 and victim.name in said and "Gone or edited" in said


def test_revisions_of_git_are_compared(base, tmp_path, monkeypatch, capsys):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=repository, check=True)

    repository = tmp_path / "repository"
    repository.mkdir()
    git("init", "-q")
    shutil.copytree(base, repository / "results")
    git("add", ".")
    git("commit", "-qm", "before")
    again(repository / "results", "cgls", change=lambda name, number, value: value * 1.01)
    monkeypatch.chdir(repository)
    assert differ("HEAD", "HEAD", capsys)[0] == 0
    assert differ("HEAD", "results", capsys)[0] == 1
    assert main(["diff", "no-such-branch", "HEAD"]) == 2
    assert "no-such-branch: expected a folder or a git revision" in capsys.readouterr().err


def test_rows_are_those_of_the_markdown(base, head, capsys):
    again(head, "cgls", change=lambda name, number, value: value + 1 if name == "psnr" else value)
    table = [line for line in differ(base, head, capsys)[1].splitlines() if line.startswith("|")]
    assert len(table) == 3 and json.dumps(table).count("cgls") == 1
