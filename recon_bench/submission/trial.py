"""A first look at a method: does it honour the contract, how good is it, and where would it stand?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recon_bench.core import Method
from recon_bench.results import Result
from recon_bench.scoring.answers import reason
from recon_bench.scoring.contract import CHECKS
from recon_bench.submission.look import Finding, is_trained, look
from recon_bench.submission.small import small
from recon_bench.submission.standing import Standing, score, standing
from recon_bench.task import Task


@dataclass(frozen=True)
class Trial:
    """What became of a method on a task: its ``findings``, and where it stands or else why that is not known."""

    method: str
    task: str
    findings: Sequence[Finding]
    standing: Standing | None = None
    unscored: str | None = None

    @property
    def honours(self) -> bool:
        """Whether no promise was broken."""
        return not any(finding.failed for finding in self.findings)


def tried(method: Method, task: Task, known: Sequence[Result], device: str = "cpu") -> Trial:
    """The contract on a small version of the task, the score on its own images, the rank among ``known`` results.

    NotApplicable where the method cannot run on the task.
    """
    problem = task.problem(device)
    findings = list(look(method, small(problem)))
    if not any(finding.check in CHECKS for finding in findings):  # they need reconstructions
        return Trial(method.name, task.name, findings, unscored="it does not run")
    if not is_trained(method, task.name):
        train = f"recon-bench train {method.path} --task {task.name} --minutes 10"
        return Trial(method.name, task.name, findings, unscored=f"there are no weights yet: {train}")
    try:
        scored = score(method, task, device)
    except (Exception, SystemExit) as error:  # a method may raise anything
        findings += [Finding("runs on the task", reason(error, problem.operator.device))]
        return Trial(method.name, task.name, findings, unscored="it does not run on the task")
    findings += scored.findings
    return Trial(method.name, task.name, findings, standing(method, task, scored, known))
