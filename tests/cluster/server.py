"""A Slurm of one node on this machine, started for a test and ended after it: Debian's slurmctld, slurmd and munge.

Two partitions share the node: jobs of `high` preempt those of `low`, which go back into the queue.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CPUS = 4  # said to be there, so that four jobs run side by side on any machine
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=60
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


def missing():
    """What is not installed, as a sentence; None where all is."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    absent = [name for name in (*DAEMONS, "sbatch") if not shutil.which(name)]
    return f"no {', '.join(absent)} here: apt-get install slurmctld slurmd slurm-client munge" if absent else None


@contextlib.contextmanager
def slurm(folder: Path):
    """The cluster, which commands find by SLURM_CONF in the environment; ``folder`` is empty."""
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    configuration = folder / "slurm.conf"
    values = {"host": socket.gethostname().split(".")[0], "controller": _free(), "node": _free()}
    configuration.write_text(CONFIGURATION.format(folder=folder, cpus=CPUS, **values))
    munge = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("key-file", "socket", "pid-file")]
    munge += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed", "--force", "--foreground"]
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(configuration)
    try:
        with contextlib.ExitStack() as daemons:
            daemons.enter_context(_daemon(["munged", *munge]))
            _wait(lambda: (folder / "munge.socket").exists(), "munged", folder)
            daemons.enter_context(_daemon(["slurmctld", "-D", "-c"]))
            daemons.enter_context(_daemon(["slurmd", "-D", "-c"]))
            _wait(lambda: "idle" in _said("sinfo", "--noheader", "--format=%T"), "the node", folder)
            yield
            _said("scancel", "--me")
            _wait(lambda: not _said("squeue", "--noheader"), "the end of all jobs", folder)
    finally:
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def preempt():
    """Run a job that needs the whole node at once, and let what it displaced start again without Slurm's pause."""
    subprocess.run(["srun", "--partition=high", "--exclusive", "true"], check=True, timeout=300)
    for number in _said("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i").split():
        _said("scontrol", "update", f"JobId={number}", "StartTime=now")


@contextlib.contextmanager
def _daemon(words):
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _said(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def _wait(done, what, folder, seconds=60):
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} seconds for {what}; logs are in {folder}")
        time.sleep(0.1)


def _free():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
