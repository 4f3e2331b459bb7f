"""Whether the gain of better captions is what they say: the same models, with captions that belong to other images.

    python benchmarks/permuted_captions.py --run runs/seed-0 --out runs/seed-0-permuted

copies a finished run and gives every seed caption to another image of its source. Then it reruns what the gains of
equal substitution depend on: the instruction mixes of the pairs, the fine-tunings on them, their answers and scores. It
prints the gain with true and with permuted captions, each with its standard error over the questions. What remains of
a gain with permuted captions is not owed to what they say of their images. The captioner and pre-training keep what
they had.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.corpora.rows import source_of
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.gains import errors_file
from sharegpt4v.files import read_json, write_json
from sharegpt4v.project import PROJECT
from sharegpt4v.report.tables import read_csv
from sharegpt4v.terminal import plain_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy the run unless that is done, permute, rerun, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument("--out", type=Path, required=True, help="folder of the copy; one that is there is resumed")
    parser.add_argument("--seed", type=int, default=0, help="of the permutation")
    parser.add_argument("--cores", default="all", help="as for snakemake")
    options = parser.parse_args(arguments)
    try:
        if not options.out.exists():
            copy_permuted(options.run, options.out, options.seed)
        subprocess.run(rerun_command(options.out, options.cores), cwd=PROJECT, check=True)
        print(compared(options.run / layout.SUBSTITUTION, options.out / layout.SUBSTITUTION))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def copy_permuted(run: Path, out: Path, seed: int) -> None:
    """Copy a finished run to `out`, with its seed captions permuted; `UserError` where `run` has none."""
    captions = run / layout.SEED_CAPTIONS
    if not captions.is_file() or not (run / layout.SUBSTITUTION).is_file():
        raise UserError(f"{run}: no {layout.SEED_CAPTIONS} or {layout.SUBSTITUTION}; expected a finished run of a pair")
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(run, unfinished, symlinks=True)
    write_json(unfinished / layout.SEED_CAPTIONS, permuted(read_json(captions), seed))
    unfinished.rename(out)


def rerun_command(folder: Path, cores: str = "1") -> list[str]:
    """Return the command that brings the table of gains up to date, with the config of the run in `folder`."""
    config = str((folder / layout.RUN_CONFIG).resolve())
    return ["snakemake", str(layout.SUBSTITUTION), "--directory", str(folder), "--cores", cores, "--configfile", config]


def permuted(rows: Sequence[Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return rows of captions in which each image has the conversation of another image of its source.

    The images of a source pass theirs on in a circle, in an order drawn from the seed; one alone in its source keeps
    its own.
    """
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(source_of(row["image"]), []).append(place)
    drawn, new = random.Random(seed), [dict(row) for row in rows]
    for of_source in places.values():
        circle = drawn.sample(of_source, len(of_source))
        for place, giver in zip(circle, circle[1:] + circle[:1], strict=True):
            new[place]["conversations"] = rows[giver]["conversations"]
    return new


def compared(true: Path, permuted: Path) -> str:
    """Return a table of the gains in two tables of substitution, each with its standard error."""
    lines = [("pair", "column", "gain, true captions", "gain, permuted captions")]
    others = _gains(permuted)
    lines += [(*key, gain, others.get(key, "")) for key, gain in _gains(true).items()]
    return plain_table(lines, right=(2, 3))


def _gains(table: Path) -> dict[tuple[str, str], str]:
    errors = {(row["model"], row["benchmark"]): row["gain_stderr"] for row in read_csv(errors_file(table))}
    return {
        key: f"{float(row['gain']):+.1f}" + (f" ± {errors[key]}" if errors.get(key) else "")
        for row in read_csv(table)
        for key in [(row["model"], row["benchmark"])]
    }


if __name__ == "__main__":
    sys.exit(main())
