"""What a run has to do: which cells, and which of them are done already."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from recon_bench import headers, identity, registry, weights
from recon_bench.core import Method
from recon_bench.results import RANKING_KIND, Result, started
from recon_bench.run.planned import Names, Planned, RunSetup, same_kind
from recon_bench.storage import digest, sha256

Shard = tuple[int, int]  # the first number, from 1, of so many
WHOLE: Shard = (1, 1)


def aside(wanted: Iterable[Planned]) -> set[str]:
    """The kinds of results that do not say what of these cells is done, with which settings or in what time."""
    scored = {name for name, kind in registry.measurements().items() if not kind.ledger}
    return scored - {RANKING_KIND} - {cell.kind.name for cell in wanted}


def newest(results: Iterable[Result], device: str) -> dict[Names, Result]:
    """The newest result of each task, method and kind, for :meth:`Planned.estimate`: of those of a kind of device where
    there are some."""
    ordered = sorted(results, key=lambda r: (same_kind(r, device), started(r)))
    return {(r.task["name"], r.method["name"], r.kind): r for r in ordered}


def cells(tasks: Sequence[str], methods: Sequence[str], kinds: Sequence[str], setup: RunSetup) -> list[Planned]:
    """Every cell that is asked for, by names or files: task by task, and within a task in the order of the kinds.

    A file of which nothing can be known has one cell in each task, and the reason.
    """
    found = []
    known = _methods(methods)
    known_kinds = {name: registry.measurement(name) for name in kinds}
    ordered = sorted(known_kinds.items(), key=lambda item: item[1].order)
    plain = [name for name, kind in ordered if not kind.ledger and not kind.weights]
    for (asked_task, task), (asked_kind, kind), (asked, (method, code, broken)) in product(
        [(name, registry.task(name)) for name in tasks], ordered, known.items()
    ):
        names = (asked_task, asked, asked_kind)
        if broken:
            found += [Planned(task, method, kind, names, setup, code, {}, broken)] * (asked_kind in plain[:1])
            continue
        if kind.ledger and not (method.search and setup.rules.tuning_evaluations):
            continue
        changes = setup.overrides.get(method.name, {})
        used = weights.own(method, task.name, setup.rules.seeds, registry.with_settings(method, changes))
        if kind.weights:  # those of the method as it comes
            used = [] if changes else list(kind.weights(method, task.name))
        if kind.weights is None or used:
            found.append(Planned(task, method, kind, names, setup, code, weights.seals(used)))
    return found


def _methods(asked: Sequence[str]) -> dict[str, tuple[Method, str, str]]:
    """By name or file: the method, the identity of its code, and why nothing can be known of it, if so."""
    found: dict[str, tuple[Method, str, str]] = {}
    taken: dict[str, str] = {}  # by its own name, the path of a method
    for name in asked:
        try:
            method = registry.method(name)
            code = identity.of_file(Path(method.path))
            if taken.setdefault(method.name, method.path) != method.path:
                raise registry.BrokenFile(f"{name}: the name {method.name!r} is taken by {taken[method.name]}")
            found[name] = (method, code, "")
        except (registry.BrokenFile, SyntaxError, ValueError, OSError, RecursionError) as error:
            if isinstance(error, registry.UnknownName) and not isinstance(error, registry.BrokenFile):
                raise
            method, code = _unreadable(name, getattr(error, "name", ""), taken)
            found[name] = (method, code, str(error))
    return found


def _unreadable(asked: str, own: str, taken: dict[str, str]) -> tuple[Method, str]:
    """A method without code for the row of a file or module, and a digest of that: by its own name or the place's."""
    path = Path(registry.split(asked)[0])
    stem = re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "file"
    numbered = (f"file-{stem}" + f"-{number}" * (number > 1) for number in itertools.count(1))
    names = itertools.chain([own] if headers.NAME.fullmatch(own) else [], numbered)
    name = next(name for name in names if name not in taken and name not in registry.methods())
    taken[name] = str(path)
    told: dict[str, Any] = {
        "name": name,
        "title": path.name,
        "family": "outside",
        "summary": "A file that cannot be used.",
    }
    told |= {"reference": "none", "depth": None, "settings": None, "search": {}, "learned": False, "recipe": None}
    content = path.read_bytes() if path.is_file() else os.fsencode(asked)
    return dataclasses.replace(headers.heard(told), path=str(path)), digest(sha256(content))


def asked_for(
    tasks: Sequence[str], methods: Sequence[str], kinds: Sequence[str], setup: RunSetup, shard: Shard = WHOLE
) -> list[Planned]:
    """The cells of a run; tasks without their data are named and left out.

    Empty lists as of a run. A ``shard`` has all cells of each pair of task and method that it has, so that a method is
    tuned before it is scored; which pairs depends on nothing but what is asked for. Raises UnknownName, also for a
    setting, and ValueError for a task that is named and without its data.
    """
    known = dict(registry.methods() if not methods else {})
    for name in methods:
        with contextlib.suppress(registry.BrokenFile):  # its row says so
            known[registry.method(name).name] = registry.method(name)
    for name, changes in setup.overrides.items():
        registry.with_settings(known[name] if name in known else registry.method(name), changes)
    missing = {name: registry.task(name).missing() for name in tasks or registry.tasks()}
    absent = {name: reason for name, reason in missing.items() if reason is not None}
    if tasks and absent:
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in absent.items()))
    for name in absent:
        print(f"without {name}: its data are not here (recon-bench show {name} says what to download)")
    available = [name for name in missing if name not in absent]
    found = cells(available, methods or registry.ready(), kinds or list(registry.measurements()), setup)
    for kind in sorted(set(kinds) - {cell.asked[2] for cell in found}):
        untuned = registry.measurement(kind).ledger and not setup.rules.tuning_evaluations
        why = f"the rules {setup.rules.name} tune nothing" if untuned else f"recon-bench show {kind} says what it needs"
        print(f"nothing to measure: {kind} ({why})", file=sys.stderr)
    number, count = shard
    mine = {pair: i % count == number - 1 for i, pair in enumerate(dict.fromkeys(cell.asked[:2] for cell in found))}
    return [cell for cell in found if mine[cell.asked[:2]]]


def within(
    todo: list[Planned], known: Mapping[Names, Result], budget: float | None
) -> tuple[list[Planned], list[Planned]]:
    """The cells that fit the budget of seconds, timings last and cheap ones first; and those that do not."""
    if budget is None:
        return todo, []
    spent, kept = 0.0, set()
    for _, seconds, index in sorted((c.kind.alone, c.estimate(known), i) for i, c in enumerate(todo)):
        if spent + seconds <= budget:
            spent += seconds
            kept.add(index)
    return [c for i, c in enumerate(todo) if i in kept], [c for i, c in enumerate(todo) if i not in kept]


def undone(wanted: Sequence[Planned], known: Sequence[Result], shipped: Sequence[Result]) -> list[Planned]:
    """The cells that no known result answers, and those whose settings a tuning among them will choose anew."""
    todo, retuned = [], set()
    own, every = _of_pairs(known), _of_pairs([*known, *shipped])
    for cell in wanted:
        key = (cell.task.name, cell.method.name)
        settings, _ = cell.settings(every[key])
        if key not in retuned and any(cell.done_by(result, settings) for result in own[key]):
            continue
        todo.append(cell)
        if cell.kind.ledger:
            retuned.add(key)
    return todo


def _of_pairs(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """Results by the names of task and method, empty lists of others."""
    found: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        found[result.task["name"], result.method["name"]].append(result)
    return found
