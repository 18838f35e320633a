"""Where a result comes from: machine, packages, commit."""

from __future__ import annotations

import functools
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from recon_bench.processes import cores
from recon_bench.storage import REPOSITORY, digest

PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "PyWavelets", "safetensors", "astra-toolbox", "recon-bench")


@functools.cache
def machine(device: str) -> dict[str, Any]:
    """What identifies the hardware and system; ``id`` is a hash of it. Runtimes rank only within one id."""
    facts = {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": torch.cuda.get_device_name(device) if _cuda(device) else None,
        "system": f"{platform.system()} {platform.machine()}",
    }
    return {"id": digest(facts), **facts}


def _cuda(device: str) -> bool:
    """Whether a device is a CUDA one that is here: a machine that submits jobs need not have any."""
    return device.startswith("cuda") and torch.cuda.is_available()


def _cpu() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


@functools.cache
def packages() -> dict[str, str]:
    """Versions of the packages that a number may depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def commit() -> tuple[str | None, bool | None]:
    """The commit of the checkout and whether its code is as committed.

    (None, None) where this is no checkout of its own, such as a download inside another repository.
    """
    top, head = _git("rev-parse", "--show-toplevel"), _git("rev-parse", "HEAD")
    if not top or not head or Path(top).resolve() != REPOSITORY:
        return None, None
    changes = _git("status", "--porcelain", "--untracked-files=all", "--", "recon_bench", "baselines", WEIGHTS)
    return head, changes == ""


WEIGHTS = ":!baselines/weights"  # a result has their hashes


def _git(*arguments: str) -> str | None:
    """What git says of the folder that our code is in, whatever repository the environment names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, errors="replace", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.removesuffix("\n")
