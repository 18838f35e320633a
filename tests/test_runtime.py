"""Timings that a method cannot shorten: new data each time, answers that are compared, and a look at the machine."""

import dataclasses
import inspect
import os
import time

import pytest
import torch

from recon_bench import processes, registry
from recon_bench.core import Method
from recon_bench.measurement import Cell
from recon_bench.measurements import runtime
from recon_bench.rules import Rules
from recon_bench.scoring import load
from recon_bench.scoring.load import Load

TASK = registry.task("ct-shepp-logan-30")
BATCH = 3
RULES = Rules("test", 1, 3, 0, 0, repeats=4, batch_pixels=BATCH * 128 * 128)
SLEEP = 0.02  # seconds that an image takes
QUIET, BUSY = Load(0.5, 0.01, 1.0), Load(0.5, 1.4, 3.0)


@pytest.fixture
def loads(monkeypatch):
    """The loads that are seen, one after the other: of the set-up, then of each attempt."""
    seen = [QUIET, QUIET]
    monkeypatch.setattr(runtime, "during", lambda call: (call(), seen.pop(0)))
    monkeypatch.setattr(runtime, "PROTOCOL", dataclasses.replace(runtime.PROTOCOL, wait_seconds=0.0))
    return seen


def measured(reconstruct, task=TASK):
    """Records of a method that is this function."""
    method = Method("fake", "Fake", "direct", "A fake.", "none", lambda problem, settings: reconstruct, None)
    cell = Cell(task, method, None, RULES, torch.device("cpu"))
    return {record.sample: record for record in runtime.MEASUREMENT.measure(cell, {}, None)}


def times(records, metric):
    return [record.values[metric] for record in records.values() if metric in record.values]


def honest(y, A):
    time.sleep(SLEEP * len(y))
    return A.adjoint(y)


def test_an_honest_method_has_its_time_for_every_repeat(loads):
    records = measured(honest)
    assert not any(record.error or record.note for record in records.values())
    for metric, count in (("seconds", RULES.repeats), ("batch_seconds", runtime.PROTOCOL.batches)):
        assert len(times(records, metric)) == count and min(times(records, metric)) >= SLEEP
    assert records["operator"].values == {"applications": 0.5}
    assert records["load"].values == {"others": 0.01, "load_average": 1.0, "cores": processes.cores()}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that has it")
def test_cores_are_those_that_may_be_used():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert processes.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert processes.cores() == len(allowed)


def test_no_data_are_timed_twice_nor_seen_before_even_where_images_are_few(loads):
    seen = []

    def watching(y, A):
        if any(frame.function == "seconds" for frame in inspect.stack()):
            seen.extend(image.numpy().tobytes() for image in y)
        return A.adjoint(y)

    measured(watching, dataclasses.replace(TASK, sizes={"train": 2, "validation": 1, "test": 2}))
    assert len(seen) == len({*seen}) == 1 + RULES.repeats + BATCH * (1 + runtime.PROTOCOL.batches)


def test_answers_from_memory_gain_nothing(loads):
    known = {}

    def remembering(y, A):
        keys = [each.numpy().tobytes() for each in y]
        for key, each in zip(keys, y):
            if key not in known:
                known[key] = honest(each[None], A)
        return torch.cat([known[key] for key in keys])

    records = measured(remembering)
    assert min(*times(records, "seconds"), *times(records, "batch_seconds")) >= SLEEP


def test_a_batch_is_of_distinct_images_whose_time_cannot_be_shared(loads):
    def sharing(y, A):
        once, index = torch.unique(y, dim=0, return_inverse=True)
        return honest(once, A)[index]

    assert min(times(measured(sharing), "batch_seconds")) >= SLEEP


def test_a_batch_that_is_made_of_one_image_is_an_error(loads, monkeypatch):
    monkeypatch.setattr(runtime, "PROTOCOL", dataclasses.replace(runtime.PROTOCOL, checks=100))  # every image
    records = measured(lambda y, A: honest(y[:1], A).expand(len(y), -1, -1), registry.task("ct-ellipses-30"))
    errors = [record.error for record in records.values() if record.error]
    assert len(errors) == runtime.PROTOCOL.batches and len(times(records, "seconds")) == RULES.repeats
    for error in errors:
        assert error.startswith("the timed reconstruction differs from the scored one by ")
        assert error.endswith(" %, expected at most 3 %")


def test_a_method_that_does_less_while_it_is_timed_is_an_error(loads):
    def hasty(y, A):
        timed = any(frame.function == "seconds" for frame in inspect.stack())
        return A.adjoint(y) * (1 - 2e-3 * timed)

    wrong = [record for record in measured(hasty).values() if record.error]
    assert len(wrong) == runtime.PROTOCOL.checks and all(not record.values for record in wrong)
    assert wrong[0].error == "the timed reconstruction differs from the scored one by 0.2 %, expected at most 0.1 %"


def test_a_method_may_give_its_own_buffer_every_time(loads):
    buffer = {size: torch.empty(size, 128, 128) for size in (1, BATCH)}
    records = measured(lambda y, A: buffer[len(y)].copy_(A.adjoint(y)))
    assert not any(record.error for record in records.values())


def test_what_is_nan_while_it_is_timed_is_an_error(loads):
    calls = []

    def worse(y, A):
        calls.append(y)
        return A.adjoint(y) * (torch.nan if len(calls) == 4 else 1)  # reconstructed, warmed up, timed, timed

    (wrong,) = [record for record in measured(worse).values() if record.error]
    assert wrong.sample == "reconstruct-1" and "NaN" in wrong.error


def test_a_slow_method_is_repeated_less_often(loads, monkeypatch):
    monkeypatch.setattr(f"{__name__}.RULES", dataclasses.replace(RULES, timing_seconds=SLEEP))
    records = measured(honest)
    assert (len(times(records, "seconds")), len(times(records, "batch_seconds"))) == (3, 1)


def test_a_disturbed_timing_is_made_again_and_the_least_disturbed_kept(loads):
    loads[:] = [QUIET, BUSY, dataclasses.replace(BUSY, others=0.5), dataclasses.replace(BUSY, others=0.7)]
    records = measured(honest)
    assert loads == [] and records["load"].values["others"] == 0.5 and records["setup"].note is None
    notes = {record.note for record in records.values() if record.values.keys() & {"seconds", "batch_seconds"}}
    assert notes == {"timed on a loaded machine: others used 0.50 cores"}


def test_a_quiet_timing_is_the_last(loads):
    loads[:] = [BUSY, BUSY, QUIET, BUSY]
    records = measured(honest)
    assert loads == [BUSY] and records["load"].values["others"] == 0.01
    assert "others used 1.40 cores" in records["setup"].note and records["reconstruct-0"].note is None


def test_a_disturbed_timing_is_not_made_again_where_half_the_time_is_gone(loads):
    loads[:] = [QUIET, dataclasses.replace(BUSY, seconds=30 * RULES.cell_minutes), QUIET]
    assert "loaded" in measured(honest)["reconstruct-0"].note and loads == [QUIET]


def test_a_system_that_does_not_tell_has_no_note(loads):
    loads[:] = [QUIET, dataclasses.replace(QUIET, others=None)]
    records = measured(honest)
    assert "others" not in records["load"].values and records["reconstruct-0"].note is None


class Proc:
    """A small /proc: ticks of each processor, and of processes with their parents."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def write(self, busy: dict[int, int], processes: dict[int, tuple[int, int]]) -> None:
        rows = [f"cpu{number} {ticks} 0 0 {7 * ticks} 5 0 0 0 0 0" for number, ticks in busy.items()]
        (self.folder / "stat").write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *rows, "ctxt 5"]))
        for pid, (parent, ticks) in processes.items():
            (self.folder / str(pid)).mkdir(exist_ok=True)
            (self.folder / str(pid) / "stat").write_text(f"{pid} (a ) b) R {parent} {'0 ' * 9}{ticks} 0 0 0 20 0")


def test_load_is_what_others_use_of_the_processors_that_are_available(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "PROC", tmp_path)
    here = min(os.sched_getaffinity(0))
    me, child, grandchild, stranger = os.getpid(), 10**7, 10**7 + 1, 10**7 + 2
    proc, tick = Proc(tmp_path), os.sysconf("SC_CLK_TCK") * load.SHORTEST
    own = {me: (1, 10), child: (me, 0), grandchild: (child, 0)}
    proc.write({here: 1000, 10**4: 1000}, {**own, stranger: (1, 500)})

    def work():
        busy = {pid: (parent, ticks + int(0.2 * tick)) for pid, (parent, ticks) in own.items()}
        proc.write({here: 1000 + int(1.0 * tick), 10**4: 9000}, {**busy, stranger: (1, 9000)})
        return "done"

    result, found = load.during(work)
    assert result == "done" and found.others == pytest.approx(1.0 - 3 * 0.2, abs=0.02)


def test_load_is_unknown_without_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "PROC", tmp_path)
    _, found = load.during(lambda: None)
    assert found.others is None and found.average >= 0


def test_what_a_method_computes_is_its_own():
    def work():
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass

    before = load._own()
    load.during(work)
    assert load._own() - before >= 0.4 * os.sysconf("SC_CLK_TCK")
