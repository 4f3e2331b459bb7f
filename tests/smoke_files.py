"""The files of a finished run: what every run of the same preset has to agree on, and what is the same on any machine.

After a change of what the smoke preset draws, asks or mixes, this writes the list of the latter anew:

    snakemake results/table.csv --directory runs/smoke --configfile config/smoke.yaml
    python tests/smoke_files.py runs/smoke
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
from PIL import Image

from sharegpt4v.files import sha256_of
from sharegpt4v.images.manifest import read_manifest

MADE = ("data", "checkpoints", "results")
MAY_DIFFER = {
    "data/manifests/*.csv": "the reason of a dead link names the port of the server",
    "results/report.html": "it shows how long each job took",
    "checkpoints/*/README.md": "a copy of a card in results/cards, which no training makes",
    "checkpoints/*/*/README.md": "likewise",
    "results/mlflow_runs.json": "MLflow draws the ids of its runs at random",
}
NOT_RUN = {"published_model", "ablation_captioner", "ablation_corpus", "ablation_mix", "ablations"}
"""Stages that the smoke preset has no jobs of: it takes no published model, and has no ablations."""
GOLDEN = Path(__file__).parent / "golden" / "smoke_hashes.txt"
HEAD = """\
# What the smoke preset makes without any training, by hash: with the packages of envs/core.lock, the same anywhere.
# A manifest counts by its rows, which have the SHA-256 of every file that was fetched. A PNG counts by its pixels, for
# Pillow compresses it by the zlib of the system, which no lock pins. A JPEG counts by its bytes: six releases of Pillow
# from 10.4 to 13.0 gave the same on one x86-64 machine; other kinds of processor were not tried.
# Written by tests/smoke_files.py.
"""
ANYWHERE = (
    "data/manifests/*.parquet", "data/mini/scenes.jsonl", "data/sharegpt4v/*", "checkpoints/base/tokenizer/tokenizer*",
)  # fmt: skip
CAPTIONED = "share-captioner_"  # a trained model wrote these


def made(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file that a run has made, by path, without those that `MAY_DIFFER`.

    What a kill leaves unfinished is hidden, and is not counted.
    """
    files = (file.relative_to(folder) for name in MADE for file in (folder / name).rglob("*") if file.is_file())
    counted = (
        file
        for file in files
        if not any(part.startswith(".") for part in file.parts) and not any(map(file.match, MAY_DIFFER))
    )
    return {file.as_posix(): sha256_of(folder / file) for file in sorted(counted)}


def differing(one: Path, other: Path) -> list[str]:
    """The files that are not the same in two runs, or are in one of them only."""
    first, second = made(one), made(other)
    return sorted(name for name in first | second if first.get(name) != second.get(name))


def anywhere(folder: Path) -> Iterator[str]:
    """Yield hash and path of every file that goes through no training."""
    for file in sorted(file for pattern in ANYWHERE for file in folder.glob(pattern)):
        if not file.name.startswith(CAPTIONED):
            digest = _of_rows(file, folder) if file.suffix == ".parquet" else sha256_of(file)
            yield f"{digest}  {file.relative_to(folder).as_posix()}"


def _of_rows(manifest: Path, folder: Path) -> str:
    digest = hashlib.sha256()
    for row in read_manifest(manifest):
        if row["path"].endswith(".png"):
            with Image.open(folder / "data" / row["path"]) as image:
                row["sha256"], row["bytes"] = hashlib.sha256(image.tobytes()).hexdigest(), 0
        digest.update(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return digest.hexdigest()


if __name__ == "__main__":
    GOLDEN.write_text(HEAD + "".join(f"{line}\n" for line in anywhere(Path(sys.argv[1]))))
