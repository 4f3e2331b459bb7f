"""What a run under Slurm needs beside Snakemake's executor: answers in all cases, no jobs of a run that is gone, and
that a training hears of its time limit.

The executor (2.8.0, pinned) forgets its jobs, and the run hangs, when one status query fails; it waits for ever for a
job that Slurm no longer lists, or will never start; and it asks ever more seldom the longer nothing succeeds.
`keep_asking` fixes that.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from sharegpt4v.errors import UserError

EXECUTOR = "snakemake_executor_plugin_slurm"
LONGEST_SILENCE = 600.0  # seconds
SECONDS_TO_END = 120.0  # for cancelled jobs: they save their state, then Slurm's own limit (KillWait) ends them
# Why Slurm lets a job wait that no node, account or time will ever fit. Most clusters refuse such jobs, not all do.
HOPELESS = (
    "PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "InvalidAccount", "InvalidQOS",
    "AssocMaxWallDurationPerJobLimit", "QOSMaxWallDurationPerJobLimit",
)  # fmt: skip

States = dict[str, str]
Query = Callable[[str, Any], Awaitable[tuple[States | None, float | None]]]


def ask(*command: str, seconds: float = 60) -> str:
    """Return what one of Slurm's commands prints. A `UserError` when it fails or does not answer in time."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        told = str(getattr(error, "stderr", None) or error).strip().splitlines() or ["failed"]
        raise UserError(f"{shlex.join(command)}: {told[-1]}; expected Slurm's answer") from None


def keep_asking() -> None:
    """Make Snakemake's executor for Slurm, where it is loaded, tolerate that Slurm does not answer for a while."""
    if executor := sys.modules.get(EXECUTOR):
        # It asks sacct in place of the profile's squeue whenever it cannot learn how long squeue lists ended jobs.
        executor.get_min_job_age = lambda: sys.maxsize  # type: ignore[attr-defined]
        executor.query_job_status = retry_until_answered(executor.query_job_status)  # type: ignore[attr-defined]
        executor.Executor.next_seconds_between_status_checks = property(
            lambda self: self.workflow.remote_execution_settings.seconds_between_status_checks, lambda self, value: None
        )


def retry_until_answered(query: Query, longest_silence: float = LONGEST_SILENCE, pause: float = 5.0) -> Query:
    """Return a status query that repeats the given one until Slurm answers, at most for `longest_silence` seconds.

    A job that was listed before and is no more has ended without a word: it counts as failed, and is tried again. So
    does one that waits for what can never be.
    """
    seen: set[str] = set()

    async def states_of_jobs(command: str, logger: Any) -> tuple[States, float | None]:
        began = time.monotonic()
        while True:
            states, seconds = await query(command, logger)
            if states is not None:
                break
            silence = time.monotonic() - began
            if silence > longest_silence:
                raise UserError(
                    f"Slurm has not answered `{command}` for {silence:.0f} seconds; what became of its jobs is not "
                    "known. Start the same command again when it answers"
                )
            logger.warning(f"Slurm does not answer `{command}`; asking again")
            await asyncio.sleep(pause)
        gone = seen - states.keys()
        seen.update(states)
        gone.update(_hopeless([job for job, state in states.items() if state == "PENDING"], logger))
        # sacct says who cancelled a job, `CANCELLED by 1000`, which the executor takes for a job that runs.
        return {job: state.split()[0] for job, state in states.items()} | dict.fromkeys(gone, "FAILED"), seconds

    return states_of_jobs


def _hopeless(waiting: Sequence[str], logger: Any) -> Iterator[str]:
    """Cancel and yield those of the waiting jobs that can never start as the profile asks for them; say why."""
    if not waiting:
        return
    try:
        lines = ask("squeue", "--noheader", "--format=%i|%r", f"--jobs={','.join(waiting)}").splitlines()
        for job, reason in (line.split("|", 1) for line in lines):
            if reason in HOPELESS:
                ask("scancel", job)
                logger.error(f"Slurm job {job} can never start, so it was cancelled: {reason}; see the profile")
                yield job
    except UserError:  # the next poll asks again
        return


def pass_on_warnings() -> None:
    """Hand SIGUSR1, Slurm's warning before a time limit, on to the processes below this one that handle it.

    Where Slurm tracks processes by cgroups it signals only the first one of a job step, which is Snakemake or torchrun;
    elsewhere all of them, so that one may get it twice.
    """

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in psutil.Process().children(recursive=True):
            if _handles(process.pid, number):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    signal.signal(signal.SIGUSR1, pass_on)


def _handles(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal, by the mask that Linux shows of it."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has ended
        return False
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def end_leftover_jobs(folder: Path) -> None:
    """Cancel the jobs that a killed run in `folder` left in Slurm, and wait until they are gone.

    They go on without it, and a new run would start the same work beside them. What they did so far is kept. Does
    nothing where there is no Slurm or it does not answer. `UserError` when they do not end.
    """
    if not shutil.which("squeue"):
        return
    try:
        left = _jobs_in(folder)
    except UserError:
        return
    if not left:
        return
    print(f"ending {len(left)} Slurm jobs of an earlier run in this folder: {' '.join(left)}", file=sys.stderr)
    with suppress(UserError):  # one that ends at this moment is no reason to stop
        ask("scancel", *left)
    end = time.monotonic() + SECONDS_TO_END
    while left := _jobs_in(folder):
        if time.monotonic() > end:
            raise UserError(f"Slurm jobs {' '.join(left)} of an earlier run do not end; see squeue, and start again")
        time.sleep(1)


def _jobs_in(folder: Path) -> list[str]:
    """Return the numbers of the jobs in Slurm that Snakemake's executor started from `folder`."""
    lines = ask("squeue", "--me", "--noheader", "--format=%i|%Z|%k").splitlines()
    rows = [line.split("|", 2) for line in lines]
    own = os.environ.get("SLURM_JOB_ID")
    return [
        number
        for number, started_in, comment in rows
        if started_in == str(folder) and comment.startswith(("rule_", "group_")) and number != own
    ]
