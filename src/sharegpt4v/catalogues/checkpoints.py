"""The table `config/checkpoints.tsv`: checkpoints that others have published, which `s4v import` knows by their ids."""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_text
from sharegpt4v.project import PROJECT

CATALOGUE = PROJECT / "config" / "checkpoints.tsv"
FIELDS = ["id", "revision", "files", "bytes", "licence", "about"]
ABOUT = "~"  # before a number of bytes that was published rounded
REVISION = re.compile(r"[0-9a-f]{7,40}")  # a commit of git, or the beginning of one
WHOLE = 40  # digits of a commit


@dataclass(frozen=True)
class Checkpoint:
    """One row: an `id` of Hugging Face and a commit there.

    `revision` is a commit, the first digits of one, or empty where none is known. `files` are patterns of the names of
    its weights; `bytes` is their size together, about that where it was published rounded (not `is_exact`), None where
    none is known.
    """

    id: str
    revision: str
    files: tuple[str, ...]
    bytes: int | None
    is_exact: bool
    licence: str
    about: str


@functools.cache
def read_checkpoints(path: Path = CATALOGUE) -> dict[str, Checkpoint]:
    """Return the checkpoints by id, in the order of the file. A row that does not fit is a `UserError`."""
    text = read_text(path, "the table of published checkpoints")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    reader = csv.DictReader(lines, delimiter="\t")
    if reader.fieldnames != FIELDS:
        raise UserError(f"{path}: columns {reader.fieldnames}; expected {', '.join(FIELDS)}")
    checkpoints: dict[str, Checkpoint] = {}
    for row in reader:
        where = f"{path}, {row['id']!r}"
        if None in row or None in row.values() or row["id"] in checkpoints:
            raise UserError(f"{where}: expected {len(FIELDS)} fields, and each id once")
        size = row["bytes"].removeprefix(ABOUT)
        if (size and not size.isdecimal()) or (row["revision"] and not REVISION.fullmatch(row["revision"])):
            raise UserError(f"{where}: expected a whole number of bytes, ~ before a rounded one, and a commit or none")
        checkpoints[row["id"]] = Checkpoint(
            id=row["id"],
            revision=row["revision"],
            files=tuple(row["files"].split()),
            bytes=int(size) if size else None,
            is_exact=not row["bytes"].startswith(ABOUT),
            licence=row["licence"],
            about=row["about"],
        )
    return checkpoints
