"""Ask a method something outside of a run, as a run does: its code is not in the process that asks."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import torch

from recon_bench import processes
from recon_bench.core import NotApplicable
from recon_bench.measurement import Cell
from recon_bench.rules import FULL
from recon_bench.run.worker import Job, cell_of, home_of
from recon_bench.scoring.answers import MethodError, reason
from recon_bench.scoring.home import Gone
from recon_bench.scoring.targets import Unusable

T = TypeVar("T")


class ApartError(ValueError):
    """A method that could not be asked; the text is its reason."""


def apart(task: str, method: str, settings: dict[str, Any], ask: Callable[[Cell], T], memory: int = 0) -> T:
    """What ``ask(cell)`` gives, a function that can be pickled, of a method with these settings on a task.

    On the CPU, under the full rules, with ``memory`` bytes, 0 for what is free. ApartError where it raises anything or
    the process ends.
    """
    job = Job(task, method, "", settings, FULL, "cpu", torch.get_num_threads(), Path(), {}, memory=memory)
    context = processes.server()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, ask, theirs))
    process.start()
    theirs.close()
    try:
        found, problem = pickle.loads(ours.recv_bytes())  # of our own process, not the method's
    except EOFError:
        found, problem = None, "the process that asked it has ended"
    finally:
        processes.end(process)
        ours.close()
    if problem:
        raise ApartError(f"{method}: {problem}")
    return found


def _work(job: Job, ask: Callable[[Cell], Any], answer: Connection) -> None:
    os.setsid()
    processes.adopt_orphans()
    sys.stdout.flush()
    os.dup2(2, 1)  # what a method prints is no answer
    home, whole = home_of(job)
    torch.set_num_threads(job.threads)
    processes.on_end_of_starter(processes.end_descendants)
    try:
        said: tuple[Any, str] = ask(cell_of(job, home, whole)), ""
    except Gone as gone:
        said = None, str(gone)
    except Exception as error:
        if not isinstance(error, NotApplicable | MethodError | Unusable):  # what is ours has a place
            traceback.print_exc()
        said = None, reason(error, torch.device(job.device))
    processes.end_descendants()
    answer.send_bytes(pickle.dumps(said))
