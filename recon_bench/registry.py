"""Finds tasks, methods and measurements: built in, by entry point, or (methods) from any file path.

A module in ``recon_bench/tasks`` exports ``TASKS``, a file in ``baselines`` exports ``METHODS``, a module in
``recon_bench/measurements`` exports ``MEASUREMENT``; adding one is adding that file. Installed packages add to them by
the entry points ``recon_bench.tasks``, ``recon_bench.methods`` and ``recon_bench.measurements``, each naming a module.
An import error in one of them is raised, not swallowed, and a module that exports nothing is an error as well.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from recon_bench import headers, weights
from recon_bench.core import Method
from recon_bench.headers import Broken
from recon_bench.loading import check_file, load_file
from recon_bench.measurement import Measurement
from recon_bench.names import UnknownName, hint
from recon_bench.storage import sha256
from recon_bench.task import Task

Noun = TypeVar("Noun", Task, Method, Measurement, Method | Broken)
Header = TypeVar("Header", Method, Method | Broken)


class BrokenFile(UnknownName):
    """A file that was to hold a method and does not; the text names it and says why. ``name``: the method's, if any."""

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name


def _modules(package: str, group: str) -> list[ModuleType]:
    home = importlib.import_module(package)
    names = [f"{package}.{module.name}" for module in pkgutil.iter_modules(home.__path__)]
    names += [point.value for point in entry_points(group=group)]
    return [importlib.import_module(name) for name in names]


def _exported(module: ModuleType, name: str) -> Any:
    """What a module exports under ``name``; ValueError where that is nothing, which would be silently ignored."""
    if not (found := getattr(module, name, None)):
        raise ValueError(f"{module.__file__} exports no {name}; what several share belongs into the package")
    return found


def _by_name(found: Iterable[Noun]) -> dict[str, Noun]:
    named: dict[str, Noun] = {}
    for item in found:
        if item.name in named:
            raise ValueError(f"two {type(item).__name__.lower()}s are called {item.name!r}: rename one of them")
        named[item.name] = item
    return named


@functools.cache
def tasks() -> Mapping[str, Task]:
    """Every registered task by name."""
    return _by_name(t for m in _modules("recon_bench.tasks", "recon_bench.tasks") for t in _exported(m, "TASKS"))


@functools.cache
def methods() -> Mapping[str, Method]:
    """Every registered method by name."""
    return _by_name(x for module in _modules("baselines", "recon_bench.methods") for x in _methods_of(module))


@functools.cache
def measurements() -> Mapping[str, Measurement]:
    """Every registered kind of measurement by name."""
    modules = _modules("recon_bench.measurements", "recon_bench.measurements")
    return _by_name(_exported(module, "MEASUREMENT") for module in modules)


def task(name: str) -> Task:
    """The task called ``name``, or the one of ``path/to/file.py`` (``path/to/file.py:name`` where it has several).

    UnknownName where there is none, or where the name in the file is taken.
    """
    if not is_path(name):
        return _get(tasks(), name, "task")
    return _one(name, "task", _by_name(load_file(Path(name.partition(":")[0]), "TASKS").TASKS), tasks())


def measurement(name: str) -> Measurement:
    """The kind of measurement called ``name``, or the one of ``path/to/file.py``.

    UnknownName where there is none, or where the name in the file is taken.
    """
    if not is_path(name):
        return _get(measurements(), name, "measurement")
    found = load_file(Path(name), "MEASUREMENT").MEASUREMENT
    if found.name in measurements():
        raise UnknownName(f"{name}: the name {found.name!r} is taken: choose another")
    return found


def method(name: str) -> Method:
    """The method called ``name``, or the one of ``path/to/file.py`` (``path/to/file.py:name`` where it has several).

    That of a file comes without its code, which is not run here: see :mod:`recon_bench.headers`. UnknownName where
    there is none; BrokenFile, which is one, where the file cannot be read or the name in it is taken.
    """
    if not is_path(name):
        return _get(methods(), name, "method")
    path = Path(name.partition(":")[0])
    check_file(path, "METHODS")
    found = _headers(path.resolve(), sha256(path.read_bytes()))
    if isinstance(found, str):
        raise BrokenFile(f"{path}: {found}")
    try:
        chosen = _chosen(name, _by_name(found))
    except ValueError as error:
        raise error if isinstance(error, UnknownName) else BrokenFile(f"{path}: {error}") from None
    if isinstance(chosen, Broken):
        raise BrokenFile(f"{path}: {chosen.reason}", chosen.name)
    return chosen


def imported(name: str) -> Method:
    """As :func:`method`, with its code, which runs here: for the process that a method lives in, and for training."""
    if not is_path(name):
        return method(name)
    return _chosen(name, _by_name(load_file(Path(name.partition(":")[0]), "METHODS").METHODS))


def _chosen(name: str, found: Mapping[str, Header]) -> Header:
    """The one of a file's methods that ``path/to/file.py[:name]`` means, of a name that nothing registered has."""
    path = Path(name.partition(":")[0])
    others = {key: known for key, known in methods().items() if Path(known.path).resolve() != path.resolve()}
    item = _one(name, "method", found, others)
    return item if isinstance(item, Broken) else dataclasses.replace(item, path=str(path.resolve()))


@functools.lru_cache
def _headers(path: Path, content: str) -> Sequence[Method | Broken] | str:
    """The methods of a file, without their code, or why there are none; of each ``content`` (its sha256) once."""
    try:
        return headers.read(path)
    except headers.HeaderError as error:
        return str(error)


def is_path(name: str) -> bool:
    """Whether a name is a file, perhaps with one of several inside: ``path/to/file.py[:name]``."""
    return name.partition(":")[0].endswith(".py")


def absolute(name: str) -> str:
    """``name``, a file of which is found from any working directory."""
    path, colon, inside = name.partition(":")
    return f"{Path(path).absolute()}{colon}{inside}" if is_path(name) else name


def _one(name: str, noun: str, found: Mapping[str, Noun], others: Mapping[str, Noun]) -> Noun:
    """The task or method that ``path/to/file.py[:name]`` means, which must not have the name of one of the others."""
    path, _, inside = name.partition(":")
    if not inside and len(found) != 1:
        raise BrokenFile(f"{path} has the {noun}s {', '.join(found)}: choose one as {path}:NAME")
    item = _get(found, inside, f"{noun} of {path}") if inside else next(iter(found.values()))
    if item.name in others:
        where = getattr(others[item.name], "path", "") or "another"
        raise BrokenFile(f"{path}: the name {item.name!r} is taken by {where}: choose another")
    return item


def ready() -> list[str]:
    """Methods that a run takes by itself: all but the learned ones that have no weights for any task yet."""
    trained = {facts["method"] for facts in weights.registry().values()}
    return [name for name, item in methods().items() if item.network is None or name in trained]


def with_settings(item: Method, changes: Mapping[str, Any]) -> Any:
    """The method's settings with ``changes``; text is converted to the type of the default.

    Raises :class:`UnknownName` for a setting that the method does not have, ValueError for one that does not convert.
    """
    return (
        dataclasses.replace(item.settings, **converted(item.settings, changes, item.name)) if changes else item.settings
    )


def converted(defaults: Any, changes: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """``changes`` of fields of the dataclass ``defaults``, text converted to the type of the default."""
    known = dataclasses.asdict(defaults) if defaults is not None else {}
    return {
        key: _convert(value, _get(known, key, f"setting of {owner}"), f"{owner}.{key}")
        for key, value in changes.items()
    }


def _convert(text: Any, default: Any, name: str) -> Any:
    if not isinstance(text, str):
        return text
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name} is true or false, got {text!r}")
        return text.lower() == "true"
    if not isinstance(default, int | float):
        return text
    try:
        return type(default)(text)
    except ValueError:
        raise ValueError(f"{name} takes {type(default).__name__} values such as {default}, got {text!r}") from None


def _methods_of(module: ModuleType) -> list[Method]:
    return [dataclasses.replace(item, path=str(module.__file__)) for item in _exported(module, "METHODS")]


def _get(found: Mapping[str, Any], name: str, what: str) -> Any:
    if name in found:
        return found[name]
    known = ", ".join(found) or "none"
    raise UnknownName(f"unknown {what} {name!r}; {hint(name, found)}Known: {known}")
