"""Finds tasks, methods and measurements: built in, by entry point, from any file path, or (methods) from any module.

A module in ``recon_bench/tasks`` exports ``TASKS``, a file in ``baselines`` exports ``METHODS``, a module in
``recon_bench/measurements`` exports ``MEASUREMENT``; adding one is adding that file. Installed packages add to them by
the entry points ``recon_bench.tasks``, ``recon_bench.methods`` and ``recon_bench.measurements``, each naming a module;
one of methods may also name what a module has that is or gives methods, ``module:factory``.
An import error in one of them is raised, not swallowed, and a module that exports nothing is an error as well.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from recon_bench import weights
from recon_bench.core import Method
from recon_bench.measurement import Measurement
from recon_bench.names import hint
from recon_bench.storage import sha256
from recon_bench.task import Task

Noun = TypeVar("Noun", Task, Method, Measurement)


class UnknownName(ValueError):
    """A name that is not registered; the text suggests the nearest and says how to list them."""


def _modules(package: str, group: str) -> list[ModuleType]:
    names = [*_names(package), *(point.value for point in entry_points(group=group))]
    return [importlib.import_module(name) for name in names]


def _names(package: str) -> list[str]:
    home = importlib.import_module(package)
    return [f"{package}.{module.name}" for module in pkgutil.iter_modules(home.__path__)]


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
    installed = (point.value for point in entry_points(group="recon_bench.methods"))
    places = [*_names("baselines"), *installed]
    return _by_name(item for place in places for item in _of_module(place))


@functools.cache
def measurements() -> Mapping[str, Measurement]:
    """Every registered kind of measurement by name."""
    modules = _modules("recon_bench.measurements", "recon_bench.measurements")
    return _by_name(_exported(module, "MEASUREMENT") for module in modules)


def task(name: str) -> Task:
    """The task called ``name``, or the one of ``path/to/file.py`` (``path/to/file.py:name`` where it has several).

    UnknownName where there is none, or where the name in the file is taken.
    """
    return _in_file(name, "task", "TASKS", tasks()) if is_path(name) else _get(tasks(), name, "task")


def measurement(name: str) -> Measurement:
    """The kind of measurement called ``name``, or the one of ``path/to/file.py``.

    UnknownName where there is none, or where the name in the file is taken.
    """
    if not is_path(name):
        return _get(measurements(), name, "measurement")
    found = _load_file(Path(name), "MEASUREMENT").MEASUREMENT
    if found.name in measurements():
        raise UnknownName(f"{name}: the name {found.name!r} is taken: choose another")
    return found


def method(name: str) -> Method:
    """The one method that a name stands for: as :func:`given`; UnknownName also where it stands for several."""
    found = given(name)
    if len(found) != 1:
        raise UnknownName(f"{name} has the methods {', '.join(found)}: choose one as {name}:NAME")
    return next(iter(found.values()))


def given(name: str) -> dict[str, Method]:
    """The methods that a name stands for, by their own names.

    One that is registered; those that ``path/to/file.py`` exports as METHODS; those of ``package.module:factory``, what
    an importable module has under that name: a method, several, or a function that gives some (METHODS where it is not
    said). A further ``:NAME`` chooses one of several. UnknownName where there is none, or where its name is taken.
    """
    if is_path(name):
        path, _, inside = name.partition(":")
        file = _load_file(Path(path), "METHODS")
        return _free(_chosen(_by_name(_methods_of(file, file.METHODS, path)), inside, path), name)
    if ":" in name or "." in name:
        place, inside = ":".join(name.split(":")[:2]), ":".join(name.split(":")[2:])
        return _free(_chosen(_by_name(_of_module(place)), inside, place), name)
    return {name: _get(methods(), name, "method")}


def _chosen(found: dict[str, Method], inside: str, place: str) -> dict[str, Method]:
    return {inside: _get(found, inside, f"method of {place}")} if inside else found


def _free(found: dict[str, Method], asked: str) -> dict[str, Method]:
    """The methods themselves; UnknownName where one has the name of a registered one from elsewhere."""
    for item in found.values():
        known = methods().get(item.name)
        if known and Path(known.path).resolve() != Path(item.path).resolve():
            raise UnknownName(f"{asked}: the name {item.name!r} is taken by {known.path}: choose another")
    return found


def _of_module(place: str) -> list[Method]:
    """The methods of ``package.module[:name]``; UnknownName where module or name are not there or give none."""
    name, _, attribute = place.partition(":")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UnknownName(f"no module {error.name}: is it installed here, or its folder in PYTHONPATH?") from error
    if not attribute:
        return _methods_of(module, _exported(module, "METHODS"), place)
    made = getattr(module, attribute, None)
    return _methods_of(module, made() if callable(made) else made, place)


def _methods_of(module: ModuleType, made: Any, place: str) -> list[Method]:
    """The methods of a module that ``made`` is or holds, with their path; UnknownName where it is something else."""
    found = [made] if isinstance(made, Method) else made
    if not found or not isinstance(found, list | tuple) or not all(isinstance(item, Method) for item in found):
        wanted = "a Method, several of them, or a function that gives some"
        raise UnknownName(f"{place}: expected {wanted}; found {made!r:.80}")
    return [dataclasses.replace(item, path=str(module.__file__)) for item in found]


def is_path(name: str) -> bool:
    """Whether a name is a file, perhaps with one of several inside: ``path/to/file.py[:name]``."""
    return name.partition(":")[0].endswith(".py")


def absolute(name: str) -> str:
    """``name``, a file of which is found from any working directory."""
    path, colon, inside = name.partition(":")
    return f"{Path(path).absolute()}{colon}{inside}" if is_path(name) else name


def _in_file(name: str, noun: str, exported: str, others: Mapping[str, Noun]) -> Noun:
    """The task or method of ``path/to/file.py[:name]``, which must not have the name of one of the ``others``."""
    path, _, inside = name.partition(":")
    found = _by_name(getattr(_load_file(Path(path), exported), exported))
    if not inside and len(found) != 1:
        raise UnknownName(f"{path} has the {noun}s {', '.join(found)}: choose one as {path}:NAME")
    item = _get(found, inside, f"{noun} of {path}") if inside else next(iter(found.values()))
    if item.name in others:
        where = getattr(others[item.name], "path", "") or "another"
        raise UnknownName(f"{path}: the name {item.name!r} is taken by {where}: choose another")
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


def _load_file(path: Path, exported: str) -> ModuleType:
    if not path.is_file():
        raise UnknownName(f"no file {path}: expected a Python file that exports {exported}")
    module = _imported(path.resolve(), sha256(path.read_bytes()))
    if not getattr(module, exported, None):
        raise UnknownName(f"{path} exports no {exported}: end it with {exported} = ...; see CONTRIBUTING.md")
    return module


@functools.lru_cache
def _imported(path: Path, content: str) -> ModuleType:
    """The module of a file, run once for each ``content`` (its sha256)."""
    name = f"recon_bench_submission_{path.stem}_{sha256(str(path).encode())[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _get(found: Mapping[str, Any], name: str, what: str) -> Any:
    if name in found:
        return found[name]
    known = ", ".join(found) or "none"
    raise UnknownName(f"unknown {what} {name!r}; {hint(name, found)}Known: {known}")
