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
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from recon_bench import headers, weights
from recon_bench.core import Method
from recon_bench.headers import Broken
from recon_bench.loading import check_file, load_file, methods_at
from recon_bench.measurement import Measurement
from recon_bench.names import UnknownName, hint
from recon_bench.storage import sha256
from recon_bench.task import Task

_FILE = re.compile(r"(.*?\.py)(?::(.*))?", re.DOTALL)  # folders may have colons in their names
Noun = TypeVar("Noun", Task, Method, Measurement, Method | Broken)
Header = TypeVar("Header", Method, Method | Broken)


class BrokenFile(UnknownName):
    """A file that was to hold a method, a task or a measurement and does not; the text names it and says why.

    ``name``: the method's, if any.
    """

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name


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
    return _by_name(item for place in places for item in _with_code(place))


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
    return _one(name, "task", _by_name(_run(Path(split(name)[0]), "TASKS").TASKS), tasks())


def measurement(name: str) -> Measurement:
    """The kind of measurement called ``name``, or the one of ``path/to/file.py``.

    UnknownName where there is none, or where the name in the file is taken.
    """
    if not is_path(name):
        return _get(measurements(), name, "measurement")
    found = _run(Path(name), "MEASUREMENT").MEASUREMENT
    if found.name in measurements():
        raise UnknownName(f"{name}: the name {found.name!r} is taken: choose another")
    return found


def _run(path: Path, exported: str) -> ModuleType:
    """As of :func:`load_file`; BrokenFile with what the import raised."""
    try:
        return load_file(path, exported)
    except UnknownName:
        raise
    except (Exception, SystemExit) as error:  # a file may do anything
        raise BrokenFile(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error


def method(name: str) -> Method:
    """The one method that a name stands for, as :func:`given` has it.

    That of a file or a module comes without its code, which is not run here: see :mod:`recon_bench.headers`.
    UnknownName where there is none, or several; BrokenFile, which is one, where the place cannot be read or the name in
    it is taken.
    """
    if not _is_place(name):
        return _get(methods(), name, "method")
    place, inside = split(name)
    content = ""
    if is_path(place):
        check_file(Path(place), "METHODS")
        content = sha256(Path(place).read_bytes())
    found = _headers(absolute(place), content)
    if isinstance(found, str):
        raise BrokenFile(f"{place}: {found}")
    try:
        chosen = _one_of(_by_name(found), name, place, inside)
    except ValueError as error:
        raise error if isinstance(error, UnknownName) else BrokenFile(f"{place}: {error}") from None
    if isinstance(chosen, Broken):
        raise BrokenFile(f"{place}: {chosen.reason}", chosen.name)
    return chosen


def imported(name: str) -> Method:
    """As :func:`method`, with its code, which runs here: for the process that a method lives in, and for training."""
    if not _is_place(name):
        return method(name)
    place, inside = split(name)
    return _one_of(_by_name(_with_code(place)), name, place, inside)


def given(name: str) -> dict[str, Method]:
    """The methods that a name stands for, by their own names, with their code, which runs here.

    One that is registered; those that ``path/to/file.py`` exports as METHODS; those of ``package.module:factory``, what
    an importable module has under that name: a method, several, or a function that gives some (METHODS where it is not
    said). A further ``:NAME`` chooses one of several. UnknownName where there is none, or where its name is taken.
    """
    if not _is_place(name):
        return {name: _get(methods(), name, "method")}
    place, inside = split(name)
    found = _by_name(_with_code(place))
    if inside:
        return {inside: _one_of(found, name, place, inside)}
    return {key: _free(item, name) for key, item in found.items()}


def _with_code(place: str) -> list[Method]:
    """The methods of a file or a module; UnknownName where it has something else."""
    made, path = methods_at(place)
    if not all(isinstance(item, Method) for item in made):
        wanted = "a Method, several of them, or a function that gives some"
        raise UnknownName(f"{place}: expected {wanted}; found {made!r:.80}")
    return [dataclasses.replace(item, path=path) for item in made]


def _one_of(found: Mapping[str, Header], name: str, place: str, inside: str) -> Header:
    """The one of these methods that is meant, of a name that nothing registered from elsewhere has."""
    if inside:
        return _free(_get(found, inside, f"method of {place}"), name)
    if len(found) != 1:
        raise UnknownName(f"{place} has the methods {', '.join(found)}: choose one as {place}:NAME")
    return _free(next(iter(found.values())), name)


def _free(item: Header, asked: str) -> Header:
    """The method itself; BrokenFile where it has the name of a registered one from elsewhere."""
    known = methods().get(item.name)
    if known and isinstance(item, Method) and Path(known.path).resolve() != Path(item.path).resolve():
        raise BrokenFile(f"{asked}: the name {item.name!r} is taken by {known.path}: choose another")
    return item


@functools.lru_cache
def _headers(place: str, content: str) -> Sequence[Method | Broken] | str:
    """The methods of a place, without their code, or why there are none; of each ``content`` (its sha256) once."""
    try:
        return headers.read(place)
    except headers.HeaderError as error:
        return str(error)


def _is_place(name: str) -> bool:
    """Whether a name is a file or a module, not one that is registered."""
    return is_path(name) or ":" in name or "." in name


def split(name: str) -> tuple[str, str]:
    """The place and what is meant of it, if one is chosen: of ``path.py:NAME`` or ``package.module:factory:NAME``."""
    if file := _FILE.fullmatch(name):
        return file[1], file[2] or ""
    parts = name.split(":")
    return ":".join(parts[:2]), ":".join(parts[2:])


def is_path(name: str) -> bool:
    """Whether a name is a file, perhaps with one of several inside: ``path/to/file.py[:name]``."""
    return bool(_FILE.fullmatch(name))


def absolute(name: str) -> str:
    """``name``, a file of which is found from any working directory."""
    if not is_path(name):
        return name
    path, inside = split(name)
    return f"{Path(path).absolute()}" + f":{inside}" * bool(inside)


def _one(name: str, noun: str, found: Mapping[str, Noun], others: Mapping[str, Noun]) -> Noun:
    """The task or method that ``path/to/file.py[:name]`` means, which must not have the name of one of the others."""
    path, inside = split(name)
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


def _get(found: Mapping[str, Any], name: str, what: str) -> Any:
    if name in found:
        return found[name]
    known = ", ".join(found) or "none"
    raise UnknownName(f"unknown {what} {name!r}{hint(name, found)} (known: {known})")
