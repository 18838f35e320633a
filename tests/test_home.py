"""The process that a method lives in: the same answers as in this one, and the time of a call from outside."""

import ctypes
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recon_bench import processes, registry
from recon_bench.core import NotApplicable
from recon_bench.fixed_point import Limits
from recon_bench.measurement import Cell
from recon_bench.measurements import iterations
from recon_bench.rules import FULL, QUICK
from recon_bench.run.apart import ApartError, apart
from recon_bench.scoring import wire
from recon_bench.scoring.equilibria import Effort
from recon_bench.scoring.host import host
from tests.methods.clocked import ASIDE

TESTS = Path(__file__).parent
TASK = str(TESTS / "attacks" / "task.py")
CLOCKED, STEPS = str(TESTS / "methods" / "clocked.py"), str(TESTS / "plugins" / "steps.py")
LIMITED = str(TESTS / "methods" / "limited.py")
OVERHEAD = 0.3e-3  # seconds of a call beyond the method's own


def differences(cell):
    """Of the times of calls by the clock outside and by the method's own."""
    method, y = host(cell), cell.task.samples("test")[0].data[None]
    method.set_up(cell.settings)
    timed = [method.seconds(y) for _ in range(40)]
    return [taken - float(found.x[0, 0]) for taken, (found,) in timed]


def test_times_inside_and_outside_agree():
    found = apart(TASK, f"{CLOCKED}:clocked", {}, differences)
    assert min(found) >= 0  # whoever shares the processors adds to some of them
    assert min(found) <= OVERHEAD


def seconds(cell):
    method, y = host(cell), cell.task.samples("test")[0].data[None]
    method.set_up(cell.settings)
    return [method.seconds(y)[0] for _ in range(3)]


@pytest.mark.parametrize("name", ["computes", "waits", "early", "stops"])
def test_what_is_done_beside_a_timed_call_counts(name):
    assert min(apart(TASK, f"{CLOCKED}:{name}", {}, seconds)) >= 0.8 * ASIDE


def set_up(cell):
    method = host(cell)
    return [method.set_up(cell.settings) for _ in range(3)]


def test_what_is_done_after_a_set_up_said_that_it_had_done_counts():
    assert min(apart(TASK, f"{CLOCKED}:built-early", {}, set_up)) >= 0.8 * ASIDE


def memory(cell):
    """GiB of data that the process of a method may have, and has."""
    method = host(cell)
    method.set_up(cell.settings)
    (found,) = method.reconstruct(cell.task.samples("test")[0].data[None])
    return found.x[0, :2].tolist()


@pytest.mark.skipif(not processes.PROC.is_dir(), reason="needs /proc")
def test_the_memory_of_a_method_is_what_is_free_unless_a_limit_is_given():
    limit, used = apart(TASK, LIMITED, {}, memory)
    assert used < limit < used + 1.5 * processes.free_memory() / 2**30
    limit, used = apart(TASK, LIMITED, {}, memory, memory=2**30)
    assert 0.5 < limit - used <= 1


def answers(cell):
    """All that a measurement can ask."""
    method, size = host(cell), host(cell, 24)
    y = torch.stack([sample.data for sample in cell.task.samples("test")])
    weight = torch.linspace(0, 1, 3 * 32 * 32).reshape(3, 32, 32)
    found = {"operator": method.changed_operator()}
    method.set_up(cell.settings)
    found["images"] = [each.x for each in method.reconstruct(y)]
    found["timed"] = [each.x for each in method.seconds(y)[1]]
    found["gradient"] = method.gradient(y, weight)
    found["linearised"] = method.linearise(y), method.pull_back(weight)
    found["applications"] = method.applications(y, cell.settings)
    found["equilibria"] = method.fixed_points(y, Effort(3, 20, 1e-6), cell.settings)
    found["saved"] = method.step(y, weight).saved_bytes
    size.set_up_untrained(dataclasses.replace(cell.settings, depth=2))
    data = torch.ones(1, *size.operator.range_shape)
    found["memory"] = size.training_memory(data, torch.ones(1, 24, 24)), size.inference_memory(data)
    return found


def test_another_process_gives_the_same_answers_to_the_last_bit():
    method = registry.imported(STEPS)
    threads = torch.get_num_threads()
    here = answers(Cell(registry.task(TASK), method, method.settings, FULL, torch.device("cpu")))
    there = apart(TASK, STEPS, {}, answers)
    assert torch.get_num_threads() == threads and here.keys() == there.keys()
    for name, value in here.items():
        assert same(value, there[name]), name


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def where(cell):
    """Processes: of the method's caller, and those that are its descendants while the method is there."""
    method = host(cell)
    method.set_up(cell.settings)
    return os.getpid(), processes.descendants(os.getpid())


@pytest.mark.skipif(not processes.PROC.is_dir(), reason="needs /proc")
def test_a_method_lives_in_a_process_of_its_own_that_ends_with_its_use():
    pid, below = apart(TASK, STEPS, {}, where)
    assert pid != os.getpid() and len(below) == 1
    assert not [each for each in (pid, *below) if os.path.exists(f"/proc/{each}")]  # noqa: PTH110


def test_what_a_method_raises_is_told_apart():
    with pytest.raises(ApartError, match="RuntimeError: expected a method that was set up: call set_up first"):
        apart(TASK, STEPS, {}, not_set_up)
    with pytest.raises(ApartError, match="NotApplicable: needs Fourier data"):
        apart(TASK, "zero-filled", {}, seconds)


def not_set_up(cell):
    host(cell).gradient(torch.zeros(1), torch.zeros(1))


def twenty_iterations(cell):
    """Errors and notes of a network for ten."""
    settings = iterations.with_weights(cell)
    cell = dataclasses.replace(cell, settings=settings, rules=QUICK)
    return {(r.error, r.note) for r in iterations.point(cell, host(cell), 20, lambda *_: None)}


def test_a_network_in_another_process_repeats_its_last_block_where_there_are_no_weights_for_more():
    assert apart("ct-ellipses-30", "unrolled-gradient", {}, twenty_iterations) == {(None, iterations.REPEATS)}


def test_tensors_of_any_type_and_plain_data_cross_and_nothing_else():
    context = processes.server()
    one, other = context.Pipe()
    tensors = [torch.ones(2, 3, dtype=dtype) for dtype in (torch.bfloat16, torch.complex64, torch.bool, torch.int8)]
    tensors += [torch.empty(0, 4), torch.tensor(2.5), torch.arange(6.0).reshape(2, 3).T, torch.tensor([1j]).conj()]
    value = {"tensors": tensors, "limits": Limits(3), "plain": [None, True, 1, float("inf"), "\udcff"]}
    wire.send(one, value)
    got = wire.receive(other)
    assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(tensors, got["tensors"], strict=True))
    assert got["limits"] == Limits(3) and got["plain"] == value["plain"]
    with pytest.raises(TypeError, match="expected tensors and plain data, got NotApplicable"):
        wire.send(one, [NotApplicable("no data")])
    assert not other.poll()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs the allocator of glibc")
def test_freed_memory_is_kept_for_the_next_step():
    """A large tensor that is made again costs no new pages."""
    code = (
        "import resource, torch\nfrom recon_bench import processes\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def steps():\n    before = faults()\n    for _ in range(10):\n        torch.ones(1 << 24)\n"
        "    return faults() - before\n"
        "before = steps()\nprocesses.keep_freed_memory()\nsteps()\nprint(before, steps())\n"
    )
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    usual, kept = map(int, made.split())
    assert kept < usual / 10
