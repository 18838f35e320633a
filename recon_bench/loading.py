"""Runs a Python file as a module: for processes in which its code may run."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from recon_bench.names import UnknownName
from recon_bench.storage import sha256


def load_file(path: Path, exported: str) -> ModuleType:
    """The module of a file, which exports a name. UnknownName where it does not, and whatever its import raises."""
    check_file(path, exported)
    module = _imported(path.resolve(), sha256(path.read_bytes()))
    if not getattr(module, exported, None):
        raise UnknownName(f"{path} exports no {exported}: end it with {exported} = ...; see CONTRIBUTING.md")
    return module


def check_file(path: Path, exported: str) -> None:
    """UnknownName where there is no file."""
    if not path.is_file():
        raise UnknownName(f"no file {path}: expected a Python file that exports {exported}")


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
