"""The Snakefile's report of failed jobs: which ones, the last lines of their logs, and the path of the whole log."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.errors import printable

LAST_LINES = 5
LONGEST_LINE = 300
# As Snakemake names the log of a failed job: in the block on the job, and in the command that failed.
FAILED = re.compile(r"log: (\S+\.log)\b[^\n]*check log file|tee -i (\S+\.log)' returned non-zero")


def tell_failures(snakemake_logs: str | Sequence[str]) -> None:
    """Print, for each failed job that Snakemake's own logs name, the end of the job's log and its path."""
    paths = [snakemake_logs] if isinstance(snakemake_logs, str) else snakemake_logs
    for path in failed_logs("".join(_text(Path(path)) for path in paths)):
        lines = [f"    {line}" for line in (*last_lines(Path(path)), f"all of it: {Path(path).absolute()}")]
        for line in (f"failed: {Path(path).with_suffix('').as_posix().removeprefix('logs/')}", *lines):
            print(printable(line), file=sys.stderr)


def failed_logs(text: str) -> list[str]:
    """Return the paths of the logs of failed jobs, in their order, each once."""
    return list(dict.fromkeys(first or second for first, second in FAILED.findall(text)))


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a job's log as a terminal would show them; a line that was rewritten counts once."""
    if not path.exists():
        return ["it left no log: it ended before it began"]
    lines = [line.rstrip().rpartition("\r")[2] for line in _text(path).split("\n")]
    return [line[:LONGEST_LINE] for line in lines if line][-LAST_LINES:]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")
