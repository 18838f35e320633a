"""What a pull request with a method needs, gathered in one folder that is laid out like the repository.

The file, its card, the results on every task that the method applies to, and the weights that they were measured with.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon_bench import identity, registry, weights
from recon_bench.core import Method
from recon_bench.results import RANKING_KIND, Result
from recon_bench.rules import FULL
from recon_bench.submission import card as cards
from recon_bench.task import Task

TUNING = "tuning"
SUITE = (TUNING, RANKING_KIND, "pictures", "runtime")  # the tuning of what has something to tune


@dataclass(frozen=True)
class Missing:
    """Kinds of results that are not there of a method on a task, or its weights where ``untrained``."""

    task: str
    kinds: tuple[str, ...]
    untrained: bool = False

    def __str__(self) -> str:
        return f"{self.task}: {'weights' if self.untrained else ', '.join(self.kinds)}"


def own(method: Method, results: Sequence[Result]) -> list[Result]:
    """The results of this very code and these weights under the full rules, of the tasks as they are."""
    code, hashes = identity.of_file(Path(method.path)), {task.hash for task in available()}
    return [
        result
        for result in results
        if result.method["name"] == method.name
        and result.rules["hash"] == FULL.hash
        and result.task["hash"] in hashes
        and result.stands_for(code, weights.seals(result.method.get("weights", {})))
    ]


def available() -> list[Task]:
    """The tasks whose data are here."""
    return [task for task in registry.tasks().values() if task.missing() is None]


def missing(method: Method, results: Sequence[Result]) -> list[Missing]:
    """What the suite of a method lacks; ``results`` are its own. Where it does not apply, one that says so is enough.

    A learned method applies wherever its network can be made, trained or not.
    """
    found = {(result.task["name"], result.kind): result for result in results}
    return [lack for task in available() for lack in _missing(method, task.name, found)]


def _missing(method: Method, task: str, found: Mapping[tuple[str, str], Result]) -> Iterator[Missing]:
    ranked = found.get((task, RANKING_KIND))
    if ranked is not None and ranked.status == "not-applicable":
        if method.network is not None and str(ranked.reason).startswith("no weights"):
            yield Missing(task, (), untrained=True)
        return
    wanted = [kind for kind in SUITE if kind != TUNING or method.search]
    if kinds := tuple(kind for kind in wanted if (task, kind) not in found):
        yield Missing(task, kinds)


def commands(asked: str, lacks: Sequence[Missing], folder: Path) -> list[str]:
    """The commands that measure what is missing, of a method that is found by the name or file ``asked``."""
    trainings = [["train", asked, "--task", lack.task, "--minutes", "60"] for lack in lacks if lack.untrained]
    tasks = [lack.task for lack in lacks]
    kinds = [kind for kind in SUITE if any(kind in lack.kinds or lack.untrained for lack in lacks)]
    words = ["run", "--methods", asked, "--tasks", *tasks, "--measurements", *kinds, "--results", str(folder)]
    return [shlex.join(["recon-bench", *each]) for each in [*trainings, words]] if lacks else []


def gather(method: Method, results: Sequence[Result], out: Path) -> list[Path]:
    """Copy all of it below ``out``, a folder that is not there; what was written.

    ValueError where the file would not be the same method there, for want of files beside it.
    """
    baseline = out / "baselines" / Path(method.path).name
    made = [_copied(Path(method.path), baseline)]
    if identity.of_file(baseline) != identity.of_file(Path(method.path)):
        raise ValueError(f"{method.path} needs files beside it: a submission is one file")
    made.append(_copied(cards.path(method), out / "baselines" / "cards" / cards.path(method).name))
    for result in results:
        assert result.path is not None
        folder = result.folder(out / "results")
        pictures = [result.path.parent / image["file"] for image in result.images.values()]
        made += [_copied(file, folder / file.name) for file in [result.path, *pictures]]
    return made + _weights(sorted({name for r in results for name in r.method.get("weights", {})}), out)


def _weights(names: Sequence[str], out: Path) -> list[Path]:
    """Weights with their training cards, and a registry that has them beside those of the project."""
    if not names:
        return []
    known, target = weights.registry(), out / "baselines" / "weights"
    made = []
    for name in names:
        file = weights.folder() / known[name]["file"]
        made += [
            _copied(each, target / each.relative_to(weights.folder())) for each in (file, file.with_suffix(".json"))
        ]
    shipped = _shipped() | {name: known[name] for name in names}
    lines = (f"{json.dumps(name)}: {json.dumps(shipped[name])}" for name in sorted(shipped))
    (target / "registry.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return [*made, target / "registry.json"]


def _shipped() -> dict[str, Any]:
    path = weights.SHIPPED / "registry.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, target))
