"""How long Snakemake takes to plan a run of many jobs, and how much memory.

    python benchmarks/dry_run.py --jobs 500

plans the mini preset with its captions cut into so many shards that there are at least that many jobs, in an empty
folder, and prints the jobs, the seconds and the largest resident memory.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.config import load

PROJECT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500, help="at least this many")
    options = parser.parse_args()

    config = load(layout.DEFAULT_CONFIG)
    assert config.mini is not None
    images = sum(config.mini.images[name] for name in config.captions.sources)
    shard_rows = max(1, images // options.jobs)
    snakemake = str(Path(sys.executable).parent / "snakemake")
    with tempfile.TemporaryDirectory() as folder:
        command = [snakemake, "--dry-run", "--directory", folder, "--config", f"captions={{shard_rows: {shard_rows}}}"]
        start = time.monotonic()
        ended = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
        seconds = time.monotonic() - start
    jobs = re.search(r"^total +(\d+)", ended.stdout + ended.stderr, re.MULTILINE)
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{jobs[1] if jobs else '?'} jobs planned in {seconds:.1f} s, at most {largest:.0f} MiB")


if __name__ == "__main__":
    main()
