"""The captions in a file, whatever its format: shards, corpora, rejected ones, what `s4v caption` wrote.

A row is checked as it is read: a file of something else is a `UserError` that names the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from sharegpt4v.corpora.rows import caption_of, source_of
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_to_read
from sharegpt4v.llava_format.reading import read_located

SUFFIXES = (".jsonl", ".json", ".parquet")
IN_FOLDERS = (".jsonl", ".parquet")  # .json of a folder of shards is their provenance
ACCEPTED, ERROR, UNKNOWN = "accepted", "error", "not in this file"
"""Verdicts of the gate beside its reasons: it lets pass, there is no caption, the file does not say."""
ABOUT = ("question", "model", "prompt_hash", "finish_reason", "sha256")
EXPECTED = "expected a caption: an object with 'image' and 'caption', 'text' or 'error'"
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """A caption. `reason` is the gate's verdict: `ACCEPTED`, `ERROR`, `UNKNOWN` or why it is rejected.

    `caption` is the error where there is none; `about` is what else the file says of it.
    """

    image: str
    source: str
    caption: str
    reason: str
    about: dict[str, str] = field(default_factory=dict)


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files that `paths` name: themselves, and what is directly in a folder; none is a `UserError`."""
    found = list[Path]()
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix in IN_FOLDERS and not one.name.startswith("."))
            if not inside:
                raise UserError(f"{path}: no captions in it; expected files of {' or '.join(IN_FOLDERS)}")
            found += inside
        elif path.suffix not in SUFFIXES:
            raise UserError(f"{path}: suffix {path.suffix!r} is not known; expected one of {', '.join(SUFFIXES)}")
        elif not path.is_file():
            raise UserError(f"{path}: no such file; expected captions there")
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the captions of a file in order, each with how many bytes of the file were read before it."""
    yield from {".jsonl": _json_lines, ".json": _array, ".parquet": _parquet}[path.suffix](path)


def _json_lines(path: Path) -> Iterator[tuple[int, Row]]:
    position = 0
    with open_to_read(path, "captions") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}, line {number}"
            try:
                yield position, _row(orjson.loads(line), place)
            except orjson.JSONDecodeError as error:
                raise UserError(f"{place}: not JSON ({error.msg}); {EXPECTED}") from None
            position += len(line)


def _array(path: Path) -> Iterator[tuple[int, Row]]:
    for number, (position, _, row) in enumerate(read_located(path), start=1):
        image, caption = caption_of(row, f"{path}, row {number}")
        question = row["conversations"][0]["value"].replace("<image>", "").strip()
        yield position, Row(image, _source(image), caption, UNKNOWN, {"question": question})


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size, number = path.stat().st_size, 0
    try:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(BATCH):
            for row in batch.to_pylist():
                number += 1
                yield size * (number - 1) // file.metadata.num_rows, _row(row, f"{path}, row {number}")
    except pa.ArrowException as error:
        raise UserError(f"{path}: no Parquet file ({error}); expected one as `s4v caption` writes it") from None


def _row(row: Any, place: str) -> Row:
    """Return a row of a shard, of `s4v caption` or of what the gate has rejected, which differ by their fields."""
    if not isinstance(row, dict):
        raise UserError(f"{place}: no object; {EXPECTED}")
    image, error = _text(row, "image", place), row.get("error")
    caption = row.get("caption", row.get("text"))
    if not isinstance(caption, str) and not (caption is None and isinstance(error, str)):
        raise UserError(f"{place}: has no caption; {EXPECTED}")
    source = row.get("source") or _source(image)
    about = {name: str(row[name]) for name in ABOUT if row.get(name)}
    if caption is None:
        return Row(image, str(source), str(error), ERROR, about)
    return Row(image, str(source), caption, _reason(row), about)


def _reason(row: Mapping[str, Any]) -> str:
    said = row.get("reason") or row.get("verdict") or row.get("status")
    return str(said) if said else UNKNOWN


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise UserError(f"{place}, field '{name}': no text; {EXPECTED}")
    return value


def _source(image: str) -> str:
    """The first folder; images directly in a folder of the user's own have none."""
    return source_of(image) if "/" in image else ""
