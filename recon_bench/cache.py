"""A content-addressed folder of tensors that are cheaper to read than to build. Safe to delete at any time.

Each entry is a folder named by the hash of its key, holding one ``.npy`` file a tensor, memory-mapped when read, so
processes share the pages. An entry is written under a temporary name and then renamed: two processes that build the
same entry at once both succeed, and a kill or a full disk leaves no half entry behind.

The folder is ``$RECON_BENCH_CACHE``, else ``$XDG_CACHE_HOME/recon_bench``, else ``~/.cache/recon_bench``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon_bench.storage import digest


def folder() -> Path:
    """Where entries are kept; the folder need not exist."""
    if chosen := os.environ.get("RECON_BENCH_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "recon_bench"


def load_or_build(key: Mapping[str, Any], build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors stored under ``key`` (JSON data that defines them wholly), built and stored if they are not there.

    Tensors that were read are memory-mapped copy-on-write. Where nothing can be stored (a full disk, a read-only
    folder) the built tensors are returned with a warning; an entry that is damaged is built again. Raises what
    ``build`` raises, and TypeError for a key that is no JSON.
    """
    entry = folder() / digest(dict(key))
    if (found := _load(entry)) is not None:
        return found
    tensors = build()
    try:
        _store(entry, tensors)
    except OSError as error:
        warnings.warn(f"{folder()} cannot hold {entry.name}: {error}; going on without the cache", stacklevel=2)
        return tensors
    return _load(entry) or tensors


def size() -> int:
    """Bytes held by the cache."""
    return sum(path.stat().st_size for entry in _entries() for path in entry.glob("*.npy"))


def clear() -> int:
    """Delete every entry; gives the bytes freed. Processes that have an entry mapped keep it until they end."""
    freed = size()
    for entry in _entries():
        with contextlib.suppress(OSError):  # renamed first: a reader finds the whole entry or none
            entry = entry.rename(entry.with_name(f"{entry.name[:16]}-{os.getpid()}.tmp"))
        shutil.rmtree(entry, ignore_errors=True)
    return freed


def _entries() -> list[Path]:
    """Our entries alone: whatever else the folder holds is not ours to count or delete."""
    return [path for path in folder().glob("*") if re.fullmatch(r"[0-9a-f]{16}(-.*\.tmp)?", path.name)]


def _load(entry: Path) -> dict[str, Tensor] | None:
    try:
        files = sorted(entry.glob("*.npy"))
        tensors = {path.stem: torch.from_numpy(np.load(path, mmap_mode="c")) for path in files}
        return tensors or None
    except (OSError, ValueError, EOFError):  # vanished or damaged: it is built again
        shutil.rmtree(entry, ignore_errors=True)
        return None


def _store(entry: Path, tensors: Mapping[str, Tensor]) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{entry.name}-", suffix=".tmp", dir=entry.parent))
    try:
        for name, tensor in tensors.items():
            np.save(temporary / f"{name}.npy", tensor.numpy())
        temporary.rename(entry)
    except OSError:
        if not entry.is_dir():  # not a race that another process won
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
