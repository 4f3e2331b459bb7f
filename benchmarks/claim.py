"""Whether better captions help in the synthetic world: gains over several seeds, with their standard errors.

    python benchmarks/claim.py --seeds 5

runs config/claim.yaml once per seed, each in its own folder `runs/seed-N` (a run that is there is not made again), and
prints Markdown: for both equal substitutions, and for caption pre-training, the gain on each column at each seed, the
mean, two standard errors of it, and whether the mean is larger (paper, sections 5.3 and 5.4). A seed takes about as
long as `make table`.
"""

from __future__ import annotations

import argparse
import csv
import math
import subprocess
from pathlib import Path

from sharegpt4v.evaluation.base import mean, sample_error

PAIRS = (
    ("llava-7b", "llava-7b+sharegpt4v"),
    ("llava-1.5-13b", "llava-1.5-13b+sharegpt4v"),
    ("sharegpt4v-7b-unpretrained", "sharegpt4v-7b"),
)
Table = dict[str, dict[str, str]]


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 0")
    parser.add_argument("--cores", default="all", help="as for snakemake")
    options = parser.parse_args()
    tables = [run(seed, options.cores) for seed in range(options.seeds)]
    for before, after in PAIRS:
        print(f"\n`{before}` → `{after}`\n")
        print(comparison(tables, before, after))


def run(seed: int, cores: str) -> Table:
    """Make the table of one seed, and read it: by model and column."""
    folder = Path(f"runs/seed-{seed}")
    command = f"snakemake results/table.csv all --directory {folder} --cores {cores} --configfile config/claim.yaml"
    subprocess.run([*command.split(), "--config", f"seed={seed}"], check=True)
    with (folder / "results/table.csv").open(encoding="utf-8") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def comparison(tables: list[Table], before: str, after: str) -> str:
    """A Markdown table of the gains, a line for each column that has scores."""
    columns = [column for column, score in tables[0][before].items() if column != "model" and score]
    seeds = range(len(tables))
    lines = [
        "| Column | " + " | ".join(f"Seed {seed}" for seed in seeds) + " | Mean gain | 2 standard errors | Larger |",
        "|---|" + "---|" * (len(tables) + 3),
    ]
    for column in columns:
        scores = [(float(table[before][column]), float(table[after][column])) for table in tables]
        gains = [later - earlier for earlier, later in scores]
        spread = sample_error(gains)
        gain, error = mean(gains), math.nan if spread is None else 2 * spread
        cells = [f"{earlier:.1f} → {later:.1f}" for earlier, later in scores]
        larger = "yes" if gain > error else "no"
        lines.append(f"| {column} | {' | '.join(cells)} | {gain:+.1f} | {error:.1f} | {larger} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
