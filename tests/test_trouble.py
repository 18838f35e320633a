"""No bad value ends a run: what cannot be written is the failed row of its cell, and a full disk alone stops all."""

import codecs
import dataclasses
import errno
import itertools
import json
import multiprocessing
import os
import tempfile
from multiprocessing.connection import arbitrary_address
from pathlib import Path

import pytest
import torch

from recon_bench import processes, results
from recon_bench.core import Method
from recon_bench.measurement import Cell, Record
from recon_bench.measurements import accuracy
from recon_bench.results import DiskFull
from recon_bench.results.check import check
from recon_bench.rules import EXACT, Rules
from recon_bench.run import journal, outcome, runner, worker
from recon_bench.tables.board import board
from recon_bench.task import Truth
from tests.helpers_training import TOY

METHODS = Path(__file__).parent / "methods"
ONE, TROUBLED = str(METHODS / "one.py"), str(METHODS / "troubled.py")
TASK, DISCS = "ct-shepp-logan-30", str(Path(__file__).parent / "attacks" / "task.py")
RULES = Rules("test", 1, images=1, tuning_evaluations=0, tuning_images=0)


class Told:
    """An executor without processes: every job leaves what it is told to, by the name of its method, and has ended."""

    def __init__(self, status=0, **left):
        self.status, self.left = status, left

    def start(self, job):
        leave = self.left.get(Path(job.method).name.partition(":")[2].replace("-", "_"), fine)
        leave(job)
        return self.status

    def poll(self, started):
        return started

    def wait(self, started, seconds):
        pass

    def kill(self, started):
        pass


def fine(job, *records):
    journal.append(job.journal, journal.record(Record("test-0000", {"psnr": 20.0})), journal.end("ok", None, {}))


def run(folder, *methods, executor=None, force=False, kind="accuracy", file=TROUBLED):
    names = [f"{file}:{name}" for name in methods]
    bad = runner.run([TASK], names, [kind], RULES, folder, executor=executor, force=force, command="test \udcff")
    found, problems = results.load(folder)
    assert not problems
    return bad, sorted(found, key=results.started)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The folder, and the results of all troubled methods by name, from one run."""
    folder = tmp_path_factory.mktemp("results")
    bad, found = run(folder, *TROUBLES)
    assert bad == sum(result.status != "ok" for result in found)
    return folder, {result.method["name"]: result for result in found}


TROUBLES = ("exact", "no-utf8", "verbose", "wanders", "leaks", "no-json", "no-number", "no-title", "honest")


def test_every_method_has_a_row(measured):
    folder, found = measured
    assert len(found) == len(TROUBLES) and check(folder) == []


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("exact", "ok", ""),
        ("no-utf8", "failed", r"ValueError: \udcff is no text"),
        ("verbose", "failed", "xxx… (5,000,0"),
        ("wanders", "ok", ""),
        ("no-json", "failed", "which a result can hold, got PosixPath('here')"),
        ("no-number", "failed", "which a result can hold, got nan"),
        ("no-title", "ok", ""),
        ("honest", "ok", ""),
    ],
)
def test_its_row_says_what_was_wrong(measured, name, status, reason):
    result = measured[1][name]
    assert result.status == status and reason in (result.reason or "")
    assert result.path.stat().st_size < 20_000


def test_used_up_files_are_the_failure_of_that_method_alone(measured):
    leaks = measured[1]["leaks"]
    assert leaks.records[0]["values"] == measured[1]["honest"].records[0]["values"]
    assert leaks.status == "ok" or "Too many open files" in leaks.reason


def test_an_exact_reconstruction_has_a_finite_value(measured):
    values = measured[1]["exact"].records[0]["values"]
    assert (values["psnr"], values["nrmse"]) == (EXACT, 0.0) and 140 < values["rsnr"] <= EXACT


def test_an_exact_reconstruction_is_first(measured):
    frame = board(results.load(measured[0])[0], TASK, "test").frame
    assert (frame.iloc[0]["method"], frame.iloc[0]["rank"]) == ("exact", 1)


@pytest.mark.parametrize("name", ["a:b:c/mine.py", "\udcff/mine.py", "\udcff.py"])
def test_a_file_of_any_name_is_run_and_read_again_when_it_was_edited(tmp_path, monkeypatch, name):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(codecs.BOM_UTF8 + Path(ONE).read_bytes())
    (file.parent / "discs.py").write_text(Path(DISCS).read_text())
    monkeypatch.chdir(file.parent)

    def measured(method):
        before = set(results.result_files(tmp_path / "results"))
        assert runner.run(["discs.py"], [method], ["accuracy"], RULES, tmp_path / "results") == 0
        (made,) = (r for r in results.load(tmp_path / "results")[0] if r.path not in before)
        return made.records[0]["values"]["psnr"]

    (tmp_path / "results").mkdir()
    first = measured(file.name)
    file.write_text(Path(ONE).read_text().replace("scale: float = 1.0", "scale: float = 0.5"))
    assert measured(f"{file.name}:one") < first and check(tmp_path / "results") == []


def test_a_clock_that_is_set_back_gives_no_negative_duration(tmp_path, monkeypatch):
    clock = itertools.count(1_800_000_000, -3600)
    monkeypatch.setattr(outcome.time, "time", lambda: float(next(clock)))
    bad, (result,) = run(tmp_path, "honest", executor=Told())
    assert bad == 0 and 0 <= result.provenance["seconds"] < 60


def test_three_runs_within_a_second_are_three_results(tmp_path, monkeypatch):
    monkeypatch.setattr(outcome.time, "time", lambda: 1_800_000_000.0)
    for _ in range(3):
        run(tmp_path, "honest", executor=Told(), force=True)
    assert len(run(tmp_path, "honest", executor=Told())[1]) == 3 and check(tmp_path) == []


def scribble(job):
    lines = ["null", '{"record": 3}', '{"picture": {}}', '{"end": "ok"}', '{"record": {"values": NaN}}']
    job.journal.write_bytes(b"\xff\xfe\n" + "\n".join(lines).encode() + b"\n")
    fine(job)


def not_a_number(job):
    record = dataclasses.asdict(Record("test-0000", {"psnr": float("nan")}))
    job.journal.write_text(f"{json.dumps({'record': record})}\n{json.dumps(journal.end('ok', None, {}))}\n")


def no_folder(job):
    fine(job)
    job.journal.unlink()
    job.folder.rmdir()


def test_what_a_process_leaves_cannot_end_a_run(tmp_path):
    told = Told(honest=scribble, exact=not_a_number, wanders=no_folder)
    bad, found = run(tmp_path, "exact", "wanders", "honest", executor=told)
    status = {result.method["name"]: (result.status, result.reason) for result in found}
    assert bad == 2 and status["honest"] == ("ok", None)
    assert status["exact"][0] == "failed" and "not JSON" in status["exact"][1]
    assert status["wanders"][0] == "failed"


def test_a_value_that_is_no_number_is_refused_by_the_journal(tmp_path):
    with journal.appending(tmp_path / "journal.jsonl") as pen:
        entries = [{"record": {"values": {"psnr": value}}} for value in (1.0, float("inf"), 2.0)]
        worker._note(entries, pen, worker.Job(TASK, ONE, "accuracy", {}, RULES, "cpu", 1, tmp_path, {}))
    assert journal.read(tmp_path / "journal.jsonl").end({})["reason"].startswith("what was measured cannot be written")


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second disk: /dev/shm")
def test_results_may_be_on_two_disks(tmp_path):
    def pictured(job):
        (job.folder / "test-0000.webp").write_bytes(b"a picture")
        journal.append(job.journal, {"picture": {"name": "test-0000", "sha256": "0" * 64, "caption": ""}})
        fine(job)

    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        (tmp_path / runner.PARTIAL).symlink_to(other)
        bad, (result,) = run(tmp_path, "honest", executor=Told(honest=pictured), kind="pictures")
    assert bad == 0 and (result.path.parent / result.images["test-0000"]["file"]).read_bytes() == b"a picture"


@pytest.mark.parametrize(("number", "ends"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_only_a_full_disk_ends_a_run(tmp_path, monkeypatch, number, ends, capsys):
    write = results.files.replace_file

    def refuse(path, content):
        if path.parent.name == "exact":
            raise OSError(number, os.strerror(number))
        write(path, content)

    monkeypatch.setattr(results.files, "replace_file", refuse)
    if ends:
        with pytest.raises(DiskFull, match="Free some space"):
            run(tmp_path, "exact", "honest", executor=Told())
        return
    bad, (result,) = run(tmp_path, "exact", "honest", executor=Told())
    assert bad == 1 and (result.method["name"], result.status) == ("honest", "ok")


def test_a_worker_without_room_ends_the_run(tmp_path):
    with pytest.raises(DiskFull):
        run(tmp_path, "honest", executor=Told(worker.DISK_ERROR))


def test_code_that_is_changed_when_the_cell_ends_gives_no_result(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(Path(ONE).read_text())

    def edit(job):
        fine(job)
        file.write_text(file.read_text().replace("settings.scale * x", "2 * x"))

    bad, (result,) = run(tmp_path / "results", "one", executor=Told(one=edit), file=str(file))
    assert bad == 1 and (result.status, result.reason) == ("failed", worker.CHANGED)


def scaled(factor):
    """A method: the backprojection, times a number."""

    def build(problem, settings):
        return lambda y, A: factor * A.adjoint(y)

    return Method("m", "M", "direct", "", "", build, None)


def test_a_volume_with_an_empty_slice_has_its_values():
    def draw(split, index):
        found = TOY.draw(split, index)
        return dataclasses.replace(found, image=found.image * (index != 1), volume="scan")

    task = dataclasses.replace(TOY, draw=draw)
    method = scaled(0.05)
    cell = Cell(task, method, None, dataclasses.replace(RULES, images=9), torch.device("cpu"))
    *slices, volume = accuracy.measure(cell, {}, lambda *_: None)
    truths = torch.stack([task.samples("test")[i].truth for i in range(3)]).double()
    found = torch.stack([0.05 * cell.task.problem().operator.adjoint(s.data) for s in task.samples("test")]).double()
    error = (found - truths).square()
    assert "nmse" not in slices[1].values and "nmse" in slices[0].values
    assert volume.values["nmse_volume"] == pytest.approx(float(error.sum() / truths.square().sum()))
    assert volume.values["psnr_volume"] == pytest.approx(float(10 * torch.log10(truths.max() ** 2 / error.mean())))


def test_a_volume_of_nothing_says_so():
    def draw(split, index):
        return Truth(0 * TOY.draw(split, index).image, volume="air", source=TOY.draw(split, index).source)

    method = scaled(0)
    cell = Cell(dataclasses.replace(TOY, draw=draw), method, None, RULES, torch.device("cpu"))
    cell = dataclasses.replace(cell, rules=dataclasses.replace(RULES, images=9))
    *slices, volume = accuracy.measure(cell, {}, lambda *_: None)
    assert [record.values["psnr"] for record in slices] == [EXACT] * 3
    assert "empty" in volume.note and volume.values.keys() == {"ssim_volume"}


def test_sockets_have_short_paths_whatever_the_temporary_folder(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.delitem(multiprocessing.current_process()._config, "tempdir", raising=False)
    processes.server()
    assert len(arbitrary_address("AF_UNIX")) < 100 and tempfile.gettempdir() == str(long)
