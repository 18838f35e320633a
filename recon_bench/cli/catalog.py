"""Cards of tasks, methods, measurements, rules and weights as plain data, for `recon-bench list` and `show`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recon_bench import registry, weights
from recon_bench.cli import printing
from recon_bench.core import Method, NotApplicable
from recon_bench.measurement import Measurement
from recon_bench.names import hint
from recon_bench.results import Result, latest
from recon_bench.results.ledger import chosen_record
from recon_bench.rules import RULES
from recon_bench.run import task_cards
from recon_bench.submission import card as cards
from recon_bench.tables import export
from recon_bench.tables.board import ledger, task_names
from recon_bench.tables.selection import current
from recon_bench.task import Task


def rows(what: str) -> list[dict[str, Any]]:
    """One row for each of the registered "tasks", "methods" or "measurements", of the trained "weights" or "rules".

    ValueError for another word.
    """
    match what:
        case "tasks":
            return [_task_row(task) for task in registry.tasks().values()]
        case "methods":
            return [_method_row(method) for method in registry.methods().values()]
        case "measurements":
            return [_measurement_row(measurement) for measurement in registry.measurements().values()]
        case "rules":
            meanings = {"version": "Version", "hash": "Hash of all fields", **export.MEANINGS}
            sets = RULES.values()
            return [{"rule": n, "meaning": m, **{r.name: getattr(r, n) for r in sets}} for n, m in meanings.items()]
        case "weights":
            return [_weights_row(name) for name in weights.registry()]
        case _:
            raise ValueError(f"expected tasks, methods, measurements, rules or weights, got {what!r}")


def card(name: str, results: Sequence[Result]) -> dict[str, Any]:
    """All about the task, measurement, method, rules or weights of that name; ``results`` say how a method was tuned.

    Raises ValueError, with the nearest name, where nothing is called so.
    """
    if name in registry.tasks():
        return _task_card(registry.task(name))
    if name in registry.measurements():
        return _measurement_card(registry.measurement(name))
    if _is_task_file(name):
        return _task_card(registry.task(name))
    if name in registry.methods() or registry.is_path(name):
        return _method_card(registry.method(name), results)
    if name in RULES:
        return {**dataclasses.asdict(RULES[name]), "hash": RULES[name].hash}
    if name in weights.registry():
        return weights.facts(name)
    known = [*registry.tasks(), *registry.methods(), *registry.measurements(), *RULES, *weights.registry()]
    nouns = "tasks|methods|measurements|rules|weights"
    raise ValueError(f"nothing is called {name!r}{hint(name, known)} (`recon-bench list {nouns}` lists all)")


def _is_task_file(name: str) -> bool:
    """Whether ``name`` is a file that exports tasks, which is read and not run: it may be one of methods."""
    path = Path(registry.split(name)[0])
    return registry.is_path(name) and path.is_file() and "\nTASKS" in path.read_text(encoding="utf-8", errors="replace")


def flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested data as lines: ("noise.level", "0.025")."""
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", printing.text(value) or "none"


def _task_row(task: Task) -> dict[str, Any]:
    row = {"task": task.name, "version": task.version, "family": task.family, "title": task.title}
    return {**row, "test images": task.sizes["test"], "data": (task.missing() or "ready").split(". ")[0]}


def _method_row(method: Method) -> dict[str, Any]:
    row = {"method": method.name, "family": method.family, "title": method.title}
    return {**row, "tuned": ", ".join(method.search), "summary": method.summary}


def _weights_row(name: str) -> dict[str, Any]:
    card = weights.card(name)
    spent = weights.spent(card)
    row = {"weights": name, "validation PSNR": round(card["best"]["psnr"], 2), "samples": spent["samples"]}
    return {**row, "hours": round(spent["seconds"] / 3600, 2), "device": card["device"], "finished": card["finished"]}


def _measurement_row(measurement: Measurement) -> dict[str, Any]:
    row = {"measurement": measurement.name, "version": measurement.version, "title": measurement.title}
    return {**row, "metrics": ", ".join(metric.name for metric in measurement.metrics)}


def _measurement_card(measurement: Measurement) -> dict[str, Any]:
    metrics = {metric.name: dataclasses.asdict(metric) for metric in measurement.metrics}
    return {**_measurement_row(measurement), "hash": measurement.hash, "metrics": metrics}


def _task_card(task: Task) -> dict[str, Any]:
    return {**task_cards.card(task), "data": task.missing() or "ready"}


def _method_card(method: Method, results: Sequence[Result]) -> dict[str, Any]:
    names = ("name", "title", "family", "summary", "reference", "depth")
    card = {name: getattr(method, name) for name in names}
    card["file"] = os.path.relpath(method.path)
    card["settings"] = dataclasses.asdict(method.settings) if method.settings is not None else {}
    card["search"] = {name: dataclasses.asdict(space) for name, space in method.search.items()}
    card |= _training(method)
    card |= {"submission": submitted} if (submitted := cards.read(method)) else {}
    cells = [cell for task in task_names(results) for cell in latest(current(results, task)[0])]
    own = {r.task["name"]: r for r in cells if r.method["name"] == method.name and r.traits["ledger"]}
    card["tuned"] = {
        task: {name: r.method["settings"][name] for name in r.method["tuned"]}
        for task, r in own.items()
        if chosen_record(r) is not None
    }
    return card | {"ledger": {task: export.plain(ledger(tuning)) for task, tuning in own.items()}}


def _training(method: Method) -> dict[str, Any]:
    """Of a learned method: its recipe, the layers of its live network with their parameters, its weights by task."""
    if method.network is None:
        return {}
    owner = getattr(method.settings, "weights", "") or method.name
    kept = [name for name, facts in weights.registry().items() if facts["method"] == owner]
    registered = method.name in registry.methods()  # a network in a file is not built here
    layers = _layers(method) if registered else {}
    return {
        "recipe": dataclasses.asdict(method.recipe) if method.recipe else {},
        **({"parameters": sum(layers.values()), "layers": layers} if registered else {}),
        "weights": {name: {key: weights.card(name)[key] for key in ("best", "steps", "finished")} for name in kept},
    }


def _layers(method: Method) -> dict[str, int]:
    """Parameters per layer of the untrained network, on the first task that the method can run on."""
    from recon_bench import learned

    for task in registry.tasks().values():
        if task.missing() is None and method.network is not None:
            with contextlib.suppress(NotApplicable):
                return learned.parameters(learned.untrained(method.network, task.problem(), method.settings))
    return {}
