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

from recon_bench.scoring.load import cores
from recon_bench.storage import REPOSITORY, digest

PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "PyWavelets", "safetensors", "astra-toolbox", "recon-bench")


@functools.cache
def machine(device: str) -> dict[str, Any]:
    """What identifies the hardware and system; ``id`` is a hash of it. Runtimes rank only within one id."""
    facts = {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "system": f"{platform.system()} {platform.machine()}",
    }
    return {"id": digest(facts), **facts}


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
    """The commit of the checkout and whether its code is as committed; (None, None) outside a repository."""
    head = _git("rev-parse", "HEAD")
    if not head:
        return None, None
    return head, _git("status", "--porcelain", "--", "recon_bench", "baselines", ":!baselines/weights") == ""


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
