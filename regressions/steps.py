"""Which benchmarks differ between two commits by more than their noise? `python -m regressions.steps [BASE [HEAD]]`.

The noise of a benchmark is the largest ratio between runs of one commit on one machine (A/A runs), which `--noise N`
measures; a step is a ratio beyond it. Where there were no A/A runs, ratios of ASSUMED count as noise.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.machine import Machine
from asv.results import iter_results_for_machine, iter_results_for_machine_and_hash

from recon_bench.cli import options

ROOT = Path(__file__).resolve().parent.parent
ASSUMED = {"seconds": 1.1, "bytes": 1.05}  # by unit; whatever else is computed, and the same in every run
SAME = 1 + 1e-6
Values = Mapping[str, tuple[float, str]]  # value and unit, by benchmark and parameters
Noise = Mapping[str, float]


@dataclass(frozen=True)
class Step:
    """A benchmark that differs by more than its noise; ``after`` is NaN where it failed or is gone."""

    name: str
    unit: str
    before: float
    after: float
    noise: float

    @property
    def worse(self) -> bool:
        """All are lower-is-better; what fails is worse."""
        return not self.after <= self.before

    def __str__(self) -> str:
        word = "worse " if self.worse else "better"
        if math.isnan(self.after):
            return f"{word} {self.name}: {self.before:.4g} {self.unit} -> fails"
        ratio = f"{self.after / self.before:.4g} times, noise {self.noise:.4g}" if self.before else "from nothing"
        return f"{word} {self.name}: {self.before:.4g} -> {self.after:.4g} {self.unit} ({ratio})"


def steps(before: Values, after: Values, noise: Noise) -> list[Step]:
    """The steps from one commit to another, worse ones first; benchmarks that only one commit has are none."""
    found = []
    for name in sorted(before.keys() & after.keys()):
        (old, unit), (new, _) = before[name], after[name]
        limit = noise.get(name, ASSUMED.get(unit, SAME))
        if not math.isnan(old) and not _within(old, new, limit):
            found.append(Step(name, unit, old, new, limit))
    return sorted(found, key=lambda step: (not step.worse, step.name))


def _within(old: float, new: float, limit: float) -> bool:
    return new == old or (old > 0 and new > 0 and max(new / old, old / new) <= limit)


def spread(runs: Sequence[Values]) -> dict[str, float]:
    """The largest ratio between two runs of one commit, of each benchmark."""
    pairs = list(itertools.permutations(runs, 2))
    names = set.intersection(*(set(run) for run in runs))
    ratios = {name: [a[name][0] / b[name][0] for a, b in pairs if b[name][0]] for name in sorted(names)}
    return {name: max([SAME, *(ratio for ratio in found if math.isfinite(ratio))]) for name, found in ratios.items()}


def values(conf: Config, commit: str) -> Values:
    """What was measured of a commit on this machine; NaN for what failed, nothing for what was skipped."""
    found: dict[str, tuple[float, str]] = {}
    benchmarks = Benchmarks.load(conf)
    for result in iter_results_for_machine_and_hash(conf.results_dir, machine(), commit):
        for key in result.get_result_keys(benchmarks):
            params = result.get_result_params(key)
            for names, value in zip(itertools.product(*params), result.get_result_value(key, params), strict=True):
                if value is None or not math.isnan(value):
                    name = key + (f"({', '.join(names)})" if names else "")
                    found[name] = (math.nan if value is None else value, benchmarks[key]["unit"])
    return found


def machine() -> str:
    """The name under which asv keeps what this machine measured."""
    return str(Machine.get_unique_machine_name())


def noise(conf: Config) -> dict[str, float]:
    """What A/A runs on this machine showed; empty without any."""
    path = _noise_file(conf)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def measure_noise(conf: Config, runs: int) -> Path:
    """Run the suite of the current commit so many times; the file that keeps the largest ratio of each benchmark."""
    found = []
    for number in range(runs):
        with tempfile.NamedTemporaryFile("w", dir=ROOT, prefix=".asv-", suffix=".json") as changed:
            folder = ROOT / ".asv" / "same" / str(number)
            settings = json.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))
            json.dump(settings | {"results_dir": str(folder)}, changed)
            changed.flush()
            asv = [sys.executable, "-m", "asv", "--config", changed.name, "run", "HEAD^!"]
            subprocess.run(asv, cwd=ROOT, check=True)
            found.append(values(Config.load(changed.name), _git("rev-parse", "HEAD")))
    path = _noise_file(conf)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spread(found), indent=1) + "\n", encoding="utf-8")
    return path


def last_measured(conf: Config, head: str) -> str | None:
    """The last release before ``head`` that was measured on this machine, else the last commit that was."""
    measured = {result.commit_hash for result in iter_results_for_machine(conf.results_dir, machine())}
    tags = set(_git("log", "--no-walk", "--tags", "--format=%H").split())
    before = [commit for commit in _git("rev-list", f"{head}^").split() if commit in measured]
    return next((commit for commit in before if commit in tags), next(iter(before), None))


def main(words: Sequence[str] | None = None) -> int:
    """Print the steps; 1 where something is worse."""
    parser = argparse.ArgumentParser(prog="python -m regressions.steps", description=__doc__)
    parser.add_argument("base", nargs="?", help="default: the last release that was measured, else the last commit")
    parser.add_argument("head", nargs="?", default="HEAD", help="default: HEAD")
    parser.add_argument(
        "--noise", type=options.whole(1), metavar="N", help="make N runs of the current commit to know the noise"
    )
    arguments = parser.parse_args(words)
    os.chdir(ROOT)
    conf = Config.load("asv.conf.json")
    if arguments.noise:
        print(f"noise of this machine: {measure_noise(conf, arguments.noise)}")
        return 0
    head = _git("rev-parse", arguments.head)
    base = _git("rev-parse", arguments.base) if arguments.base else last_measured(conf, head)
    if base is None:
        print(f"no commit before {head[:8]} was measured on this machine: nothing to compare with")
        return 0
    before, after = values(conf, base), values(conf, head)
    for commit, known in ((base, before), (head, after)):
        if not known:
            print(f"{commit[:8]} was not measured on this machine: asv run {commit[:8]}^!", file=sys.stderr)
            return 2
    same = noise(conf)
    found = steps(before, after, same)
    print(f"{base[:8]} -> {head[:8]}: {len(found)} steps in {len(before.keys() & after.keys())} benchmarks")
    if not same:
        print("noise was not measured here (--noise 3 does), so ratios below 1.1 (seconds) and 1.05 (bytes) are noise")
    for step in found:
        print(step)
    return 1 if any(step.worse for step in found) else 0


def _noise_file(conf: Config) -> Path:
    return Path(conf.results_dir).parent / "noise" / f"{machine()}.json"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
