"""The files that captions of a user's own images are written to: JSON lines, LLaVA JSON, Parquet, a webdataset."""

from __future__ import annotations

import hashlib
import io
import itertools
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from sharegpt4v.captions.unpacked import suffix_of
from sharegpt4v.corpora.rows import caption_row, write_array
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, write_jsonl

Row = dict[str, Any]
FIELDS = ("image", "caption", "sha256", "prompt_hash", "model", "finish_reason", "verdict", "error")
ACCEPTED = "accepted"
ROWS_AT_ONCE = 5_000


def writer_of(out: Path) -> Callable[[Path, Iterable[Row], Mapping[str, Path], str], int]:
    """Return what writes a file with the suffix of `out`; a `UserError` lists the known suffixes.

    It takes `out`, the rows, the files of their images by name and the instruction, and returns how many rows it wrote.
    """
    if out.suffix not in WRITERS:
        raise UserError(f"{out}: suffix {out.suffix!r} is not known; expected one of {', '.join(WRITERS)}")
    if out.is_dir():
        raise UserError(f"{out}: a folder; expected the name of a file to write")
    return WRITERS[out.suffix]


def _json_lines(out: Path, rows: Iterable[Row], files: Mapping[str, Path], instruction: str) -> int:
    """Write every row as a line."""
    return write_jsonl(out, rows)


def _llava(out: Path, rows: Iterable[Row], files: Mapping[str, Path], instruction: str) -> int:
    """Write what is accepted in LLaVA's form, asked for by the instruction; an id is the image without its suffix."""
    with open_atomically(out) as file:
        return write_array(
            file,
            (
                caption_row(row["image"], row["caption"], instruction)
                | {"id": PurePosixPath(row["image"]).with_suffix("").as_posix()}
                for row in rows
                if row.get("verdict") == ACCEPTED
            ),
        )


def _parquet(out: Path, rows: Iterable[Row], files: Mapping[str, Path], instruction: str) -> int:
    """Write every row; all columns are text, null where a row has none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, count, remaining = pa.schema([pa.field(name, pa.string()) for name in FIELDS]), 0, iter(rows)
    with open_atomically(out) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(itertools.islice(remaining, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _webdataset(out: Path, rows: Iterable[Row], files: Mapping[str, Path], instruction: str) -> int:
    """Write the image as it is and its row as JSON beside it, under a number: a name may have dots, or lead elsewhere.

    An image that is not the captioned one any more is a `UserError`. Without times and owners, equal rows give equal
    bytes.
    """
    count = 0
    with open_atomically(out) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for count, row in enumerate(rows, start=1):
            for suffix, content in _members(row, files):
                member = tarfile.TarInfo(f"{count - 1:09d}{suffix}")
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
    return count


def _members(row: Row, files: Mapping[str, Path]) -> Iterator[tuple[str, bytes]]:
    if "caption" in row:
        path = files[row["image"]]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read any more ({error.strerror}); run the same command again") from None
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise UserError(f"{path}: has changed since it was captioned; run the same command again")
        yield suffix_of(content, row["image"]), content
    yield ".json", orjson.dumps(row)


WRITERS = {".jsonl": _json_lines, ".json": _llava, ".parquet": _parquet, ".tar": _webdataset}
