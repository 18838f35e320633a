"""Parts of a run on several machines, and one results folder of them; what a cluster is asked for."""

import dataclasses
from pathlib import Path

import pytest

from recon_bench import results, slurm
from recon_bench.cli.main import main
from recon_bench.results import ResultError, confirmations
from recon_bench.results.check import check
from recon_bench.results.merge import merge
from recon_bench.rules import QUICK
from recon_bench.run import runner
from tests.helpers_results import write_tree

FILE = Path(__file__).parent / "cluster" / "methods.py"
METHODS = [f"{FILE}:{name}" for name in ("steady", "killed")]
TASK, RULES = "ct-shepp-logan-30", dataclasses.replace(QUICK, images=1, cell_minutes=20.0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two parts of a run, each in a folder of its own."""
    folders = [tmp_path_factory.mktemp(f"shard-{number}") for number in (1, 2)]
    for number, folder in enumerate(folders, start=1):
        runner.run([TASK], METHODS, ["accuracy"], RULES, folder, shard=(number, 2))
    return folders


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_cell_is_in_one_shard(shards):
    found = [[result.method["name"] for result in results.load(folder)[0]] for folder in shards]
    assert found == [["steady"], ["killed"]]


def test_shards_merge_to_the_whole_run_and_merging_twice_changes_nothing(shards, tmp_path, capsys):
    words = ["merge", *map(str, shards), "--into", str(tmp_path)]
    assert main(words) == 0
    assert "2 results copied" in capsys.readouterr().out
    assert check(tmp_path) == [] and len(results.load(tmp_path)[0]) == 2
    before = contents(tmp_path)
    assert main(words) == 0 and contents(tmp_path) == before
    runner.run([TASK], METHODS, ["accuracy"], RULES, tmp_path)
    assert "0 cells to run" in capsys.readouterr().out


def test_pictures_and_confirmations_come_along(tmp_path):
    source = write_tree(tmp_path / "a", tasks=("ct-ellipses-30",), methods=("fbp",), images=3)
    confirmations.append([confirmations.Entry("carried", "fbp", ["accuracy"], "old", "new")], source)
    new = merge([source, source], tmp_path / "b")
    assert len(new) == len(results.load(source)[0])
    assert contents(tmp_path / "b") == contents(source)


def test_nothing_is_copied_where_a_file_is_damaged_or_two_of_one_name_differ(shards, tmp_path):
    merge(shards[:1], tmp_path / "a")
    (file,) = results.result_files(tmp_path / "a")
    file.write_text(file.read_text().replace('"clean": ', '"clean":  '))
    with pytest.raises(ResultError, match="was changed after it was written"):
        merge([shards[1], tmp_path / "a"], tmp_path / "b")
    with pytest.raises(ResultError, match="have one name and differ: nothing was copied"):
        merge(shards, tmp_path / "a")
    assert results.result_files(tmp_path / "b") == [] and results.result_files(tmp_path / "a") == [file]


def test_unfinished_cells_are_told(shards, tmp_path, capsys):
    merge(shards, tmp_path / "a")
    journal = tmp_path / "a" / ".partial" / "0" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("")
    assert main(["merge", str(tmp_path / "a"), "--into", str(tmp_path / "b")]) == 1
    assert "has 1 unfinished cell:" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/2"])
def test_a_shard_that_is_none_is_refused(text, tmp_path, capsys):
    assert main(["run", "--shard", text, "--results", str(tmp_path)]) == 2
    assert f"expected I/N with I from 1 to N, as in 2/3, got '{text}'" in capsys.readouterr().err


def test_options_of_sbatch_are_for_all_methods_or_for_one():
    given = ["partition=gpu", "unet.mem=16G", "unet.gres=gpu:1", "comment=a.b=c"]
    assert slurm.options(given) == {
        "": {"partition": "gpu", "comment": "a.b=c"},
        "unet": {"mem": "16G", "gres": "gpu:1"},
    }


@pytest.mark.parametrize("text", ["partition", "=gpu", "unet.=3", "time=1:00:00"])
def test_an_option_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="--slurm: expected"):
        slurm.options([text])


def test_without_a_cluster_the_error_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["--tasks", TASK, "--methods", "fbp", "--rules", "quick", "--measurements", "accuracy"]
    assert main(["run", *words, "--executor", "slurm", "--results", str(tmp_path / "a")]) == 2
    assert "no squeue here: --executor slurm is for a machine that submits to Slurm" in capsys.readouterr().err
    assert main(["run", *words, "--executor", "slurm", "--results", str(tmp_path / "a"), "--slurm", "fpb.mem=1G"]) == 2
    assert "--slurm: fpb is no method of this run" in capsys.readouterr().err
    assert main(["run", *words, "--slurm", "partition=gpu", "--results", str(tmp_path / "a")]) == 2
    assert "add --executor slurm, or leave it out" in capsys.readouterr().err


def test_what_would_be_submitted_can_be_seen_without_a_cluster(tmp_path, capsys):
    words = ["run", "--tasks", TASK, "--methods", "fbp", "landweber", "--rules", "quick", "--executor", "slurm"]
    assert main([*words, "--measurements", "accuracy", "runtime", "--dry-run", "--results", str(tmp_path)]) == 0
    assert "2 jobs for 4 cells\n  ct-shepp-logan-30 · fbp: accuracy, runtime\n" in capsys.readouterr().out
