"""An index of captions, built once for files as they are: texts with a full-text search, and what is filtered by.

It is one SQLite file with a copy of the captions, so that a page of a file of any size is read at once. What rows are
filtered by is an array, a few bytes a row, that is read whole: any combination of filters is one pass over it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from sharegpt4v.code_hash import code_of
from sharegpt4v.corpora.caption_files import Row, files_of, read_rows
from sharegpt4v.corpora.verdicts import verdict_key
from sharegpt4v.errors import UserError
from sharegpt4v.ledger import key_of, key_of_files
from sharegpt4v.locking import WriterLock
from sharegpt4v.progress import Progress

FACETS = np.dtype([("source", "<u4"), ("reason", "<u4"), ("length", "<u4"), ("key", "<u8")])
"""Of a row: numbers of its source and of the gate's verdict, characters of the caption, key of a person's verdict."""
TABLES = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA page_size = 8192;
CREATE TABLE rows (id INTEGER PRIMARY KEY, image TEXT, source TEXT, caption TEXT, reason TEXT, about TEXT);
CREATE VIRTUAL TABLE words USING fts5(caption, content='rows', content_rowid='id', columnsize=0);
CREATE TABLE whole (facets BLOB, sources TEXT, reasons TEXT);
"""
BATCH = 5_000
MEGABYTE = 2**20


@dataclass(frozen=True)
class Index:
    """An index that is open. Rows have numbers from 0, in the order of the files."""

    database: sqlite3.Connection
    facets: NDArray[np.void]
    sources: list[str]
    reasons: list[str]

    def __len__(self) -> int:
        return len(self.facets)

    def row(self, number: int) -> Row | None:
        """Return a row; None where there is no such number."""
        return next(self.rows([number]), None) if 0 <= number < len(self) else None

    def rows(self, numbers: Sequence[int]) -> Iterator[Row]:
        """Yield rows in the order of their numbers."""
        found = self.database.execute(
            "SELECT image, source, caption, reason, about FROM rows"
            " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (orjson.dumps(list(numbers)).decode(),),
        )
        for image, source, caption, reason, about in found:
            yield Row(image, source, caption, reason, orjson.loads(about))


def open_index(paths: Sequence[Path], folder: Path) -> Index:
    """Open the index of the captions in `paths`, files or folders; build it below `folder` where there is none.

    A file that has changed since, by its size or date, gets a new one, which takes the place of the old. A build that
    was killed leaves no index. `UserError` for files that hold no captions, and while another process builds.
    """
    files = files_of(paths)
    names = key_of([file.resolve().as_posix() for file in files])
    path = folder / f"{names}-{key_of(key_of_files(files), code_of('report.review.index'))}.sqlite"
    if not path.exists():
        with WriterLock(folder / names):
            if not path.exists():
                for old in folder.glob(f"*{names}-*"):  # also what a kill left
                    old.unlink()
                _build(files, path)
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        facets, sources, reasons = database.execute("SELECT facets, sources, reasons FROM whole").fetchone()
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it, and the same command builds it anew") from None
    return Index(database, np.frombuffer(facets, FACETS), orjson.loads(sources), orjson.loads(reasons))


def _build(files: Sequence[Path], path: Path) -> None:
    """Write the index under a temporary name, and rename it when it is on disk."""
    unfinished = path.with_name(f".{path.name}")
    try:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as database:
            database.executescript(TABLES)
            database.execute("BEGIN")
            _fill(database, files)
            database.execute("COMMIT")
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except sqlite3.OperationalError as error:
        raise UserError(
            f"{path}: cannot be written ({error}); make room there, then run the same command again"
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)


def _fill(database: sqlite3.Connection, files: Sequence[Path]) -> None:
    sources, reasons = _Numbers(), _Numbers()
    facets, count = list[NDArray[np.void]](), 0
    rows = _progressing(files)
    for batch in iter(lambda: list(islice(rows, BATCH)), []):
        lines = [
            (number, row.image, row.source, row.caption, row.reason, orjson.dumps(row.about).decode())
            for number, row in enumerate(batch, start=count)
        ]
        database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", lines)
        database.execute("INSERT INTO words (rowid, caption) SELECT id, caption FROM rows WHERE id >= ?", (count,))
        about = [(sources[r.source], reasons[r.reason], len(r.caption), _number_of(r)) for r in batch]
        facets.append(np.array(about, FACETS))
        count += len(batch)
    if not count:
        raise UserError(f"{files[0]}: no captions in it")
    database.execute("INSERT INTO words (words) VALUES ('optimize')")
    whole = (np.concatenate(facets).tobytes(), orjson.dumps(list(sources)), orjson.dumps(list(reasons)))
    database.execute("INSERT INTO whole VALUES (?, ?, ?)", whole)


def _progressing(files: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of all files, and print how far that is."""
    total = sum(file.stat().st_size for file in files)
    progress = Progress("index for review", total // MEGABYTE, "MB")
    before = 0
    for file in files:
        for position, row in read_rows(file):
            if (done := (before + position) // MEGABYTE) > progress.done:
                progress.advance(done - progress.done)
            yield row
        before += file.stat().st_size


def _number_of(row: Row) -> int:
    return number_of_key(verdict_key(row.image, row.caption))


def number_of_key(key: str) -> int:
    """Return the key of a verdict as the array has it."""
    return int(key[:16], 16)


class _Numbers(dict[str, int]):
    """Numbers of names, from 0 in the order in which they are asked for."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


def counted(index: Index, field: str, names: Sequence[str]) -> dict[str, int]:
    """Return how many rows have each of the names of a field, "source" or "reason"; the most frequent first."""
    counts: Any = np.bincount(index.facets[field], minlength=len(names))
    return dict(sorted(zip(names, counts.tolist(), strict=True), key=lambda one: (-one[1], one[0])))
