"""A training on a Slurm cluster: one job, which goes on from its checkpoint wherever it was stopped.

The training is a process of its own in the job. Shortly before the job's time limit, or when it is preempted, that
process is asked to stop: it writes its checkpoint, the job goes back into the queue, and then it is resumed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from recon_bench import slurm, weights
from recon_bench.slurm import Job
from recon_bench.storage import digest

STOPPED = 130  # the exit status of a training that was asked to stop and has written its checkpoint
LINES = 5  # of the log that are shown at the end


@dataclass
class Training:
    """A job: ``words`` are the command line of a training on one machine."""

    words: Sequence[str]
    resume: bool
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __call__(self) -> int:
        """Train, on the node; RuntimeError where that fails."""
        again = self.resume or "SLURM_RESTART_COUNT" in os.environ
        words = [sys.executable, "-m", "recon_bench", *self.words, *["--resume"] * again]
        with slurm.sheltered((signal.SIGUSR2,)):  # it knows nothing of that; SIGTERM it does
            self.process = subprocess.Popen(words)
        self.resume = True
        status = self.process.wait()
        if status == STOPPED:  # by Slurm itself: leave as if this process had been asked
            signal.raise_signal(signal.SIGUSR2)
        if status:
            raise RuntimeError(f"the training ended with exit status {status}")
        return status

    def checkpoint(self) -> Any:
        """The job to requeue, once the training has written its checkpoint."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        return slurm.again(Training(self.words, resume=True))


def train(words: Sequence[str], options: slurm.Options, resume: bool) -> int:
    """Have the training of a command line made by a job, and wait for it; gives the exit status.

    A job of the same command that is in the queue already is waited for. ValueError where Slurm or submitit is not
    there or refuses.
    """
    folder = weights.folder() / ".training" / "slurm" / digest(list(words))
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(" ".join(words), Training(words, resume), options, folder / "job")
    if not slurm.adopt([job]):
        slurm.submit([job], folder)
    print(f"job {job.id} (log: {slurm.log(job, folder)}); it goes on without this process", flush=True)
    for ended in slurm.finished([job], folder):
        if (log := slurm.log(ended, folder)).exists():
            print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]))
    if job.problem:
        print(f"recon-bench: {job.problem}", file=sys.stderr)
    return 1 if job.problem else 0
