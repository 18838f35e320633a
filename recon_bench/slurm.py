"""Jobs of a Slurm cluster, submitted by submitit: arrays that go on after a preemption, a time limit or a dead node.

A job is a callable that can be pickled and called again: where it was stopped, it goes on from what it left on disk.
submitit requeues it shortly before its time limit, Slurm where it is preempted or its node fails; what ended in any
other way without a word is submitted anew by :func:`finished`. Folders are ones that all nodes see.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Options = Mapping[str, str]  # of sbatch, by their long names

MINUTES = 60  # of a job, unless --slurm time=... says other
TRIES = 3  # submissions of a job that ends without a word, such as one that is killed
REQUEUES = 1000  # after time limits: each has gone on a little
POLL_SECONDS = 5.0
STOPPING = (signal.SIGTERM, signal.SIGUSR2)  # what Slurm sends to all processes of a job that is to stop
GONE = "GONE"  # the state of a job that Slurm no longer knows
ENDED = {GONE, "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"} | {
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
}


@dataclass
class Job:
    """What is asked of the cluster, and what became of it.

    ``file`` keeps its id, by which a later process finds it in the queue. ``result`` is what the call gave, ``problem``
    why it gave nothing.
    """

    name: str
    call: Callable[[], Any]
    options: Options
    file: Path
    id: str = ""
    result: Any = None
    problem: str = ""
    cancelled: bool = False  # by somebody
    tries: int = 0  # submissions
    silent: int = 0  # how often it was seen to have ended without a result


def options(given: Sequence[str]) -> dict[str, dict[str, str]]:
    """`["partition=gpu", "unet.mem=16G"]` as `{"": {"partition": "gpu"}, "unet": {"mem": "16G"}}`."""
    found: dict[str, dict[str, str]] = {"": {}}
    for text in given:
        name, equals, value = text.partition("=")
        method, _, option = name.rpartition(".")
        if not (equals and option):
            raise ValueError(f"--slurm: expected [METHOD.]OPTION=VALUE, as in unet.mem=16G, got {text!r}")
        if option == "time" and not value.isdigit():
            raise ValueError(f"--slurm: expected time in minutes, a whole number, got {value!r}")
        found.setdefault(method, {})[option] = value
    return found


def adopt(jobs: Iterable[Job]) -> set[str]:
    """The names of those jobs that an earlier process left in the queue; their ids go into them.

    ValueError where Slurm does not answer.
    """
    states, found = queued(), set()
    if states is None:
        raise ValueError("Slurm does not answer (squeue fails): nothing was submitted")
    for job in jobs:
        number = job.file.read_text(encoding="utf-8") if job.file.exists() else ""
        if states.get(number, GONE) not in ENDED:
            job.id, job.tries = number, 1
            found.add(job.name)
    return found


def submit(jobs: Sequence[Job], folder: Path, at_a_time: int | None = None) -> None:
    """Put jobs into the queue, those with the same options as one array; logs go to ``folder``.

    ValueError where submitit or Slurm is not there, or refuses.
    """
    alike: dict[tuple[tuple[str, str], ...], list[Job]] = {}
    for job in jobs:
        alike.setdefault(tuple(sorted(job.options.items())), []).append(job)
    for chosen, some in alike.items():
        for job, number in zip(some, _submitted(some, dict(chosen), folder, at_a_time), strict=True):
            job.id, job.tries, job.silent = number, job.tries + 1, 0
            job.file.write_text(number, encoding="utf-8")


def _submitted(jobs: Sequence[Job], chosen: dict[str, str], folder: Path, at_a_time: int | None) -> list[str]:
    try:
        import submitit
    except ImportError as error:
        raise ValueError("--executor slurm needs submitit: pip install 'recon-bench[cluster]'") from error
    minutes = int(chosen.pop("time", MINUTES))
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=REQUEUES)
        executor.update_parameters(
            job_name="recon-bench",
            time=minutes,
            array_parallelism=at_a_time or len(jobs),
            stderr_to_stdout=True,
            additional_parameters={**chosen, "requeue": True},
        )
        with executor.batch():
            made = [executor.submit(job.call) for job in jobs]
        return [str(item.job_id) for item in made]
    except (RuntimeError, OSError) as error:
        raise ValueError(f"Slurm takes no job: {str(error).strip()}") from error


def finished(jobs: Sequence[Job], folder: Path, at_a_time: int | None = None) -> Iterator[Job]:
    """Each job when it has ended, with its result or problem; those that ended without a word are tried again."""
    waiting = list(jobs)
    while waiting:
        states = queued()
        anew: list[Job] = []
        if states is None:  # Slurm does not answer: nothing is known to have ended
            time.sleep(POLL_SECONDS)
            continue
        for job in list(waiting):
            state = states.get(job.id, GONE)
            if state not in ENDED:  # also where it has answered, but was preempted just then and is to start again
                job.silent = 0
                continue
            if not _answered(job, folder):
                job.silent += 1
                if job.silent < 2:  # a shared file system may be late with what a job wrote
                    continue
                job.cancelled = state == "CANCELLED"
                if job.tries < TRIES and not job.cancelled:
                    anew.append(job)
                    continue
                job.problem = f"job {job.id} ended without a result (state {state}, try {job.tries} of {TRIES})"
            waiting.remove(job)
            job.file.unlink(missing_ok=True)
            yield job
        submit(anew, folder, at_a_time)
        if waiting:
            time.sleep(POLL_SECONDS)


def queued() -> dict[str, str] | None:
    """The state of each job of this user that Slurm still knows, by id; None where Slurm does not answer.

    ValueError where there is no Slurm.
    """
    words = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i %T"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError as error:
        raise ValueError("no squeue here: --executor slurm is for a machine that submits to Slurm") from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return {number: state for number, _, state in (line.strip().partition(" ") for line in done.stdout.splitlines())}


def _answered(job: Job, folder: Path) -> bool:
    """Whether a job has said how it ended; that goes into it."""
    try:
        how, value = pickle.loads((folder / f"{job.id}_0_result.pkl").read_bytes())
    except OSError:
        return False
    if how == "success":
        job.result = value
    else:
        job.problem = str(value).strip().splitlines()[-1]
    return True


def log(job: Job, folder: Path) -> Path:
    """What a job and all that it started print."""
    return folder / f"{job.id}_0_log.out"


def again(call: Callable[[], Any]) -> Any:
    """What submitit asks for before it requeues a job: the call to make then."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(call)


@contextlib.contextmanager
def sheltered(signals: Sequence[signal.Signals] = STOPPING) -> Iterator[None]:
    """Processes that are started meanwhile, and theirs, do not hear that their job is to stop; their parent does."""
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in signals]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
