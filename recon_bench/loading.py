"""Runs Python files and imports modules: for processes in which their code may run."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from recon_bench.core import Method
from recon_bench.names import UnknownName
from recon_bench.storage import sha256


def load_file(path: Path, exported: str) -> ModuleType:
    """The module of a file, which exports a name. UnknownName where it does not, and whatever its import raises."""
    check_file(path, exported)
    module = _imported(path.resolve(), sha256(path.read_bytes()))
    if not getattr(module, exported, None):
        raise UnknownName(f"{path} exports no {exported}: end it with {exported} = ...; see CONTRIBUTING.md")
    return module


def methods_at(place: str) -> tuple[Sequence[Any], str]:
    """What a ``path/to/file.py``, or a ``package.module[:name]``, has as methods, and the file that it is in.

    METHODS, or what the module has under ``name``: one, several, or a function that gives some. UnknownName where there
    is none, and whatever the import raises.
    """
    if place.endswith(".py"):
        return _several(load_file(Path(place), "METHODS").METHODS, place), str(Path(place).resolve())
    name, _, attribute = place.partition(":")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UnknownName(f"no module {error.name}: is it installed here, or its folder in PYTHONPATH?") from error
    made = getattr(module, attribute or "METHODS", None)
    return _several(made() if callable(made) else made, place), str(module.__file__)


def _several(made: Any, place: str) -> Sequence[Any]:
    found = [made] if isinstance(made, Method) else made
    if not found or not isinstance(found, list | tuple):
        wanted = "a Method, several of them, or a function that gives some"
        raise UnknownName(f"{place}: expected {wanted}; found {made!r:.80}")
    return found


def check_file(path: Path, exported: str) -> None:
    """UnknownName where there is no file."""
    if not path.is_file():
        raise UnknownName(f"no file {path}: expected a Python file that exports {exported}")


@functools.lru_cache
def _imported(path: Path, content: str) -> ModuleType:
    """The module of a file, run once for each ``content`` (its sha256)."""
    name = f"recon_bench_submission_{path.stem}_{sha256(os.fsencode(path))[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
