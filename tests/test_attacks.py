"""Methods that cheat: each has the row that it says it must have, and honest ones beside them the very same scores."""

import ast
import contextlib
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recon_bench import headers, processes, results
from recon_bench.cli.main import main
from recon_bench.results.check import check
from recon_bench.rules import Rules
from recon_bench.run import runner
from recon_bench.tables.board import board
from tests.helpers_processes import left_over

FOLDER = Path(__file__).parent / "attacks"
TASK, HONEST = str(FOLDER / "task.py"), str(FOLDER / "honest.py")
RULES = Rules("test", 1, images=3, tuning_evaluations=0, tuning_images=0)
FILES = [HONEST, *sorted({str(path) for path in FOLDER.glob("*.py") if "\nROW = " in path.read_text()} - {HONEST})]
MEMORY = 2**31


def row(file):
    """What the file says must become of it; it is not run here."""
    [said] = [
        node.value
        for node in ast.parse(Path(file).read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "ROW"
    ]
    return ast.literal_eval(said)


def values(result):
    return {record["sample"]: record["values"] for record in result.records}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of all attacks with an honest method beside them, on two processes at a time."""
    folder = tmp_path_factory.mktemp("attacks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headers, "SECONDS", 5.0)
        patch.setattr(processes, "PATIENCE", 1.0)
        (folder / "tally").mkdir()
        tally = {"outlives": {"tally": str(folder / "tally")}}
        runner.run(
            [TASK], [*FILES, "fbp"], ["accuracy", "conduct"], RULES, folder / "all", jobs=2, overrides=tally,
            memory=MEMORY,
        )  # fmt: skip
    runner.run([TASK], [HONEST, "fbp"], ["accuracy"], RULES, folder / "honest")
    return folder


@pytest.fixture(scope="module")
def found(folder):
    """By file, its results by kind."""
    loaded, problems = results.load(folder / "all")
    assert not problems
    by_file = {}
    for result in loaded:
        by_file.setdefault(Path(result.method["file"]).name, {})[result.kind] = result
    return by_file


@pytest.mark.parametrize("file", FILES, ids=lambda file: Path(file).stem)
def test_an_attack_has_the_row_that_it_must_have(found, file):
    status, reason, conduct = row(file)
    own = found[Path(file).name]
    assert own["accuracy"].status == status, own["accuracy"].reason
    assert re.search(reason, own["accuracy"].reason or "")
    if "conduct" in own and status == "ok":
        [record] = [record for record in own["conduct"].records if record["sample"] == "all"]
        assert re.search(conduct, record["note"] or "") and bool(record["values"]["findings"]) == bool(conduct)


def test_honest_methods_have_the_same_scores_to_the_last_bit(folder, found):
    alone, _ = results.load(folder / "honest")
    for result in alone:
        assert values(found[Path(result.method["file"]).name]["accuracy"]) == values(result)


@pytest.mark.parametrize("name", ["truth_from_frames", "patched", "works_in_place", "outlives", "touches_the_process"])
def test_an_attack_gains_nothing(found, name):
    assert values(found[f"{name}.py"]["accuracy"]) == values(found["honest.py"]["accuracy"])


def test_the_board_says_what_was_seen(folder, found):
    frame = board(results.load(folder / "all")[0], "discs", "test").frame.set_index("method")
    assert "conduct, 1 of 4 records: it gives another image for data changed" in frame["notes"]["remembers"]
    assert (
        "findings" in frame and frame["notes"]["honest"] == "" and frame["status"]["file-exits-at-import"] == "failed"
    )


def test_results_beside_attacks_are_sound(folder, found):
    assert check(folder / "all") == []


def test_nothing_is_left_of_what_a_method_started(folder, found):
    started = [int(path.name) for path in (folder / "tally").iterdir()]
    assert len(started) > 1
    assert not [pid for pid in started if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110


@pytest.mark.parametrize("method, holds", [(HONEST, True), (str(FOLDER / "remembers.py"), False)])
def test_a_memory_of_the_test_images_does_not_help_with_unseen_ones(folder, found, capsys, monkeypatch, method, holds):
    from recon_bench.rules import RULES as KNOWN

    monkeypatch.setitem(KNOWN, "test", RULES)
    monkeypatch.setattr(secrets, "randbits", lambda bits: 0)  # so that it is right every time, not in 99 % of cases
    command = ["verify", method, "--task", TASK, "--results", str(folder / "all"), "--rules", "test"]
    assert main(command) == (0 if holds else 1)
    said = capsys.readouterr().out
    assert ("lies in the interval" in said) == holds and " 20 " in said


def test_a_task_that_has_no_more_images_says_so(tmp_path, capsys):
    assert main(["verify", "fbp", "--task", "ct-head-50", "--results", str(tmp_path)]) == 2
    assert "ct-head-50 cannot draw more such images" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_named_by_other_commands(capsys):
    for file in ("wrong_methods", "called_a_slash"):
        assert main(["show", str(FOLDER / f"{file}.py")]) == 2
        assert f"{file}.py: " in capsys.readouterr().err


def test_a_syntax_error_is_a_row(tmp_path):
    broken = tmp_path / "broken file.py"
    broken.write_text("METHODS = (\n")
    assert runner.run([TASK], [str(broken), HONEST], ["accuracy"], RULES, tmp_path / "results") == 1
    status = {r.method["name"]: (r.status, r.reason) for r in results.load(tmp_path / "results")[0]}
    assert status["honest"] == ("ok", None)
    assert status["file-broken-file"][0] == "failed" and "SyntaxError" in status["file-broken-file"][1]


GO = """
import sys
from pathlib import Path
from recon_bench import headers, processes
from recon_bench.run import runner
from tests.test_attacks import FOLDER, RULES, TASK
if __name__ == "__main__":
    headers.SECONDS, processes.PATIENCE = 2.0, 1.0
    files, overrides = [str(FOLDER / f"{name}.py") for name in sys.argv[3:]], {"outlives": {"tally": sys.argv[2]}}
    runner.run([TASK], files, ["accuracy"], RULES, Path(sys.argv[1]), overrides=overrides)
"""


@pytest.fixture
def started(tmp_path):
    """How to start a run of attacks by their names, in a process of its own; all it starts has the mark."""
    (tmp_path / "go.py").write_text(GO)
    (tmp_path / "tally").mkdir()
    root = Path(__file__).parent.parent

    with contextlib.ExitStack() as ended:

        def start(*names):
            environment = os.environ | {"PYTHONPATH": str(root), "RECON_BENCH_MARK": str(tmp_path)}
            folders = [str(tmp_path / name) for name in ("results", "tally")]
            command = [sys.executable, str(tmp_path / "go.py"), *folders, *names]
            run = ended.enter_context(subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE))
            ended.callback(run.kill)
            return run

        yield start, f"RECON_BENCH_MARK={tmp_path}", tmp_path / "tally"


@pytest.mark.skipif(not processes.PROC.is_dir(), reason="needs /proc")
def test_a_run_into_a_pipe_ends_and_leaves_nothing(started):
    start, mark, tally = started
    run = start("outlives", "hangs_at_import", "stops_its_parent", "kills_its_parent")
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0 and b"4 cells to run" in said and len(list(tally.iterdir())) > 1
    assert left_over(mark) == []


@pytest.mark.skipif(not processes.PROC.is_dir(), reason="needs /proc")
def test_a_run_that_is_killed_leaves_nothing_of_what_a_method_started(started):
    start, mark, tally = started
    run = start("outlives")
    until = time.monotonic() + 60
    while not list(tally.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert list(tally.iterdir()) and left_over(mark) == []
