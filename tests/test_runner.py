"""Cells end to end: each in its own process, whatever happens becoming a row; resumed and reused."""

import collections
import dataclasses
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recon_bench import registry, results
from recon_bench.cli.main import main
from recon_bench.measurement import Record
from recon_bench.registry import UnknownName
from recon_bench.results import ResultError, check
from recon_bench.rules import Rules
from recon_bench.run import journal, plan, planned, runner
from recon_bench.run.local import Local
from recon_bench.run.worker import Job, work
from recon_bench.scoring.tuner import best_settings
from tests.helpers_processes import left_over

ONE = str(Path(__file__).parent / "methods" / "one.py")
MEETING = str(Path(__file__).parent / "plugins" / "meeting.py")
TASK, DISCS = "ct-shepp-logan-30", str(Path(__file__).parent / "attacks" / "task.py")
RULES = Rules("test", 1, images=3, tuning_evaluations=4, tuning_images=1, repeats=2, batch_pixels=2 * 128 * 128)


def run(folder, kinds=("accuracy",), rules=RULES, method=ONE, force=False, **settings):
    overrides = {"one": {name: str(value) for name, value in settings.items()}}
    runner.run([TASK], [method], list(kinds), rules, folder, overrides=overrides, force=force, command="test")
    found, problems = results.load(folder)
    assert not problems
    return sorted(found, key=lambda result: (result.provenance["started"], result.path))


def test_a_method_in_one_file_is_tuned_scored_and_timed(tmp_path):
    by_kind = {result.kind: result for result in run(tmp_path, ("tuning", "accuracy", "runtime"))}
    assert {kind: result.status for kind, result in by_kind.items()} == dict.fromkeys(by_kind, "ok")
    ledger = by_kind["tuning"].records
    assert len(ledger) == RULES.tuning_evaluations
    best = max(ledger, key=lambda record: record["values"]["psnr"])
    assert by_kind["accuracy"].method["settings"]["scale"] == best["at"]["scale"]
    assert by_kind["accuracy"].method["tuned"] == ["scale"]
    assert len(by_kind["accuracy"].records) == 3
    timed = {record["sample"]: record["values"] for record in by_kind["runtime"].records}
    assert timed["operator"] == {"applications": 1.5}  # one adjoint and two forward projections
    assert {"setup", "load", "reconstruct-0", "reconstruct-1", "batch-0", "batch-1"} <= timed.keys()
    assert check.check(tmp_path) == []


def test_what_was_tuned_by_an_earlier_run_is_used_where_accuracy_alone_is_asked_for(tmp_path):
    (ledger,) = run(tmp_path, ("tuning",))
    chosen = {name: ledger.method["settings"][name] for name in ledger.method["tuned"]}
    scored = next(result for result in run(tmp_path) if result.kind == "accuracy")
    assert chosen and chosen.items() <= scored.method["settings"].items() and scored.method["tuned"] == [*chosen]


def test_what_was_never_run_is_expected_to_take_as_long_as_other_methods(tmp_path):
    known = plan.newest(run(tmp_path), "cpu")
    setup = planned.RunSetup(RULES, "cpu", 1, {})
    one, other = (plan.asked_for([TASK], [method], ["accuracy"], setup)[0] for method in (ONE, "fbp"))
    assert other.estimate(known) == one.estimate(known) != planned.UNKNOWN_SECONDS == other.estimate({})
    (elsewhere,) = plan.asked_for([DISCS], [ONE], ["accuracy"], setup)
    assert elsewhere.estimate(known) == pytest.approx(one.estimate(known))
    there = next(r for r in known.values() if r.kind == "accuracy")
    slow = dataclasses.replace(there, task={**there.task, "name": "discs"}, kind="conduct")
    twice = dataclasses.replace(there, provenance={**there.provenance, "seconds": 2 * there.provenance["seconds"]})
    (wanted,) = plan.asked_for([TASK], [ONE], ["conduct"], setup)
    assert "accuracy" not in plan.aside([wanted])  # of which a run must know
    told = {("discs", "one", "conduct"): slow, ("discs", "one", "accuracy"): there, (TASK, "one", "accuracy"): twice}
    assert wanted.estimate(told) == pytest.approx(2 * wanted._seconds_as(slow))  # as many times as its ranking result


def test_what_took_fewer_images_than_the_rules_allow_is_forecast_by_those(tmp_path):
    (there,) = run(tmp_path, ("accuracy",))
    full = dataclasses.replace(there, rules={**there.rules, "images": 100})
    few = dataclasses.replace(full, records=[{**there.records[0], "sample": f"test-{i:04d}"} for i in range(10)])
    (cell,) = plan.asked_for([TASK], [ONE], ["accuracy"], planned.RunSetup(RULES, "cpu", 1, {}))
    known, spent = {(TASK, "one", "accuracy"): few}, there.provenance["seconds"]
    assert cell.estimate(known) == pytest.approx(1 + spent * RULES.images / 10)
    more = dataclasses.replace(cell, setup=planned.RunSetup(dataclasses.replace(RULES, images=50), "cpu", 1, {}))
    assert more.estimate(known) == pytest.approx(1 + spent)
    assert more.estimate({(TASK, "one", "accuracy"): there}) == pytest.approx(1 + spent * 50 / RULES.images)
    of_none = dataclasses.replace(full, records=[{**there.records[0], "sample": "depth-5"}])
    assert cell.estimate({(TASK, "one", "accuracy"): of_none}) == spent


def test_what_is_to_take_on_a_cpu_is_not_told_from_a_gpu(tmp_path):
    (there,) = run(tmp_path, ("accuracy",))
    faster = {**there.provenance, "device": "cuda:0", "seconds": there.provenance["seconds"] / 50}
    on_gpu = dataclasses.replace(there, provenance={**faster, "started": "2099-01-01T00:00:00Z"})
    (cell,) = plan.asked_for([TASK], [ONE], ["accuracy"], planned.RunSetup(RULES, "cpu", 1, {}))
    (on_cuda,) = plan.asked_for([TASK], [ONE], ["accuracy"], planned.RunSetup(RULES, "cuda", 1, {}))
    both = [there, on_gpu]
    assert cell.estimate(plan.newest(both, "cpu")) == cell._seconds_as(there)
    assert on_cuda.estimate(plan.newest(both, "cuda")) == cell._seconds_as(on_gpu)
    assert cell.estimate(plan.newest([on_gpu], "cpu")) == cell._seconds_as(on_gpu)  # better than nothing


def test_the_end_of_a_process_is_heard_at_once():
    processes, local = multiprocessing.get_context("spawn"), Local()
    quick, slow = (processes.Process(target=time.sleep, args=(seconds,)) for seconds in (0.2, 60))
    for process in (quick, slow):
        process.start()
    begun = time.monotonic()
    local.wait([slow, quick], 50)
    assert time.monotonic() - begun < 40 and local.poll(slow) is None
    quick.join(10)  # the end is told a moment before the status
    assert local.poll(quick) == 0
    local.wait([slow], 0.01)
    slow.kill()
    slow.join()


def test_pictures_are_made_of_the_images_that_the_task_names(tmp_path):
    (result,) = run(tmp_path, ("pictures",))
    names = [f"test-{index:04d}" for index in registry.task(TASK).pictured]
    assert [record["sample"] for record in result.records] == names == list(result.images)
    assert all((result.path.parent / image["file"]).is_file() for image in result.images.values())
    card = results.parse(next((tmp_path / TASK).glob("task-*.json")))
    assert set(names) < set(card["images"]) and check.check(tmp_path) == []
    assert len(run(tmp_path, ("pictures",))) == 1


def test_what_is_done_is_reused_until_something_differs(tmp_path):
    assert len(run(tmp_path)) == 1
    assert len(run(tmp_path)) == 1
    assert len(run(tmp_path, scale=0.5)) == 2
    assert len(run(tmp_path, scale=0.5)) == 2
    assert len(run(tmp_path, rules=dataclasses.replace(RULES, images=2))) == 3


def test_the_same_image_gives_the_same_row_in_any_batch(tmp_path):
    (one,) = run(tmp_path / "a", rules=RULES)
    (other,) = run(tmp_path / "b", rules=dataclasses.replace(RULES, batch_pixels=1))
    for left, right in zip(one.records, other.records):
        assert left["values"] == pytest.approx(right["values"], rel=1e-4)


@pytest.mark.parametrize(
    ("trouble", "status", "reason"),
    [
        ("not-applicable", "not-applicable", "shy"),
        ("build", "failed", "no such weights"),
        ("raise", "failed", "I do not like this image"),
        ("shape", "failed", r"should be a tensor of shape \(2, 128, 128\), got \(2, 128, 127\)"),
        ("type", "failed", "should be a tensor .* got str"),
        ("segfault", "failed", "SIGSEGV"),
    ],
)
def test_a_method_that_fails_has_a_row_with_its_reason(tmp_path, trouble, status, reason):
    (result,) = run(tmp_path, trouble=trouble)
    assert result.status == status
    assert re.search(reason, result.reason)
    assert check.check(tmp_path) == []


def test_only_the_images_with_nan_fail(tmp_path):
    (result,) = run(tmp_path, trouble="nan")
    assert result.status == "partial"
    assert [record["error"] is None for record in result.records] == [False, True, False]  # the first of each batch
    assert "NaN" in result.reason


def test_a_batch_that_fails_is_tried_image_by_image(tmp_path):
    (result,) = run(tmp_path, trouble="raise in a batch")
    assert result.status == "ok" and len(result.records) == 3


def test_a_hung_method_is_stopped_from_outside(tmp_path):
    started = time.monotonic()
    (result,) = run(tmp_path, rules=dataclasses.replace(RULES, cell_minutes=0.05), trouble="hang")
    assert result.status == "timeout" and "stopped after 0.05 minutes" in result.reason
    assert time.monotonic() - started < 60


def test_a_timing_that_hung_is_tried_once_more(tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    rules = dataclasses.replace(RULES, cell_minutes=0.2)
    (result,) = run(tmp_path / "results", ("runtime",), rules, trouble="hang at first", tally=calls)
    assert (result.status, result.reason) == ("ok", None) and result.provenance["seconds"] > 60 * rules.cell_minutes
    assert check.check(tmp_path / "results") == []


def test_a_timing_that_hangs_twice_is_a_timeout(tmp_path):
    rules = dataclasses.replace(RULES, cell_minutes=0.05)
    (result,) = run(tmp_path / "results", ("runtime",), rules, trouble="hang")
    assert result.status == "timeout" and result.reason.startswith("stopped after 0.05 minutes, twice; ")


def test_how_long_a_cell_took_does_not_depend_on_the_clock_on_the_wall(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)  # set back while the cell runs
    (result,) = run(tmp_path)
    assert 0 < result.provenance["seconds"] < 600


def test_a_killed_run_goes_on_from_the_images_it_had_finished(tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    folder = tmp_path / "results"
    script = (
        "from pathlib import Path; from tests.test_runner import run, RULES\n"
        f"if __name__ == '__main__': run(Path({str(folder)!r}), trouble='slow', tally={str(calls)!r})"
    )
    (tmp_path / "go.py").write_text(script)
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "go.py")],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "RECON_BENCH_MARK": str(tmp_path)},
    )
    journals = folder / ".partial"
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in journals.glob("*/journal.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert left_over(f"RECON_BENCH_MARK={tmp_path}") == []  # the cell ends with its runner, the fork server as well
    assert results.load(folder) == ([], [])
    before = len(list(calls.iterdir()))
    (result,) = run(folder, trouble="slow", tally=calls)
    assert [record["sample"] for record in result.records] == ["test-0000", "test-0001", "test-0002"]
    assert len(list(calls.iterdir())) - before < 3
    assert not list(journals.glob("*"))


def test_a_journal_cut_in_the_middle_of_a_line_loses_only_that_line(tmp_path):
    job = Job(TASK, ONE, "accuracy", {}, RULES, "cpu", 1, tmp_path, {})
    whole = [json.dumps({"record": dataclasses.asdict(Record(f"test-{i:04d}", {"psnr": 1.0}))}) for i in range(2)]
    job.journal.write_text(whole[0] + "\n" + whole[1][:20])
    process = multiprocessing.get_context("forkserver").Process(target=work, args=(job,))
    process.start()
    process.join()
    found = journal.read(job.journal)
    records, end = found.records, found.end({})
    assert sorted(record.sample for record in records) == ["test-0000", "test-0001", "test-0002"]
    assert end == {"end": "ok", "reason": None, "at": {}}
    (kept,) = [record for record in records if record.sample == "test-0000"]
    assert kept.values == {"psnr": 1.0}  # what was finished was not done again


@pytest.fixture
def meet(tmp_path):
    """Runs the points of one cell, two at a time; gives its result, and how often each point began."""
    tally = tmp_path / "tally"
    tally.mkdir()

    def run_points(trouble="", jobs=2, executor=None, rules=RULES):
        settings = {"one": {"tally": str(tally), "trouble": trouble}}
        asked = {"overrides": settings, "jobs": jobs, "executor": executor, "command": "test"}
        runner.run([TASK], [ONE], [MEETING], rules, tmp_path / "results", **asked)
        (result,), problems = results.load(tmp_path / "results")
        assert not problems and check.check(tmp_path / "results") == []
        return result, collections.Counter(path.name[0] for path in tally.iterdir())

    return run_points


class Watched(Local):
    """Knows the processes that it started, by point; starts none for the point ``refused``."""

    def __init__(self, refused=None, error=None):
        super().__init__()
        self.refused, self.error, self.started = refused, error, {}

    def start(self, job):
        if job.at["point"] == self.refused:
            raise self.error
        self.started[job.at["point"]] = super().start(job)
        return self.started[job.at["point"]]


def at_points(result):
    return {record["at"]["point"]: record for record in result.records}


def test_points_of_a_cell_are_measured_at_the_same_time_once_a_first_one_could_be(meet, tmp_path):
    result, begun = meet()
    values = {record["sample"]: record["values"] for record in result.records}
    assert [*values] == [*result.images] == ["point-0", "point-1", "point-2", "point-3"]
    assert values["point-0"]["begun"] == 1 and [values[f"point-{n}"]["met"] for n in (0, 1, 2)] == [0, 1, 1]
    assert result.status == "ok" and begun == dict.fromkeys("0123", 1)
    assert all((result.path.parent / image["file"]).is_file() for image in result.images.values())
    assert not list((tmp_path / "results" / ".partial").glob("*"))


def test_one_job_measures_one_point_after_the_other(meet):
    result, _ = meet("alone", jobs=1)
    assert [record["values"]["begun"] for record in result.records] == [1, 2, 3, 4]


def test_seconds_of_a_result_are_those_of_its_processes_and_not_fewer_with_more_jobs(meet):
    result, _ = meet("slow", jobs=4)
    assert result.provenance["seconds"] > 4 * 0.8


def test_a_run_that_was_interrupted_goes_on_with_the_points_that_had_not_ended(meet, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        meet("alone", jobs=1, executor=Watched(3, KeyboardInterrupt()))
    assert len(list((tmp_path / "results" / ".partial").rglob("journal.jsonl"))) == 3
    assert main(["merge", str(tmp_path / "results"), "--into", str(tmp_path / "all")]) == 1  # one cell is unfinished
    result, begun = meet("alone", jobs=2)
    assert [record["sample"] for record in result.records] == [f"point-{number}" for number in range(4)]
    assert result.status == "ok" and begun == dict.fromkeys("0123", 1)
    assert main(["merge", str(tmp_path / "results"), "--into", str(tmp_path / "all")]) == 0


def test_an_interruption_ends_all_points_that_are_under_way(meet):
    executor = Watched(2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        meet("stuck", executor=executor)
    assert [*executor.started] == [0, 1] and executor.poll(executor.started[1]) is not None


def test_a_point_that_cannot_be_started_ends_its_cell_alone(meet):
    executor = Watched(2, BlockingIOError("no more processes"))
    result, _ = meet("stuck", executor=executor)
    assert result.status == "failed" and "cannot go on: BlockingIOError: no more processes" in result.reason
    assert executor.poll(executor.started[1]) is not None


def test_points_go_on_without_one_that_dies(meet):
    result, _ = meet("dies")
    errors = {point: record["error"] for point, record in at_points(result).items()}
    assert errors == {0: None, 1: None, 2: "the process ended with exit status 3", 3: None}
    assert result.status == "partial" and [*result.images] == ["point-0", "point-1", "point-3"]


def test_a_point_that_hangs_is_stopped_after_its_own_time(meet):
    result, _ = meet("stuck", rules=dataclasses.replace(RULES, cell_minutes=0.1))
    assert {point: record["error"] for point, record in at_points(result).items()} == {
        0: None,
        1: "stopped after 0.1 minutes",
        2: "stopped after 0.1 minutes",
        3: None,
    }


def test_pictures_of_a_result_that_cannot_be_written_do_not_stay(meet):
    result, _ = meet("unwritable")
    assert result.status == "failed" and "met" in result.reason and not result.images
    assert not list(result.path.parent.glob("*.webp"))


def test_a_disk_that_is_full_keeps_what_was_measured_and_no_picture_without_its_result(meet, monkeypatch, tmp_path):
    def refuse(result, root):
        raise results.DiskFull("no space left")

    with monkeypatch.context() as full:
        full.setattr(results, "write", refuse)
        with pytest.raises(results.DiskFull):
            meet("alone")
    assert not list((tmp_path / "results" / TASK).rglob("one/*"))
    result, begun = meet("alone")
    assert len(result.images) == 4 and begun == dict.fromkeys("0123", 1)


def test_a_curve_without_any_point_is_left_to_the_measurement_to_explain(tmp_path):
    runner.run([DISCS], [ONE], ["shift", "sampling"], RULES, tmp_path)
    found, _ = results.load(tmp_path)
    assert {result.kind: result.status for result in found} == {"shift": "not-applicable", "sampling": "not-applicable"}
    assert all(result.reason for result in found)


def test_points_end_with_one_that_says_that_the_method_does_not_apply(meet):
    executor = Watched()
    result, begun = meet("not-applicable", executor=executor)
    assert (result.status, result.reason) == ("not-applicable", "there is no point 1")
    assert begun == dict.fromkeys("012", 1) and executor.poll(executor.started[2]) is not None
    assert [*at_points(result)] == [0]


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    with runner.alone(tmp_path), pytest.raises(ResultError, match="another run is writing there"):
        run(tmp_path)


def test_a_tuning_that_runs_out_of_time_counts_with_what_it_tried(tmp_path):
    rules = dataclasses.replace(RULES, cell_minutes=0.05, tuning_evaluations=100)
    tuned = {result.kind: result for result in run(tmp_path, ("tuning", "accuracy"), rules, trouble="slow")}
    assert tuned["tuning"].status == "timeout" and 0 < len(tuned["tuning"].records) < 100
    assert tuned["accuracy"].method["tuned"] == ["scale"]


def test_the_tuner_takes_the_cheaper_of_equals():
    method = dataclasses.replace(registry.method("cgls"))
    ledger = [Record("validation", {"psnr": 20 + 1e-4 * n}, {"iterations": float(n)}) for n in (1, 7, 20)]
    assert best_settings(method, ledger) == {"iterations": 1}
    ledger.append(Record("validation", {"psnr": 21.0}, {"iterations": 30.0}))
    assert best_settings(method, ledger) == {"iterations": 30}


def test_a_task_without_its_data_says_what_to_download(tmp_path, monkeypatch):
    monkeypatch.delenv("RECON_BENCH_LODOPAB", raising=False)
    with pytest.raises(ValueError, match="RECON_BENCH_LODOPAB"):
        runner.run(["lodopab"], ["fbp"], [], RULES, tmp_path)


def test_unknown_names_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(UnknownName, match="ct-shepp-logan-30"):
        runner.run(["ct-shep-logan-30"], [ONE], [], RULES, tmp_path)
    with pytest.raises(UnknownName, match="'fbp'"):
        runner.run([TASK], ["fpb"], [], RULES, tmp_path)
    with pytest.raises(UnknownName, match="'scale'"):
        run(tmp_path, scael=2)
    with pytest.raises(ValueError, match=r"one.scale takes float values such as 1.0, got 'big'"):
        run(tmp_path, scale="big")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises((ResultError, OSError), match="file"):
        run(blocked)


def test_a_second_run_within_the_budget_has_nothing_left_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(planned.Planned, "estimate", lambda cell, known: 20.0)
    for expected in (1, 0):
        runner.run([TASK], [ONE], ["accuracy", "runtime"], RULES, tmp_path, budget=25.0)
        assert f"{expected} cell{'s' * (not expected)} to run" in capsys.readouterr().out


def test_a_budget_leaves_out_what_would_take_longer(tmp_path, capsys):
    runner.run([TASK], [ONE], ["accuracy"], RULES, tmp_path, budget=1.0)
    assert results.load(tmp_path) == ([], [])
    assert "Left for later" in capsys.readouterr().out


def test_what_is_to_be_measured_again_is_counted_as_such_within_a_budget_and_without(tmp_path, capsys):
    run(tmp_path)
    for budget, counts in ((None, "1 cell to run"), (1e-3, "0 cells to run")):
        for force in (False, True):
            capsys.readouterr()
            runner.run([TASK], [ONE], ["accuracy"], RULES, tmp_path, budget=budget, force=force, dry_run=True)
            said = capsys.readouterr().out
            assert (counts if force else "0 cells to run") in said and f"{int(not force)} already done" in said
            assert f"{int(force and budget is not None)} left for later" in said
            assert "measured with other code" not in said


def test_a_method_that_is_edited_while_it_is_measured_gives_no_result(tmp_path):
    method = tmp_path / "edited.py"
    edit = "Path(__file__).write_text(Path(__file__).read_text() + 'CHANGED = 1\\nprint(CHANGED)\\n')"
    text = Path(ONE).read_text().replace("x = A.adjoint(y)", f"{edit}\n        x = A.adjoint(y)")
    method.write_text("from pathlib import Path\n" + text)
    (result,) = run(tmp_path / "results", method=str(method))
    assert (result.status, result.reason) == (
        "failed",
        "the method or its weights were changed during the run; run it again",
    )
