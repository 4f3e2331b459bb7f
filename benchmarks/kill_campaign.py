"""Whole runs of the smoke preset are killed at random moments, and the same command is started again until all is made.

    python benchmarks/kill_campaign.py --kills 200

A kill is SIGKILL, mostly of the whole process group at once, sometimes of Snakemake alone. After each one, no process
of the run may be left within 15 seconds. At the end of each run all files are equal by the byte to those of a run that
was never killed (tests/smoke_files.py names the few that may differ), no ledger holds a key twice, no temporary file is
left, and no log holds a traceback. It prints the counts, and its exit code is 1 when any of this does not hold. The
moments are the same for the same --seed; what they meet depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests"))

from smoke_files import differing, made  # noqa: E402

MARK = "S4V_KILL_CAMPAIGN"  # in the environment of all processes of a run
SECONDS_TO_END = 15.0
SECONDS_TO_FINISH = 3600.0  # for what is left of a run: longer is a hang
ALONE = 0.25  # of the kills: those of Snakemake without its jobs
TEMPORARY = re.compile(r"\..*\.(tmp|unfinished|new)|.*\.part")
COUNTS = (
    "runs", "kills", "kills of Snakemake alone", "slowest end of all processes, s", "files compared",
    "files that differ", "rows of ledgers", "keys there twice", "temporary files left", "tracebacks",
)  # fmt: skip


class Campaign:
    """The runs of a campaign in `folder`, and what was counted and found wrong."""

    def __init__(self, folder: Path, seed: int, longest: float) -> None:
        self.folder, self.random, self.longest = folder, random.Random(seed), longest
        self.counts: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.faults: list[str] = []

    def go(self, kills: int, reference: Path) -> None:
        """Kill `kills` times, in as many runs as that takes, and look at each run when it is done."""
        if not (reference / "results/tracked.txt").exists():
            assert self.start(reference).wait(SECONDS_TO_FINISH) == 0, said(reference)
        while self.counts["kills"] < kills:
            run = self.folder / f"run-{self.counts['runs']:03d}"
            shutil.rmtree(run, ignore_errors=True)
            while not self.done(run, kills):
                pass
            self.look_at(run, reference)
            print(f"{self.counts['runs']} runs, {self.counts['kills']} kills, {len(self.faults)} faults", flush=True)
            if not self.faults:
                shutil.rmtree(run)

    def start(self, run: Path) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own."""
        run.mkdir(parents=True, exist_ok=True)
        command = ["snakemake", "--directory", str(run), "--configfile", "config/smoke.yaml"]
        environment = os.environ | {MARK: str(run), "OMP_NUM_THREADS": "1"}
        with open(run / "said.txt", "ab") as output:
            return subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def done(self, run: Path, kills: int) -> bool:
        """Start the command, and kill it unless it ends before; return whether it ended by itself."""
        killing = self.counts["kills"] < kills
        moment, alone = self.random.uniform(1, self.longest), self.random.random() < ALONE
        snakemake = self.start(run)
        try:
            if snakemake.wait(moment if killing else SECONDS_TO_FINISH):
                self.faults.append(f"{run.name}: snakemake ended with {snakemake.returncode}:\n{said(run)}")
            return True
        except subprocess.TimeoutExpired:
            if not killing:
                self.faults.append(f"{run.name}: not done after {SECONDS_TO_FINISH:.0f} seconds")
        self.met.update(jobs_of(run) or ["no job"])
        os.kill(snakemake.pid, signal.SIGKILL) if alone else os.killpg(snakemake.pid, signal.SIGKILL)
        snakemake.wait()
        self.counts["kills"] += 1
        self.counts["kills of Snakemake alone"] += alone
        self.counts["slowest end of all processes, s"] = max(
            self.counts["slowest end of all processes, s"], round(self.wait_for_end(run))
        )
        return not killing

    def wait_for_end(self, run: Path) -> float:
        """Return the seconds until no process of a run is left."""
        began = time.monotonic()
        while left := list(processes_of(run)):
            if time.monotonic() - began > SECONDS_TO_END:
                self.faults.append(f"{run.name}: left after {SECONDS_TO_END:.0f} seconds: {left}")
                for process, _ in left:
                    with suppress(OSError):
                        os.kill(process, signal.SIGKILL)
                break
            time.sleep(0.05)
        return time.monotonic() - began

    def look_at(self, run: Path, reference: Path) -> None:
        """Compare a finished run with the one that was never killed."""
        self.counts["runs"] += 1
        self.counts["files compared"] += len(made(reference))
        self.counts["files that differ"] += len(different := differing(run, reference))
        self.faults += [f"{run.name}: {name} differs" for name in different]
        for ledger in run.glob(".work/**/*.jsonl"):
            rows = [json.loads(line) for line in ledger.read_text().splitlines()]
            keys = [row["key"] for row in rows if "key" in row]  # records of a training have none
            self.counts["rows of ledgers"] += len(keys)
            if len(set(keys)) < len(keys):
                self.counts["keys there twice"] += len(keys) - len(set(keys))
                self.faults.append(f"{run.name}: {ledger} holds a key twice")
        for path in sorted(run.rglob("*")):
            if TEMPORARY.fullmatch(path.name) and ".snakemake" not in path.parts:
                self.counts["temporary files left"] += 1
                self.faults.append(f"{run.name}: {path.relative_to(run)} is left")
        for log in (run / "said.txt", *run.glob("logs/**/*.log")):
            if "Traceback (most recent call last)" in log.read_text(errors="replace"):
                self.counts["tracebacks"] += 1
                self.faults.append(f"{run.name}: a traceback in {log}")


def processes_of(run: Path) -> Iterator[tuple[int, str]]:
    """Yield number and command of each process of a run that is alive."""
    mark = f"{MARK}={run}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:  # not one that only waits to be counted
                    yield int(process.name), command[:200]


def jobs_of(run: Path) -> set[str]:
    """The verbs of `s4v` that are at work."""
    found = (re.search(r"/s4v stage ([a-z_]+)", command) for _, command in processes_of(run))
    return {match[1] for match in found if match}


def said(run: Path) -> str:
    """The end of what Snakemake said."""
    return (run / "said.txt").read_text(errors="replace")[-4000:]


def main() -> int:
    """Run the campaign; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--longest", type=float, default=40, metavar="SECONDS", help="until a kill, at most")
    parser.add_argument("--folder", type=Path, help="for the runs (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        campaign = Campaign(folder, options.seed, options.longest)
        began = time.monotonic()
        campaign.go(options.kills, folder / "reference")
    print(f"\n| {time.strftime('%Y-%m-%d')} | {(time.monotonic() - began) / 60:.0f} minutes |\n|---|---|")
    for name in COUNTS:
        print(f"| {name} | {campaign.counts[name]:,} |")
    print(f"| jobs that a kill met | {', '.join(f'{verb} {n}' for verb, n in campaign.met.most_common())} |")
    print(f"| faults | {len(campaign.faults)} |")
    print("\n".join(campaign.faults), file=sys.stderr)
    return 1 if campaign.faults else 0


if __name__ == "__main__":
    sys.exit(main())
