"""Whether a method honours the contract, promise by promise, in seconds: on a small version of a task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from recon_bench import learned, weights
from recon_bench.core import Method, NotApplicable, Problem, Reconstructor
from recon_bench.scoring import contract, header, watching
from recon_bench.scoring.answers import reason
from recon_bench.scoring.contract import Case
from recon_bench.scoring.host import Host
from recon_bench.submission.small import small
from recon_bench.task import Task

COUNT = 2  # images


@dataclass(frozen=True)
class Finding:
    """What became of one check: ``failed`` says why it did, ``skipped`` why it was not looked at."""

    check: str
    failed: str | None = None
    skipped: str | None = None


def untrained(method: Method) -> Method:
    """A learned method with its first weights in the place of trained ones; any other as it is."""
    network = method.network
    if network is None:
        return method

    def build(problem: Problem, settings: Any) -> Reconstructor:
        made = learned.untrained(network, problem, settings).eval().requires_grad_(False)
        return lambda y, A: made(y / problem.data_range, A) * problem.data_range

    return replace(method, build=build, network=None)


def is_trained(method: Method, task: str) -> bool:
    """Whether there is nothing to train, or there are weights for the task."""
    return method.network is None or bool(weights.own(method, task))


def look(method: Method, problem: Problem, settings: Any = None) -> Iterator[Finding]:
    """A finding for each promise of the contract. NotApplicable where the method cannot run on the problem.

    A learned method without weights for the problem's task is looked at with its first ones. ``settings`` are those
    that it comes with unless given.
    """
    wrong = {name: check(method) for name, check in header.CHECKS.items()}
    yield from (Finding(name, failed) for name, failed in wrong.items())
    if any(wrong.values()):
        return
    first, noted = untrained(method), dict[str, str]()
    used = method if is_trained(method, problem.task) else first
    host = Host(watching.watched(used, noted), problem)
    given = [problem.validation[index] for index in range(COUNT)]
    case = Case(settings or method.settings, torch.stack([sample.data for sample in given]))
    failed, answers = None, None
    try:
        host.set_up(case.settings, case.seed)
        failed = next((each.error for each in host.reconstruct(case.y) if each.error), None)
        answers = None if failed else contract.ask(host, case)
    except NotApplicable:
        raise
    except (Exception, SystemExit) as error:  # a method may raise anything
        failed = reason(error, host.device)
    yield Finding("runs", None if noted else failed)
    yield from (Finding(name, noted.get(name)) for name in watching.CHECKS if answers or name in noted)
    if answers is None:
        return
    yield from _answered(answers)
    if method.network is None:
        yield Finding("beats zero", contract.beats_zero(answers, torch.stack([sample.truth for sample in given])))
    if not noted:  # what is wrong there would be wrong here
        yield _depth(Host(first, problem), case)


def _answered(answers: contract.Answers) -> Iterator[Finding]:
    """What the answers tell, up to what makes the rest meaningless: an image that changes does so in a batch, too."""
    wrong = ""
    for name, check in contract.CHECKS.items():
        if wrong:
            yield Finding(name, skipped=f"{wrong} comes first")
            continue
        yield (found := Finding(name, check(answers)))
        wrong = name if found.failed else ""


def broken(method: Method, tasks: Iterable[Task]) -> list[str]:
    """What is broken on the small version of the first of the ``tasks`` that a method applies to."""
    for task in tasks:
        with contextlib.suppress(NotApplicable):
            found = list(look(method, small(task.problem())))
            return [f"{finding.check}: {finding.failed}" for finding in found if finding.failed]
    return ["it applies to no task"]


def _depth(host: Host, case: Case) -> Finding:
    """Of a learned method with its first weights: those of a training are of one depth."""
    if host.method.depth is None:
        return Finding("honours depth", skipped="no setting counts applications of A")
    try:
        return Finding("honours depth", contract.honours_depth(host, case))
    except (Exception, SystemExit) as error:  # a method may raise anything
        return Finding("honours depth", f"at another depth it fails: {reason(error, host.device)}")
