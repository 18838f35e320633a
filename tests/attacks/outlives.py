"""Leaves processes in sessions of their own, which hold its output open; notes who they are."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from recon_bench.core import Method
from tests.attacks.making import honest


@dataclass(frozen=True)
class Settings:
    """``tally``: a folder for the numbers of the processes."""

    tally: str = ""


def leave(tally, depth=3):
    for _ in range(2 if depth else 0):
        if os.fork() == 0:
            os.setsid()
            if tally:
                (Path(tally) / str(os.getpid())).touch()
            leave(tally, depth - 1)
            if depth % 2:  # its children are orphans
                os._exit(0)
            time.sleep(600)


def build(problem, settings):
    leave(settings.tally)
    return honest


METHODS = (Method("outlives", "outlives", "direct", "An attack.", "none", build=build, settings=Settings()),)
ROW = ("ok", "", "")
