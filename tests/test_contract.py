"""The contract of a method: every baseline honours it, and each way of breaking it is told."""

import dataclasses
import os
import warnings
from functools import cache

import numpy as np
import pytest
import torch

from recon_bench import registry, templates
from recon_bench.core import Choice, Log, Method, NotApplicable
from recon_bench.operators.linear import Matrix
from recon_bench.scoring import contract, header, watching
from recon_bench.submission.look import look
from recon_bench.submission.small import small
from tests.helpers_training import TOY

TASKS = ("ct-ellipses-30", "mri-brain-4x", "ct-head-50")  # the last has what networks of random ellipses need
DEPTH = 8  # is enough to see what a method does
PROBLEM = TOY.problem()


@cache
def small_problem(task):
    return small(registry.task(task).problem())


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_BENCH_CACHE", str(tmp_path))


def findings(method):
    """On the first of the tasks that it applies to."""
    settings = method.settings
    if method.depth and method.network is None and getattr(settings, method.depth) > DEPTH:
        settings = dataclasses.replace(settings, **{method.depth: DEPTH})
    for task in TASKS:
        try:
            return list(look(method, small_problem(task), settings))
        except NotApplicable:
            continue
    raise AssertionError(f"{method.name} applies to none of the tasks")


@pytest.mark.parametrize("method", registry.methods().values(), ids=lambda method: method.name)
def test_every_baseline_honours_the_contract(method):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = findings(method)
    assert {finding.check: finding.failed for finding in found if finding.failed} == {}
    assert len(found) >= len(header.CHECKS) + len(watching.CHECKS) + len(contract.CHECKS) and not caught


@pytest.mark.parametrize("kind", ["iterative", "learned"])
def test_what_new_methods_start_from_honours_it(kind, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(templates.text(kind, "just-mine"))
    method = registry.imported(str(file))
    assert (method.name, method.title) == ("just-mine", "Just mine")
    assert not [finding for finding in findings(method) if finding.failed]


@dataclasses.dataclass(frozen=True)
class Settings:
    iterations: int = 30
    anything: float = 1.0


def honest(problem, settings):
    def reconstruct(y, A):
        x = torch.zeros((len(y), *A.domain_shape))
        for _ in range(settings.iterations):
            x = x + 0.002 * A.adjoint(y - A(x))
        return x

    return reconstruct


def after(change):
    """As the honest one, but for what ``change(x, y, A)`` makes of the image."""

    def build(problem, settings):
        reconstruct = honest(problem, settings)
        return lambda y, A: change(reconstruct(y, A), y, A)

    return build


def stretch_data(x, y, A):
    y *= 2
    return x


def scale_operator(x, y, A):
    A.matrix.mul_(1.1)
    return x


def global_draw(x, y, A):
    return x + 1e-9 * torch.rand(())


def fewer_threads(x, y, A):
    torch.set_num_threads(torch.get_num_threads() + 1)
    return x


def clock_noise(x, y, A):
    return x + 0.1 * x.abs().max() * torch.from_numpy(np.random.default_rng(None).normal(size=x.shape)).float()


def counts_calls(problem, settings):
    reconstruct, calls = honest(problem, settings), []

    def counting(y, A):
        calls.append(y)
        return reconstruct(y, A) * (1 + 0.1 * len(calls))

    return counting


def learns_from_the_first(problem, settings):
    reconstruct, first = honest(problem, settings), []

    def calibrated(y, A):
        first.append(y.abs().max())
        return reconstruct(y, A) / first[0]

    return calibrated


def table(problem, settings):
    reconstruct = honest(problem, settings)
    known = [problem.validation[index] for index in range(2)]

    def looked_up(y, A):
        return torch.stack([next((k.truth for k in known if k.data.equal(d)), reconstruct(d[None], A)[0]) for d in y])

    return looked_up


def deaf(problem, settings):
    return honest(problem, dataclasses.replace(settings, iterations=30))


def raising(x, y, A):
    raise ValueError("not today")


BROKEN = {
    "shape": after(lambda x, y, A: x[..., :-1]),
    "dtype": after(lambda x, y, A: x.double()),
    "device": after(lambda x, y, A: x.to("meta")),
    "finite": after(lambda x, y, A: x / 0),
    "data untouched": after(stretch_data),
    "operator untouched": after(scale_operator),
    "global state": after(global_draw),
    "global state ": after(fewer_threads),
    "repeatable": after(clock_noise),
    "no state between calls": counts_calls,
    "no state between calls ": learns_from_the_first,
    "batch against loop": after(lambda x, y, A: x - x.mean(0)),
    "no table": table,
    "beats zero": after(lambda x, y, A: -x),
    "honours depth": deaf,
    "runs": after(raising),
}


def method(build=honest, **facts):
    given = {"settings": Settings(), "search": {"iterations": Log(5, 50, integer=True)}, "depth": "iterations"} | facts
    words = {"title": "Mine", "summary": "Mine.", "reference": "none", "family": "iterative", "name": "mine"}
    return Method(build=build, **(words | given))


def broken(given):
    problem = PROBLEM
    if given.build is BROKEN["operator untouched"]:
        matrix = PROBLEM.operator(torch.eye(1024).reshape(-1, 32, 32)).flatten(1).T.contiguous()
        problem = dataclasses.replace(PROBLEM, operator=Matrix(matrix, (32, 32), PROBLEM.operator.range_shape))
    return {finding.check: finding.failed for finding in look(given, problem) if finding.failed}


def test_an_honest_method_breaks_nothing():
    assert broken(method()) == {}


@pytest.mark.parametrize("check", BROKEN)
def test_what_is_broken_is_named(check):
    threads = torch.get_num_threads()
    found = broken(method(BROKEN[check]))
    assert check.strip() in found and torch.get_num_threads() == threads
    if check != "operator untouched":  # whose later images are of another operator
        assert found.keys() <= {check.strip(), "repeatable"}


@pytest.mark.parametrize(
    ("facts", "check", "reason"),
    [
        ({"name": "My Method"}, "name", "small letters"),
        ({"title": "\udcff"}, "text", "cannot be written"),
        ({"reference": ""}, "text", "reference: expected text"),
        ({"family": "magic"}, "text", "expected one of direct"),
        ({"settings": Settings}, "settings", "an instance"),
        ({"settings": Settings(anything=float("nan"))}, "settings", "anything = nan cannot be written"),
        ({"settings": Settings(anything=os)}, "settings", "cannot be written"),
        ({"search": {"iteration": Log(1, 2)}}, "search", "'iteration' is no setting; there are: iterations"),
        ({"search": {"iterations": Log(0, 2)}}, "search", "0 < low < high"),
        ({"search": {"iterations": Choice((1, 2))}}, "search", "the default 30 is not among"),
        ({"search": {"iterations": (1, 2)}}, "search", "expected Log"),
        ({"depth": "layers"}, "depth", "the name of a setting"),
    ],
)
def test_what_a_method_says_of_itself_must_be_fit_to_be_written(facts, check, reason):
    found = broken(method(**facts))
    assert found.keys() >= {check} and reason in found[check]


def test_settings_that_are_not_frozen_are_told():
    @dataclasses.dataclass
    class Loose:
        iterations: int = 3

    assert "frozen=True" in broken(method(settings=Loose()))["settings"]
