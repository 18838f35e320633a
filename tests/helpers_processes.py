"""Which processes are still there, by a mark in the environment that they were started with."""

import time

from recon_bench import processes


def marked(mark: str) -> list[str]:
    """Processes with ``mark``, as NAME=VALUE, in their environment."""
    found = []
    for path in processes.PROC.glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def left_over(mark: str, seconds: float = 60.0) -> list[str]:
    """Those that are still there after a while."""
    until = time.monotonic() + seconds
    while (found := marked(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return found
