"""Digests, whole-file writes, locks and the root of the repository: each said once. Imports nothing of ours."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent  # of a checkout: where results/, baselines/ and site/ are
ATTACKS = REPOSITORY / "attacks"  # perturbations that were submitted

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)  # the last from NFS, for a folder


def digest(data: Any) -> str:
    """First 16 hex digits of the sha256 of ``data`` as canonical JSON; TypeError where it is no JSON."""
    return sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode())[:16]


def sha256(content: bytes) -> str:
    """The sha256 of ``content`` as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Write ``path`` so that it holds either what it held or all of ``content``, even when the power fails.

    Raises OSError, of that file, where the folder is not there or the disk refuses it; nothing is left behind then.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def full(error: OSError) -> bool:
    """Whether it says that there is no room left, on the disk or for this user."""
    return error.errno in _FULL


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """One process at a time at ``path``, a file or folder; BlockingIOError where another is and ``wait`` is false.

    On a file system that has no locks it warns and goes on: there it is for the user to start one process at a time.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"{path} is on a file system without locks ({error.strerror}): run one process at a time there",
                stacklevel=3,
            )
        yield
    finally:
        os.close(handle)
