"""A real Slurm for the tests: slurmctld, munged and two slurmd with four pretended GPUs each, all on this machine.

Everything lies in one folder, on ports of its own, and belongs to whoever runs the tests; no system service is touched.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from conftest import ENVIRONMENT

PROGRAMS = ("munged", "munge", "unmunge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
SEARCH_PATH = os.pathsep.join([ENVIRONMENT["PATH"], "/usr/sbin", "/sbin"])  # where daemons are, for plain users too
NODES = ("n1", "n2")
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
GPUS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")  # any character devices do, each one only once

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=3000
# Each node may claim more than the machine has: a group of jobs asks for the sum of what they need.
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,defer_batch
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
KillWait=10
SlurmdTimeout=10
SlurmctldTimeout=30
MessageTimeout=10
PropagateResourceLimits=NONE
NodeName=DEFAULT CPUs=8 RealMemory=32000 Gres=gpu:4 State=UNKNOWN
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}]
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=UNLIMITED DefMemPerCPU=200 State=UP
PartitionName=gpu Nodes=n[1-2] MaxTime=2880 DefMemPerCPU=200 State=UP
"""


def missing_programs() -> list[str]:
    """The programs of Slurm that this machine lacks."""
    return [program for program in PROGRAMS if not shutil.which(program, path=SEARCH_PATH)]


def wait_for(what: str, condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition holds; say what it was when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


class Cluster:
    """Slurm's daemons and how to speak to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.runs: list[subprocess.Popen[bytes]] = []  # what works on the cluster, each in a session of its own
        self.environment = ENVIRONMENT | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(folder / "bin"), SEARCH_PATH]),
        }

    def start(self) -> None:
        """Write the configuration and start everything; an error shows the ends of the logs."""
        self._write()
        munge = self.folder / "munge"
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
        # pytest's folders are closed to others, which munged takes for a mistake unless forced.
        self._daemon("munged", "munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *files)
        self._ready("munged", "sh", "-c", f"munge -S {munge / 'socket'} -n | unmunge -S {munge / 'socket'}")
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        wait_for("both nodes idle", lambda: self.ask("scontrol", "-o", "show", "node").count("State=IDLE ") == 2)

    def start_controller(self) -> None:
        """Start slurmctld and wait for it."""
        self._daemon("slurmctld", "slurmctld", "-D")
        self._ready("slurmctld", "scontrol", "ping", said="is UP")

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        self._daemon(node, "slurmd", "-D", "-N", node)

    def stop_controller(self) -> None:
        """End slurmctld as for an update: it saves its state, jobs go on, nothing that is asked gets an answer."""
        controller = self.daemons.pop("slurmctld")
        controller.terminate()
        controller.wait(20)

    def kill_node(self, node: str) -> None:
        """End a node as a power failure does: its slurmd, its job steps, and all they started."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        victims = [pid for pid, of in self._processes() if of == node]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # all at once, so that none can tell of another's end
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def ask(self, *command: str) -> str:
        """Run one of Slurm's commands and return what it prints; it has to succeed."""
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, f"{command}: {ended.stderr}{self.logs()}"
        return ended.stdout

    def jobs(self, comment: str, *states: str) -> list[str]:
        """The numbers of the jobs whose comment, in which Snakemake names the rule, begins so."""
        lines = self.ask("squeue", "--noheader", "--states=all", "--format=%i|%T|%k").splitlines()
        rows = [line.split("|") for line in lines]
        return [row[0] for row in rows if row[2].startswith(comment) and (not states or row[1] in states)]

    def stop(self) -> None:
        """End all runs and jobs, then all daemons."""
        for run in self.runs:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
        if "slurmctld" in self.daemons:
            subprocess.run(["scancel", f"--user={os.getuid()}"], env=self.environment, timeout=60)
            with_limit = time.monotonic() + 20
            while time.monotonic() < with_limit and self.ask("squeue", "--noheader"):
                time.sleep(0.1)
        for name in [*NODES, "slurmctld", "munged"]:
            if daemon := self.daemons.pop(name, None):
                daemon.terminate()
                try:
                    daemon.wait(3)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "".join(f"\n--- {path.name}\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log"))

    def _write(self) -> None:
        import getpass

        for name in ("munge", "state", "bin", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / "munge/key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        port, first = _free_ports()
        host = socket.gethostname().partition(".")[0]
        settings = {"host": host, "user": getpass.getuser(), "folder": self.folder, "port": port}
        (self.folder / "slurm.conf").write_text(CONFIG.format(**settings, first=first, last=first + 1))
        (self.folder / "cgroup.conf").touch()
        (self.folder / "gres.conf").write_text("".join(f"NodeName=n[1-2] Name=gpu File={gpu}\n" for gpu in GPUS))
        # Snakemake's executor takes SLURM_CONF from the environment of jobs; on a cluster it is not needed.
        for program in ("srun", "squeue", "scontrol"):
            wrapper = self.folder / "bin" / program
            real = shutil.which(program, path=SEARCH_PATH)
            wrapper.write_text(f'#!/bin/sh\nexport SLURM_CONF={self.folder}/slurm.conf\nexec {real} "$@"\n')
            wrapper.chmod(0o755)

    def _daemon(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out.log", "ab") as out:
            program = shutil.which(command[0], path=SEARCH_PATH)
            assert program
            self.daemons[name] = subprocess.Popen(
                [program, *command[1:]], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip

    def _ready(self, name: str, *command: str, said: str = "") -> None:
        def answers() -> bool:
            assert self.daemons[name].poll() is None, f"{name} ended{self.logs()}"
            ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=20)
            return ended.returncode == 0 and said in ended.stdout

        wait_for(f"{name} answers", answers)

    def _processes(self) -> Iterator[tuple[int, str]]:
        """The processes of jobs, each with the node that it runs on."""
        for pid, command, environment in processes():
            if str(self.folder).encode() in environment + command:
                for node in NODES:
                    if f"SLURMD_NODENAME={node}".encode() in environment or f"[{node}]".encode() in command:
                        yield pid, node


def processes() -> Iterator[tuple[int, bytes, bytes]]:
    """The number, the command line and the environment of every process that may be looked at."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield int(path.name), (path / "cmdline").read_bytes(), (path / "environ").read_bytes()


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start a cluster in `folder`; stop it in the end."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _end_with_parent() -> None:
    """Let a daemon end when the tests are killed before they can stop it."""
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _free_ports() -> tuple[int, int]:
    """A free port for the controller, and the first of two adjacent ones for the nodes."""
    for first in range(18_000 + os.getpid() % 1000 * 3, 32_000, 3):
        if all(_is_free(port) for port in (first, first + 1, first + 2)):
            return first, first + 1
    raise AssertionError("no free ports for Slurm")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes of eight processors and four pretended GPUs each; skipped without Slurm, but not in `.ci/run`."""
    if missing := missing_programs():
        (pytest.fail if os.environ.get("S4V_REQUIRE_ALL") else pytest.skip)(f"Slurm lacks {', '.join(missing)}")
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running
