"""Ablations over several seeds: the mean of each score, with two standard errors over seeds (paper figure 6).

    python benchmarks/ablation_seeds.py --seeds 0-4

runs `snakemake ablations` once per seed, each in its own folder `runs/ablations/seed-N` (what a folder has is not
rerun), and writes the mean scores of the studies `number` and `size` to `runs/ablations/ablations.csv` and `.svg`.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.config import Config, load
from sharegpt4v.evaluation.ablation_table import FIELDS
from sharegpt4v.evaluation.base import mean, sample_error
from sharegpt4v.files import write_csv
from sharegpt4v.miniature import notice_of
from sharegpt4v.report.ablations_figure import ablations_figure

FOLDER = Path("runs/ablations")
ERRORS = "Points are means over {count} seeds ({seeds}). Lines reach two standard errors over seeds to each side."
Row = dict[str, str]


def main() -> None:
    """Run what is missing, then average and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=seeds_of, default=range(5), metavar="FIRST-LAST", help="default: 0-4")
    parser.add_argument("--config", type=Path, default=Path("config/ablations.yaml"))
    parser.add_argument("--studies", nargs="+", default=["number", "size"], help="default: number size")
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    parser.add_argument("--cores", default="all", help="as for snakemake")
    options = parser.parse_args()
    config = load(options.config)
    if unknown := set(options.studies) - set(config.ablations.studies):
        parser.error(
            f"{options.config} has no study {', '.join(unknown)}; it has {', '.join(config.ablations.studies)}"
        )
    tables = [run(options.config, options.out / f"seed-{seed}", seed, options.cores) for seed in options.seeds]
    draw(config, averaged(tables, options.studies), options.out, list(options.seeds))


def seeds_of(text: str) -> Sequence[int]:
    """Return the seeds of a text such as `0-4` or `3`."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def run(preset: Path, folder: Path, seed: int, cores: str) -> list[Row]:
    """Make the ablations of one seed in a folder, and read their table."""
    command = ["snakemake", "ablations", "--directory", str(folder), "--cores", cores, "--configfile", str(preset)]
    subprocess.run([*command, "--config", f"seed={seed}"], check=True)
    with (folder / layout.ABLATION_TABLE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def averaged(tables: Sequence[Sequence[Row]], studies: Iterable[str]) -> list[Row]:
    """Return the rows of `studies` with the mean scores over the tables, and the standard error of these means.

    Numbers of captions are means too: the gate does not reject equally many at each seed.
    """
    kept = set(studies)
    keys = [key_of(row) for row in tables[0] if row["ablation"] in kept]
    by_key = [{key_of(row): row for row in table} for table in tables]
    rows = []
    for key in keys:
        found = [table[key] for table in by_key]
        scores = [float(row["score"]) for row in found]
        error = sample_error(scores)
        captions = [float(row["captions"]) for row in found if row["captions"]]
        about = {
            "score": f"{mean(scores):.1f}",
            "stderr": "" if error is None else f"{error:.2f}",
            "captions": f"{mean(captions):.0f}" if captions else "",
        }
        rows.append(found[0] | about)
    return rows


def key_of(row: Row) -> tuple[str, ...]:
    """Return what tells a row of a table from the others."""
    return row["ablation"], row["variant"], row["column"]


def draw(config: Config, rows: Sequence[Row], out: Path, seeds: Sequence[int]) -> None:
    """Write the means as a table and as a figure."""
    table = out / layout.ABLATION_TABLE.name
    write_csv(table, [FIELDS, *([row[field] for field in FIELDS] for row in rows)])
    errors = ERRORS.format(count=len(seeds), seeds=", ".join(map(str, seeds)))
    figures = [table.with_suffix(suffix) for suffix in (".svg", ".png")]
    ablations_figure(config.ablations.studies, table, None, figures, notice_of(config), errors)
    print(table, *figures, sep="\n")


if __name__ == "__main__":
    main()
