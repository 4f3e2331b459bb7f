"""What Slurm says of the jobs of a run: how many run and wait, and for what. Where there is no Slurm, nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.pipeline.slurm import ask

SECONDS = 5.0  # for squeue to answer
FORMAT = "%Z|%k|%T|%r"  # folder, comment, state, reason


def queue_line(root: Path, used: bool) -> str:
    """Return one line on the jobs that Snakemake's executor has in the queue for the run in `root`; empty without.

    That Slurm does not answer is said where the run has `used` it.
    """
    if not shutil.which("squeue"):
        return ""
    try:
        lines = ask("squeue", "--me", "--noheader", f"--format={FORMAT}", seconds=SECONDS).splitlines()
    except UserError as error:
        return f"Slurm: {error}" if used else ""
    rows = [line.split("|") for line in lines]
    ours = [
        row
        for row in rows
        if len(row) == 4 and row[0] == str(root.resolve()) and row[1].startswith(("rule_", "group_"))
    ]
    counts = Counter(
        f"{state.lower()} ({reason})" if state == "PENDING" and reason != "None" else state.lower()
        for _, _, state, reason in ours
    )
    return f"Slurm: {', '.join(f'{count:,} {what}' for what, count in counts.items())}" if counts else ""
