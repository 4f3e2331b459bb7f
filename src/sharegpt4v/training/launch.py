"""Starting the processes that train one model together: the verb's own command, by torchrun, on every node.

So a training has one command line for one process and for sixteen. What the config's section `compute` asks for beyond
one process is started here: torchrun on each node of the Slurm job, by `srun` when there are several. A signal that
asks for the end reaches the processes from both, and they get the time to save the state.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sharegpt4v.errors import UserError
from sharegpt4v.lifetime import SECONDS_TO_SAVE
from sharegpt4v.pipeline.slurm import ask

if TYPE_CHECKING:
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.training.ranks import Ranks

# Ports below those that the system gives out by itself; jobs on one node differ in their number.
FIRST_PORT, PORTS = 20_000, 10_000
FORWARDED = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"  # torchrun's own, and the one that Slurm is asked for


def all_ranks(compute: Compute) -> Ranks:
    """Return this process's rank among those that train together.

    When they are not there yet, this process becomes what starts them and does not return: they come here again.
    """
    from sharegpt4v.training.ranks import join

    if compute.processes > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        command = launch_command(compute, sys.argv[1:], os.environ)
        print(shlex.join(command), file=sys.stderr, flush=True)
        os.execvp(command[0], command)
    return join(compute.wait_minutes)


def launch_command(compute: Compute, verb: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the command that runs `s4v` with the arguments `verb` in every process of `compute`.

    `UserError` when there are to be several nodes and this is no Slurm job of as many.
    """
    job = environ.get("SLURM_JOB_ID")
    on_nodes: list[str] = []
    address = "127.0.0.1"
    if compute.nodes > 1:
        address = _address_of_first(_nodes_of(job, compute.nodes))
        on_nodes = ["srun", f"--nodes={compute.nodes}", f"--ntasks={compute.nodes}", "--ntasks-per-node=1"]
        on_nodes += ["--kill-on-bad-exit=1", "--cpu-bind=none"]
        on_nodes += ["sh", "-c", 'export PET_NODE_RANK=$SLURM_NODEID; exec "$@"', "torchrun"]  # --node-rank
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", f"--nnodes={compute.nodes}",
        f"--nproc-per-node={compute.processes_per_node}", f"--master-addr={address}",
        f"--master-port={FIRST_PORT + int(job or os.getpid()) % PORTS}",
        f"--rdzv-conf=timeout={round(compute.wait_minutes * 60)}", f"--signals-to-handle={FORWARDED}",
        f"--shutdown-timeout={round(SECONDS_TO_SAVE)}", "-m", "sharegpt4v.cli", *verb,
    ]  # fmt: skip
    return on_nodes + torchrun


def _nodes_of(job: str | None, expected: int) -> list[str]:
    """Return the names of a job's nodes, in Slurm's order. Snakemake's executor hides SLURM_JOB_NODELIST from it."""
    if job is None or shutil.which("srun") is None:
        raise UserError(
            f"compute.nodes is {expected} and this is no Slurm job; run snakemake with --profile slurm, or set it to 1"
        )
    listed = ask("squeue", "--noheader", "--format=%N", f"--jobs={job}")
    nodes = ask("scontrol", "show", "hostnames", listed).split()
    if len(nodes) != expected:
        raise UserError(
            f"compute.nodes is {expected} and Slurm job {job} has {len(nodes)}, {listed}; expected as many: see "
            "`nodes` of this rule in the profile"
        )
    return nodes


def _address_of_first(nodes: Sequence[str]) -> str:
    """Return the address by which Slurm reaches the first node; names need not be known to any other service."""
    about = ask("scontrol", "show", "node", nodes[0], "--oneliner")
    return next(word.partition("=")[2] for word in about.split() if word.startswith("NodeAddr="))
