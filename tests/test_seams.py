"""What comes from a file of its own: a measurement with a protocol, points and a curve; a shifted task."""

import dataclasses
from pathlib import Path

import pytest
import torch

from recon_bench import registry, results
from recon_bench.results.check import check
from recon_bench.rules import QUICK
from recon_bench.run import runner
from recon_bench.scoring.host import Host
from recon_bench.tables.board import board, curves
from tests.plugins import shifted, step_cost

PLUGINS = Path(__file__).parent / "plugins"
STEPS, COST, SHIFTED = (str(PLUGINS / f"{name}.py") for name in ("steps", "step_cost", "shifted"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of the demonstration measurement and of accuracy on a task."""
    folder = tmp_path_factory.mktemp("results")
    runner.run(["ct-ellipses-30"], [STEPS], [COST, "accuracy"], QUICK, folder)
    return folder


@pytest.fixture(scope="module")
def measured(folder):
    found, problems = results.load(folder)
    assert not problems
    return {result.kind: result for result in found}


def test_every_point_is_measured_in_a_process_of_its_own_and_one_that_dies_is_a_row(measured):
    result = measured["step-cost"]
    points = {record["at"]["depth"]: record for record in result.records}
    assert set(points) == {1, 2, 3, 4}
    assert points[3]["error"] == "the process ended with exit status 3" and not points[3]["values"]
    assert len({points[depth]["values"]["process"] for depth in (1, 2, 4)}) == 3
    assert (result.status, result.reason) == ("partial", "1 of 4 failed: the process ended with exit status 3")


def test_the_points_are_a_curve_of_the_board(folder, measured):
    found = curves(measured.values(), "ct-ellipses-30", "step-cost", rules="quick")
    saved = found[found["metric"] == "saved"]
    assert list(saved["at"]) == [1, 2, 4] and saved["value"].is_monotonic_increasing
    assert "psnr" in board(measured.values(), "ct-ellipses-30", rules="quick").frame
    assert check(folder) == []


def test_a_protocol_is_part_of_the_hash_of_its_measurement_alone(measured):
    protocol = dataclasses.replace(step_cost.PROTOCOL, depths=(1, 2))
    other = dataclasses.replace(step_cost.MEASUREMENT, protocol=protocol)
    assert other.hash != step_cost.MEASUREMENT.hash == measured["step-cost"].measurement["hash"]
    assert measured["step-cost"].measurement["protocol"] == {"depths": [1, 2, 4], "fatal": 3}
    assert measured["step-cost"].rules["hash"] == measured["accuracy"].rules["hash"] == QUICK.hash


def test_the_backend_of_the_operator_is_recorded(measured):
    assert measured["accuracy"].provenance["backend"] == "csr-int32"


def test_a_shifted_task_is_another_task_of_which_methods_are_told_the_old_operator():
    base, task = registry.task("ct-head-50"), registry.task(SHIFTED)
    assert task.hash != base.hash and task.name != base.name
    before, after = base.samples("test")[0], task.samples("test")[0]
    assert torch.equal(before.truth, after.truth) and not torch.equal(before.data, after.data)
    assert task.problem().operator.geometry == base.problem().operator.geometry
    moved = torch.roll(before.data, -2, dims=-1)  # bins, up to noise
    assert (after.data - moved).abs().mean() < 0.5 * (after.data - before.data).abs().mean()


def test_a_shifted_task_is_run_from_its_file(tmp_path):
    runner.run([SHIFTED], ["fbp"], ["accuracy"], QUICK, tmp_path)
    (result,), _ = results.load(tmp_path)
    assert result.task["name"] == shifted.TASKS[0].name and result.status == "ok"


def test_a_host_gives_the_gradient_of_a_scalar_with_respect_to_the_data():
    task = registry.task("ct-ellipses-30")
    host = Host(registry.imported(STEPS), task.problem(dtype=torch.float64))
    host.set_up(host.method.settings)
    y = task.samples("test")[0].data[None].double()
    weight = torch.ones(1, *host.operator.domain_shape, dtype=torch.float64)
    gradient = host.gradient(y, weight)
    direction = torch.ones_like(y)
    ends = [host.reconstruct(y + sign * 1e-5 * direction)[0].x.sum() for sign in (1, -1)]
    assert float((gradient * direction).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-4)


def test_a_method_that_is_not_differentiable_says_so():
    task = registry.task("ct-ellipses-30")
    host = Host(registry.method("kaczmarz"), task.problem())
    with pytest.raises(RuntimeError, match="set_up first"):
        host.seconds(task.samples("test")[0].data[None])
    constant = dataclasses.replace(host.method, build=lambda problem, settings: lambda y, A: A.adjoint(y.detach()))
    host = Host(constant, task.problem())
    host.set_up(constant.settings)
    y = task.samples("test")[0].data[None]
    with pytest.raises(RuntimeError, match="kaczmarz is not differentiable"):
        host.gradient(y, torch.ones(1, 128, 128))


def test_a_module_that_exports_nothing_is_an_error(tmp_path):
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    for find, exported in ((registry.task, "TASKS"), (registry.measurement, "MEASUREMENT")):
        with pytest.raises(registry.UnknownName, match=f"exports no {exported}"):
            find(str(empty))
    with pytest.raises(ValueError, match=r"exports no TASKS; what several share belongs into the package"):
        registry._exported(registry, "TASKS")
