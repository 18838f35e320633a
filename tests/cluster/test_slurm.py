"""Runs and trainings on a real Slurm, which the test starts: `make test-slurm`."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from recon_bench import results
from recon_bench.cli.main import main
from recon_bench.results.check import check
from recon_bench.rules import Rules
from recon_bench.run import cluster, runner
from tests.cluster import server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
TASK, KINDS = "ct-shepp-logan-30", ["accuracy"]
METHODS = [f"{Path(__file__).with_name('methods.py')}:{name}" for name in ("steady", "killed", "preempted", "stops")]
RULES = Rules("test", 1, images=5, tuning_evaluations=0, tuning_images=0, batch_pixels=1, cell_minutes=3)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    pytest.importorskip("submitit")
    if reason := server.missing():
        pytest.skip(reason)
    with server.slurm(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture
def tallies(tmp_path):
    found = {name: tmp_path / f"tally-{name}" for name in ("killed", "preempted")}
    for folder in found.values():
        folder.mkdir()
    return found


def settings(tallies, seconds):
    return {name: {"tally": str(folder), "seconds": str(seconds)} for name, folder in tallies.items()}


def values(root):
    """Status, reason and values of every result by task, method and kind; each there once."""
    found, problems = results.load(root)
    assert not problems and check(root) == []
    known = {(r.task["name"], r.method["name"], r.kind): (r.status, r.reason, list(r.records)) for r in found}
    assert len(known) == len(found)
    return known


def begun(folder, images):
    """The process that reconstructs, once so many images are done."""
    deadline = time.monotonic() + 400
    while len(list(folder.iterdir())) < images:
        assert time.monotonic() < deadline, f"{folder}: no {images} images"
        time.sleep(0.1)
    return int((folder / str(images - 1)).read_text())


def kill_job_of(process):
    """End the process of a job that Slurm started, from one of those that it started."""
    while b"submitit.core._submit" not in Path(f"/proc/{process}/cmdline").read_bytes():
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(process, signal.SIGKILL)


def test_a_run_in_which_a_job_is_killed_one_preempted_and_one_fails_finds_what_a_local_one_finds(
    slurm, tmp_path, tallies, capfd
):
    here, there = tmp_path / "here", tmp_path / "there"
    asked = {"options": {"": {"partition": "low"}, "stops": {"comment": "other"}}, "command": "test"}
    asked |= {"overrides": settings(tallies, 1.0)}
    bad = []
    run = threading.Thread(target=lambda: bad.append(cluster.run([TASK], METHODS, KINDS, RULES, there, **asked)))
    run.start()
    kill_job_of(begun(tallies["killed"], 2))
    begun(tallies["preempted"], 2)
    server.preempt()
    run.join()
    assert bad == [1]
    said = capfd.readouterr().out
    assert "stops · accuracy: failed: " in said
    calls = {name: len(list(folder.iterdir())) for name, folder in tallies.items()}
    assert runner.run([TASK], METHODS, KINDS, RULES, here, overrides=settings(tallies, 0.0)) == 1
    assert values(there) == values(here)
    assert all(RULES.images <= count <= RULES.images + 1 for count in calls.values()), calls  # but the one under way
    known = subprocess.run(["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"Restarts=[1-9]", known), "nothing was preempted"
    assert not (there / ".partial" / "slurm" / f"{TASK}--steady").exists()


def test_what_is_in_the_queue_is_found_there_and_what_is_done_is_not_submitted(slurm, tmp_path, capfd):
    asked = [[TASK], METHODS[:1], KINDS, RULES, tmp_path / "results", {"": {"partition": "low", "begin": "now+5"}}]
    script = tmp_path / "run.py"
    script.write_text(
        "from pathlib import *\nfrom recon_bench.run import cluster\nfrom recon_bench.rules import Rules\n"
        f"if __name__ == '__main__':\n    cluster.run(*{asked!r})\n"
    )
    first = subprocess.Popen([sys.executable, str(script)])
    job = asked[4] / ".partial" / "slurm" / f"{TASK}--steady" / "job"
    deadline = time.monotonic() + 400
    while not job.exists():
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.1)
    first.kill()
    first.wait()
    number = job.read_text()
    assert cluster.run(*asked) == 0
    assert len(values(asked[4])) == 1
    assert cluster.run(*asked) == 0
    assert len(values(asked[4])) == 1 and "0 jobs for 0 cells" in capfd.readouterr().out
    known = subprocess.run(["squeue", "--states=all", "--noheader", "--format=%i"], capture_output=True, text=True)
    assert max(map(int, re.findall(r"^\d+", known.stdout, re.MULTILINE))) == int(number)


def test_a_training_that_is_preempted_gives_the_weights_of_one_that_is_not(slurm, tmp_path, monkeypatch):
    words = ["train", "unrolled-gradient", "--task", TASK, "--steps", "60", "--threads", "1", "--set", "depth=2"]
    words += ["--recipe", "batch=1", "--recipe", "validation_images=1", "--recipe", "validate=20"]
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path / "here"))
    assert main(words) == 0
    monkeypatch.setenv("RECON_BENCH_WEIGHTS", str(tmp_path / "there"))
    status = []
    partition = ["--executor", "slurm", "--slurm", "partition=low"]
    run = threading.Thread(target=lambda: status.append(main([*words, *partition])))
    run.start()
    deadline = time.monotonic() + 400
    while not any("dB" in path.read_text() for path in tmp_path.glob("there/.training/slurm/*/*_log.out")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.preempt()
    run.join()
    assert status == [0]
    (log,) = tmp_path.glob("there/.training/slurm/*/*_log.out")
    assert "DUE TO PREEMPTION" in log.read_text() and log.read_text().count("step 20/60") == 1  # the rest is resumed
    files = [{p.relative_to(root): p.read_bytes() for p in root.rglob("*.safetensors")} for root in tmp_path.iterdir()]
    assert files[0] and files[0] == files[1]
