"""The files of a data set: Parquet, or tars as webdataset reads them. Equal rows give equal bytes, as a stream.

A row is (number, row, content of its image); the number counts the rows of a split.
"""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import orjson

from sharegpt4v.files import open_atomically
from sharegpt4v.sharing.columns import IMAGE, PARQUET, WEBDATASET, Kind, Row, features_of

Numbered = tuple[int, Row, bytes | None]
Writer = Callable[[Path, Iterable[Numbered], Kind, bool], None]

ROWS_PER_GROUP = 1_000
ROWS_WITH_IMAGES = 50
"""Rows that are in memory at a time; an image of SA-1B has up to 3 MB."""


def write_parquet(path: Path, rows: Iterable[Numbered], kind: Kind, images: bool) -> None:
    """Write a Parquet file with the columns of a kind of set; an image is its bytes and its path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = features_of(kind, images).arrow_schema
    at_once, remaining = ROWS_WITH_IMAGES if images else ROWS_PER_GROUP, iter(rows)
    with (
        open_atomically(path) as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_content_defined_chunking=True) as writer,
    ):
        while group := list(itertools.islice(remaining, at_once)):
            cells = [row | _image_cell(row, content, images) for _, row, content in group]
            writer.write_table(pa.Table.from_pylist(cells, schema=schema))


def _image_cell(row: Row, content: bytes | None, images: bool) -> Row:
    if not images:
        return {}
    return {IMAGE: None if content is None else {"bytes": content, "path": row["image_path"]}}


def write_webdataset(path: Path, rows: Iterable[Numbered], kind: Kind, images: bool) -> None:
    """Write a tar without times and owners: of each row NUMBER.jpg, if it has an image, and NUMBER.json.

    The name of an image ends in .jpg whatever its format, as readers take the names of columns from the endings, and
    the format from the content.
    """
    with open_atomically(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, row, content in rows:
            for ending, data in _members(row, content):
                member = tarfile.TarInfo(f"{number:09d}{ending}")
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))


def _members(row: Row, content: bytes | None) -> Iterator[tuple[str, bytes]]:
    if content is not None:
        yield ".jpg", content
    yield ".json", orjson.dumps(row)


WRITERS: dict[str, tuple[str, Writer]] = {
    PARQUET: (".parquet", write_parquet),
    WEBDATASET: (".tar", write_webdataset),
}
"""The suffix and the writer of each format."""
