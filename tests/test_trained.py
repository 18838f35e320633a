"""Measurements of trainings: their curves, their seeds, and how many images they need."""

import dataclasses
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recon_bench import learned, registry, weights
from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell
from recon_bench.measurements import backward_rules, data_efficiency, seeds, training
from recon_bench.recipe import Recipe
from recon_bench.results import load
from recon_bench.results.check import check
from recon_bench.rules import Rules
from recon_bench.run import journal, plan, worker
from recon_bench.run.planned import RunSetup
from recon_bench.training import examples
from recon_bench.training import loop as train
from tests.helpers_training import TOY, UNET, fresh

RULES = Rules("test", 1, images=3, tuning_evaluations=0, tuning_images=0)


pytestmark = pytest.mark.usefixtures("home")


def go(home, seed=0, **options):
    settings = dataclasses.replace(UNET.settings, seed=seed)
    return train.train(UNET, TOY, settings=settings, folder=home / "checkpoints", **options)


def measured(module, done=()):
    cell = Cell(TOY, UNET, UNET.settings, RULES, torch.device("cpu"))
    return list(module.MEASUREMENT.measure(cell, {record.key: record for record in done}, lambda *_: None))


def test_the_training_of_a_method_is_its_card_as_records(home):
    card = weights.card(go(home, steps=40))
    scalars, *points = measured(training)
    assert scalars.values["parameters"] == card["parameters"] and scalars.values["training_samples"] == 160
    curve = {point.at["steps"]: point.values for point in points}
    assert [(step, values["validation"]) for step, values in curve.items() if "validation" in values] == [
        tuple(point) for point in card["validation"]
    ]
    assert set(curve) >= {step for step, _ in card["loss"]}


def test_data_efficiency_is_a_curve_over_the_number_of_images(home):
    for images in (1, 6):
        go(home, steps=20, images=images)
    records = measured(data_efficiency)
    assert {record.at["images"] for record in records} == {1, 6}
    assert len(records) == 6 and all(record.values["psnr"] > 0 for record in records)
    assert [record.key for record in measured(data_efficiency, done=records[:4])] == [r.key for r in records[4:]]


def test_seeds_are_scored_one_by_one_and_their_spread_is_given(home):
    for seed in (0, 1, 2):
        go(home, seed, steps=20)
    *scored, spread = measured(seeds)
    means = [statistics.fmean(r.values["psnr_seeds"] for r in scored if r.seed == seed) for seed in (0, 1, 2)]
    assert len(set(means)) == 3
    assert spread.values["seed_spread"] == pytest.approx(statistics.stdev(means))
    *rest, again = measured(seeds, done=scored[:5])
    assert [record.key for record in rest] == [record.key for record in scored[5:]]
    assert again.values["seed_spread"] == pytest.approx(spread.values["seed_spread"])


def test_seeds_with_other_budgets_are_not_compared(home):
    for seed, steps in ((0, 20), (1, 30)):
        go(home, seed, steps=steps)
    with pytest.raises(NotApplicable, match="differ in more than their seed"):
        measured(seeds)


def test_what_weights_started_from_counts(home):
    name = go(home, steps=20)
    settings = dataclasses.replace(UNET.settings, weights=name)
    train.train(UNET, TOY, settings=settings, folder=home / "checkpoints", steps=20)
    assert measured(training)[0].values["training_samples"] == 160
    go(home, 1, steps=20)
    with pytest.raises(NotApplicable, match="differ in more than their seed"):
        measured(seeds)


def test_backward_rules_are_compared_from_seeds_of_their_own(home):
    method = registry.method("de-grad")
    method = dataclasses.replace(method, settings=dataclasses.replace(method.settings, depth=3, width=4, layers=2))
    for rule, steps in (("anderson", 10), ("jacobian-free", 10), ("neumann", 20)):
        settings = dataclasses.replace(method.settings, seed=1, backward=rule)
        train.train(method, TOY, settings=settings, steps=steps, folder=home / "checkpoints")
    cell = Cell(TOY, method, method.settings, RULES, torch.device("cpu"))
    with pytest.raises(NotApplicable, match="differ in more than their backward rule"):
        list(backward_rules.measure(cell, {}, lambda *_: None))
    train.train(method, TOY, settings=settings, steps=10, folder=home / "checkpoints", replace=True)
    told, *records = list(backward_rules.measure(cell, {}, lambda *_: None))
    rules = {"psnr_anderson", "psnr_jacobian-free", "psnr_neumann"}
    assert set(told.values.values()) == {10.0 * method.recipe.batch} and told.seed == 1 and len(told.values) == 3
    assert [record.seed for record in records] == [1, 1, 1] and all(set(r.values) == rules for r in records)
    assert len(set(records[0].values.values())) == 3
    done = {record.key: record for record in (told, *records[:2])}
    again = list(backward_rules.measure(cell, done, lambda *_: None))
    assert [record.key for record in again] == [record.key for record in records[2:]]
    for rule, start in (("anderson", "de-grad"), ("jacobian-free", "de-grad-backwardjacobian-free")):
        started = dataclasses.replace(settings, seed=2, backward=rule, weights=f"toy/{start}-seed1")
        train.train(method, TOY, settings=started, steps=10, folder=home / "checkpoints")
    with pytest.raises(NotApplicable, match="trainings of seed 2 to start from the same weights"):
        list(backward_rules.measure(cell, {}, lambda *_: None))
    plain = train.train(method, TOY, steps=10, folder=home / "checkpoints")
    assert seeds.names(method, "toy") == []  # seeds of rules that are compared are none of a method's own
    other = dataclasses.replace(method.settings, seed=3)
    third = train.train(method, TOY, settings=other, steps=10, folder=home / "checkpoints")
    assert seeds.names(method, "toy") == [plain, third]


def ended(job):
    """How a worker ended, by its journal, and why."""
    process = multiprocessing.get_context("spawn").Process(target=worker.work, args=(job,))
    process.start()
    process.join()
    found = journal.read(job.journal).end(job.at)
    job.journal.unlink()
    return found["end"], found["reason"]


def test_a_cell_fails_when_its_weights_change_under_it(home):
    keywords = {"settings": {}, "rules": RULES, "device": "cpu", "threads": 1, "folder": home}
    state = learned.untrained(UNET.network, registry.task("ct-shepp-logan-30").problem(), UNET.settings).state_dict()
    name = weights.save("unet", "ct-shepp-logan-30", state, {})
    job = worker.Job("ct-shepp-logan-30", "unet", "training", weights={name: "those of before"}, **keywords)
    assert ended(job) == ("failed", worker.CHANGED)
    trained_meanwhile = dataclasses.replace(job, kind="accuracy", weights={})
    assert ended(trained_meanwhile) == ("failed", worker.CHANGED)


def test_trainings_are_asked_for_only_where_there_are_some_and_again_when_they_change(home):
    kinds = ["accuracy", "training", "seeds", "data-efficiency"]
    task, setup = registry.task("ct-shepp-logan-30"), RunSetup(RULES, "cpu", 1, {})

    def planned():
        return {cell.kind.name: cell for cell in plan.cells([task.name], ["unet", "fbp"], kinds, setup) if cell.weights}

    assert planned() == {}
    state = learned.untrained(UNET.network, task.problem(), UNET.settings).state_dict()
    own = {"accuracy", "training"}
    for images, names in ((0, own), (32, own), (320, own | {"data-efficiency"})):
        weights.save("unet", task.name, state, {"settings": {}}, variant=f"images{images}" * bool(images))
        assert set(planned()) == names
    before = planned()
    weights.save("unet", task.name, state, {"settings": {}}, variant="images3200")
    after = planned()
    assert before["accuracy"] == after["accuracy"]
    assert before["data-efficiency"].weights != after["data-efficiency"].weights


def test_a_network_trained_on_phantoms_sees_no_scan(home):
    method = learned.on_phantoms(UNET)
    with pytest.raises(NotApplicable, match="of scans"):
        train.train(method, TOY, steps=20, folder=home)

    def scan(*_):
        raise AssertionError("a scan was looked at")

    task = dataclasses.replace(TOY, phantoms=fresh, fresh=scan, draw=scan)
    for images, name in ((0, "toy/unet-phantoms"), (2, "toy/unet-phantoms-images2")):
        assert train.train(method, task, steps=20, images=images, folder=home) == name
        assert weights.card(name)["data"] == "phantoms"
    problem = examples.on_phantoms(task.problem())
    assert torch.equal(problem.validation[1].data, problem.validation[1].data)
    assert not torch.equal(problem.validation[0].data, problem.validation[1].data)


def test_a_network_trained_on_one_scan_sees_nothing_else(home):
    def changed(*_):
        raise AssertionError("a changed scan was looked at")

    task = dataclasses.replace(TOY, fresh=changed)
    assert train.train(learned.on_scan_alone(UNET), task, steps=20, folder=home) == "toy/unet-scan-alone"
    assert weights.card("toy/unet-scan-alone")["data"] == "images of the training split"
    with pytest.raises(AssertionError, match="changed scan"):
        train.train(UNET, task, steps=20, folder=home)
    with pytest.raises(ValueError, match="not both"):
        Recipe(steps=1, batch=1, phantoms=True, scan_alone=True)


def test_starting_from_smaller_weights_keeps_what_they_have(home):
    small, large = (
        learned.untrained(UNET.network, TOY.problem(), dataclasses.replace(UNET.settings, width=width))
        for width in (4, 6)
    )
    state = small.state_dict()
    grown = weights.grown(large, state)
    weights.install(large, grown, "grown")
    for key, tensor in state.items():
        assert torch.equal(grown[key][tuple(map(slice, tensor.shape))], tensor)
    with pytest.raises(weights.WeightsError, match="another architecture"):
        weights.install(small, weights.grown(small, grown), "too large")


def test_a_training_shows_from_the_weights_to_the_site(home):
    def call(*words):
        environment = os.environ | {"RECON_BENCH_WEIGHTS": str(home / "weights")}
        command = [sys.executable, "-m", "recon_bench", *map(str, words)]
        return subprocess.run(command, env=environment, cwd=home, check=True, capture_output=True, text=True).stdout

    method, results = Path(__file__).parent / "methods" / "tiny.py", home / "results"
    for seed in (0, 1):
        call("train", method, "--task", "ct-shepp-logan-30", "--steps", 10, "--seed", seed, "--threads", 1)
    kinds = ["accuracy", "runtime", "seeds", "training"]
    asked = ["--tasks", "ct-shepp-logan-30", "--methods", method, "--rules", "quick", "--measurements", *kinds]
    for _ in range(2):
        call("run", *asked, "--results", results)
    found, problems = load(results)
    assert not problems and check(results) == []
    assert sorted(result.kind for result in found) == kinds
    assert {result.status for result in found} == {"ok"}
    call("site", "--results", results, "--out", home / "site")
    page = (home / "site" / "method" / "tiny.html").read_text()
    assert "40 samples in 10 steps of 4" in page
    (row, _) = json.loads(call("list", "weights", "--json"))
    assert (row["weights"], row["samples"], row["finished"]) == ("ct-shepp-logan-30/tiny", 40, True)
    assert json.loads(call("show", row["weights"], "--json"))["recipe"]["batch"] == 4
    assert "recon-bench train tiny.py --task ct-shepp-logan-30 --steps 10" in page
    assert "PSNR spread of trainings" in (home / "site" / "board" / "ct-shepp-logan-30.html").read_text()
