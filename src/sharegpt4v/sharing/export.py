"""A data set as a folder that others load: its files, a card, Croissant metadata, provenance.

The folder is written beside its place and renamed when it is whole. Which rows a file has depends on the settings
alone, so after a kill the same command keeps the files that are there and writes the others.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, sha256_of, sync_folder, write_json
from sharegpt4v.folders import refuse_other_folder
from sharegpt4v.ledger import key_of
from sharegpt4v.locking import WriterLock
from sharegpt4v.provenance import provenance
from sharegpt4v.sharing.card import CardOf, write_card
from sharegpt4v.sharing.columns import LLAVA
from sharegpt4v.sharing.croissant import write_croissant
from sharegpt4v.sharing.images import image_bytes
from sharegpt4v.sharing.sets import DataSet
from sharegpt4v.sharing.shards import WRITERS, Numbered
from sharegpt4v.sharing.splits import TRAIN, Counts, Splits, count_rows

STAGE = "export dataset"
ROWS_PER_FILE, ROWS_PER_FILE_WITH_IMAGES = 100_000, 1_000


@dataclass(frozen=True)
class Settings:
    """How a set is written; `rows_per_file` None takes as many as are good to handle."""

    format: str
    splits: Splits
    images: bool = False
    rows_per_file: int | None = None

    @property
    def rows(self) -> int:
        """The rows of a file."""
        return self.rows_per_file or (ROWS_PER_FILE_WITH_IMAGES if self.images else ROWS_PER_FILE)

    def section(self) -> dict[str, Any]:
        """What the bytes of the folder depend on, beside the set."""
        splits = {"seed": self.splits.seed, "fractions": dict(self.splits.fractions)}
        return {"format": self.format, "images": self.images, "splits": splits, "rows_per_file": self.rows}


def export_data_set(data: DataSet, out: Path, settings: Settings, card: CardOf) -> Counts:
    """Write a set to the folder `out`, which takes the place of an older export; return how many rows it has.

    `card` gives its card. A `UserError` when `out` is something else, the set has no such form, or an image is lost.
    """
    refuse_other_folder(out)
    _check(data, settings)
    about = provenance(STAGE, settings.section(), settings.splits.seed, data.inputs, __name__)
    out.parent.mkdir(parents=True, exist_ok=True)
    with WriterLock(out.with_name(f".{out.name}")):
        work = _work_folder(out, key_of(about))
        counts = count_rows(data.rows(), settings.splits)
        files = _copy(data, work) if settings.format == LLAVA else _write(data, work, settings, counts)
        write_card(work, data, settings.format, settings.images, files, counts, card)
        write_croissant(work, data, settings.format, settings.images, files)
        known = {"set": data.name, "sources": dict(sorted(counts.sources.items())), "rows": dict(counts.splits)}
        write_json(work / "provenance.json", about | settings.section() | known)
        sync_folder(work)
        shutil.rmtree(out, ignore_errors=True)
        work.rename(out)
    return counts


def _check(data: DataSet, settings: Settings) -> None:
    if settings.format != LLAVA:
        return
    if not data.json:
        raise UserError(f"{data.name}: has no LLaVA JSON; expected --format {' or '.join(WRITERS)}")
    if settings.images or settings.splits.fractions:
        raise UserError("--format llava: the file as it is; leave --images and --splits out, or take another format")


def _work_folder(out: Path, key: str) -> Path:
    """Return the folder of unfinished work; what was left there by a kill stays only if it is of the same work."""
    work = out.with_name(f".{out.name}.{key[:12]}.unfinished")
    for left in out.parent.glob(f".{out.name}.*.unfinished"):
        if left != work:
            shutil.rmtree(left, ignore_errors=True)
    work.mkdir(exist_ok=True)
    return work


def _copy(data: DataSet, work: Path) -> dict[str, list[Path]]:
    """Copy the LLaVA JSON under its own name, byte for byte."""
    assert data.json
    out = work / data.json.name
    with open(data.json, "rb") as old, open_atomically(out) as new:
        shutil.copyfileobj(old, new, 1 << 20)
    if sha256_of(out) != sha256_of(data.json):
        raise UserError(f"{data.json}: has changed while it was copied; run the same command again")
    return {TRAIN: [out]}


def _write(data: DataSet, work: Path, settings: Settings, counts: Counts) -> dict[str, list[Path]]:
    """Write the files of each split that are not there yet; return them all."""
    suffix, write = WRITERS[settings.format]
    files: dict[str, list[Path]] = {}
    for split in (TRAIN, *settings.splits.fractions):
        count = -(-counts.splits[split] // settings.rows)
        files[split] = [work / "data" / f"{split}-{n:05d}-of-{count:05d}{suffix}" for n in range(count)]
        numbered = enumerate(settings.splits.rows(data.rows, split))
        for path in files[split]:
            if path.is_file():  # before a kill
                next(islice(numbered, settings.rows, settings.rows), None)
                continue
            write(path, _with_images(islice(numbered, settings.rows), settings.images), data.kind, settings.images)
            print(f"{path.name}: {path.stat().st_size:,} bytes", file=sys.stderr)
    return files


def _with_images(rows: Iterator[tuple[int, dict[str, Any]]], images: bool) -> Iterator[Numbered]:
    for number, row in rows:
        yield number, row, image_bytes(row, layout.DATA) if images else None
