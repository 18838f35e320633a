"""`recon-bench try`: does a method honour the contract, how good is it, and where would it stand?"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recon_bench.cli import options, printing
from recon_bench.cli.command import Command

if TYPE_CHECKING:
    from recon_bench.core import Method
    from recon_bench.results import Result
    from recon_bench.submission.trial import Finding, Standing, Trial

TASKS = ("ct-ellipses-30", "mri-brain-4x")  # the first that a method applies to


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    options.add_json(parser)
    what = "a Python file, a module and what it has (package.module:factory), or a registered name"
    parser.add_argument("method", metavar="FILE", help=what)
    parser.add_argument("--task", metavar="NAME", help=f"default: the first of {', '.join(TASKS)} that it applies to")
    parser.add_argument("--device", default="cpu", help="a torch device; default: cpu")
    beside = "own results to stand beside as well as the committed ones"
    parser.add_argument("--results", type=Path, default=options.COMMITTED, metavar="DIR", help=beside)


def run(arguments: argparse.Namespace) -> int:
    """Try every method of the file; 1 where one breaks the contract. ValueError where one applies to no task."""
    options.check_device(arguments.device)
    from recon_bench import registry

    known = options.with_committed(arguments.results) if arguments.results.is_dir() else []
    tasks = [arguments.task] if arguments.task else list(TASKS)
    broken, found = 0, []
    for method in options.with_code(registry.given, arguments.method).values():
        with printing.aside():
            trial = _tried(method, tasks, known, arguments.device)
        broken += not trial.honours
        found.append(dataclasses.asdict(trial))
        if not arguments.json:
            _print(trial)
    if arguments.json:
        printing.print_json(found)
    return int(broken > 0)


def _tried(method: Method, tasks: Sequence[str], known: Sequence[Result], device: str) -> Trial:
    from recon_bench import registry
    from recon_bench.core import NotApplicable
    from recon_bench.submission.trial import tried

    reasons = []
    for task in map(registry.task, tasks):
        if missing := task.missing():
            raise ValueError(missing)
        try:
            return tried(method, task, known, device)
        except NotApplicable as why:
            reasons.append(f"{method.name} does not apply to {task.name}: {why}")
    raise ValueError("; ".join(reasons) + "; choose another one with --task")


def _print(trial: Trial) -> None:
    print(f"{trial.method} on {trial.task}\n")
    print(printing.pairs([_line(finding) for finding in trial.findings]))
    broken = sum(bool(finding.failed) for finding in trial.findings)
    print(f"\n{f'Promises broken: {broken}' if broken else 'It honours the contract'}.")
    print("\n".join(_standing(trial.standing)) if trial.standing else f"Not scored: {trial.unscored}.")


def _line(finding: Finding) -> tuple[str, str]:
    skipped = f"not looked at: {finding.skipped}" if finding.skipped else "kept"
    return finding.check, f"BROKEN: {finding.failed}" if finding.failed else skipped


def _standing(stands: Standing) -> list[str]:
    psnr, ssim = (dict(zip(("x", "x_low", "x_high"), values)) for values in (stands.psnr, stands.ssim))
    shown = f"PSNR {printing.value(psnr, 'x', 2)} dB, SSIM {printing.value(ssim, 'x', 3)}"
    lines = [f"Quick score over {stands.images} test images, untuned: {shown}, {stands.seconds:.2g} s each."]
    if stands.others:
        place = f"would be {stands.rank} of {stands.others + 1} ({stands.best} to {stands.worst})"
        lines += [f"By these images its rank beside the committed results {place}; `recon-bench run` tunes and counts."]
    return [*lines, "Choose settings by validation images, never by this score."]


COMMAND = Command("check a method against the contract, with a quick score and rank", add_arguments, run, place=8)
