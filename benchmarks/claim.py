"""Whether better captions help in the synthetic world: gains over several seeds, with their standard errors.

    python benchmarks/claim.py --seeds 10-19

runs config/claim.yaml once per seed, one after the other, each in its own folder `runs/seed-N`, and writes the page
docs/miniature.md with its figure: for both equal substitutions and for caption pre-training the mean gain on each
column, two standard errors of it over the seeds, and the gain at each seed (paper, sections 5.3 and 5.4). Snakemake
reruns what is missing, or no longer fits config and code; a finished seed takes seconds. A seed that fails is counted,
and the others are shown. A seed takes about as long as `make table`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from claim_figure import claim_figure
from claim_page import Measured, claim_page
from claim_runs import Run, pairs_of, read_run

from sharegpt4v.config import load
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_text
from sharegpt4v.layout import TABLE
from sharegpt4v.miniature import notice_of
from sharegpt4v.project import PROJECT

CONFIG = PROJECT / "config/claim.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds, write the page and the figure; return 1 when a seed is not finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=seeds_of, default=seeds_of("0-4"), help="numbers and ranges: 10-19, or 0-4,7")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the preset that is run (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs/miniature.md", help="the page; .svg is beside it")
    parser.add_argument("--cores", default="all", help="as for snakemake")
    parser.add_argument("--as-it-is", action="store_true", help="run nothing, show the seeds that are finished")
    options = parser.parse_args(arguments)
    try:
        return _measure(options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def seeds_of(text: str) -> list[int]:
    """Return the seeds of a list such as `0-4,7`, each once, in its order."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise argparse.ArgumentTypeError(f"{text!r}: {part!r}; expected numbers and ranges such as 10-19 or 0-4,7")
        found += range(int(first), int(last if dash else first) + 1)
    return list(dict.fromkeys(found))


def _measure(options: argparse.Namespace) -> int:
    config, runs, unfinished = load(options.config), list[Run](), list[int]()
    for seed in options.seeds:
        folder = options.runs / f"seed-{seed}"
        finished = (folder / TABLE).exists() if options.as_it_is else run(folder, options.config, seed, options.cores)
        if finished:
            runs.append(read_run(folder, config, seed))
        else:
            unfinished.append(seed)
            print(f"{folder}: seed {seed} is not finished", file=sys.stderr)
    if not runs:
        raise UserError(f"{options.runs}: none of the seeds {options.seeds} is finished; nothing to show")
    figure = options.out.with_suffix(".svg")
    measured = Measured(runs, unfinished, options.config, checked=not options.as_it_is)
    write_text(options.out, claim_page(config, measured, figure.name))
    claim_figure(pairs_of(config), runs, figure, notice_of(config))
    print(f"{options.out}: {len(runs)} of {len(options.seeds)} seeds")
    return 1 if unfinished else 0


def run(folder: Path, config: Path, seed: int, cores: str) -> bool:
    """Run the preset at a seed, as far as it is not done; return whether all of it is."""
    command = ["snakemake", "all", "--directory", str(folder), "--cores", cores, "--configfile", str(config.resolve())]
    return subprocess.run([*command, "--config", f"seed={seed}"], cwd=PROJECT).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
