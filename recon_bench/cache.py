"""A content-addressed folder of tensors that are cheaper to read than to build. Safe to delete at any time.

Each entry is a folder named by the hash of its key, holding one ``.npy`` file a tensor, memory-mapped when read, so
processes share the pages. An entry is written under a temporary name and then renamed: two processes that build the
same entry at once both succeed, and a kill or a full disk leaves no half entry behind. No locks are needed. An entry
lists its files, so that one of which a file was deleted is known and built again.

The folder is ``$RECON_BENCH_CACHE``, else ``$XDG_CACHE_HOME/recon_bench``, else ``~/.cache/recon_bench``; where there
is no home, it is ``recon_bench-<user id>`` among the temporary files, open to that user alone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon_bench.storage import digest

_LIST = "files.json"  # of an entry: the names of its tensors; entries of older versions have none


def folder() -> Path:
    """Where entries are kept; the folder need not exist."""
    if chosen := os.environ.get("RECON_BENCH_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "recon_bench"
    try:
        if os.environ.get("HOME") != "":
            return Path.home() / ".cache" / "recon_bench"
    except RuntimeError:  # neither $HOME nor an entry of this user in the system's list, as in some containers
        pass
    return _without_home()


def _without_home() -> Path:
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"recon_bench-{os.getuid()}"


def load_or_build(
    key: Mapping[str, Any], build: Callable[[], dict[str, Tensor]], names: Collection[str] = ()
) -> dict[str, Tensor]:
    """The tensors stored under ``key`` (JSON data that defines them wholly), built and stored if they are not there.

    ``names`` are those that the entry must hold at least, where the caller knows. Tensors that were read are
    memory-mapped copy-on-write. Where nothing can be stored (a full disk, a read-only folder, a path that is too long)
    the built tensors are returned with a warning; an entry that is damaged or incomplete is built again. Raises what
    ``build`` raises, and TypeError for a key that is no JSON.
    """
    entry = folder() / digest(dict(key))
    private = _private(entry.parent)
    if private and (found := _load(entry, names)) is not None:
        return found
    tensors = build()
    try:
        if not private:
            raise PermissionError("it is not this user's alone")
        _store(entry, tensors)
    except OSError as error:
        warnings.warn(
            f"{entry.parent} cannot hold {entry.name}: {error}; going on without the cache, set RECON_BENCH_CACHE to "
            "a folder of yours",
            stacklevel=2,
        )
        return tensors
    return _load(entry, names) or tensors


def _private(parent: Path) -> bool:
    """Whether ``parent`` may be trusted: any folder that was chosen, and among the temporary files one of this user.

    There anybody could put a folder of that name, and what it holds would be taken for what was built.
    """
    if parent != _without_home():
        return True
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = parent.lstat()
    except OSError:  # storing will say why
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


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
    try:
        return [path for path in folder().glob("*") if re.fullmatch(r"[0-9a-f]{16}(-.*\.tmp)?", path.name)]
    except OSError:  # it cannot be looked into, so it holds nothing of ours
        return []


def _load(entry: Path, names: Collection[str]) -> dict[str, Tensor] | None:
    try:
        files = {path.stem: path for path in sorted(entry.glob("*.npy"))}
        listed = json.loads((entry / _LIST).read_text()) if files and (entry / _LIST).exists() else []
        if files and {*names, *listed} - files.keys():
            raise ValueError("incomplete")
        return {name: torch.from_numpy(_read(path)) for name, path in files.items()} or None
    except (OSError, ValueError, EOFError):  # vanished, damaged or incomplete: it is built again
        shutil.rmtree(entry, ignore_errors=True)
        return None


def _read(path: Path) -> np.ndarray:
    """The array in ``path``, mapped where the file system can."""
    try:
        return np.load(path, mmap_mode="c")
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return np.load(path)


def _store(entry: Path, tensors: Mapping[str, Tensor]) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{entry.name}-", suffix=".tmp", dir=entry.parent))
    try:
        for name, tensor in tensors.items():
            np.save(temporary / f"{name}.npy", tensor.numpy())
        (temporary / _LIST).write_text(json.dumps(sorted(tensors)))
        temporary.rename(entry)
    except OSError:
        if not entry.is_dir():  # not a race that another process won
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
