"""The manifest of a source: one row per expected image, in ``data/manifests/NAME.parquet``.

The manifest, and not the images, is under version control; so equal files give equal bytes: sorted, one
schema, one compression, no dates. It holds what was found. Why a file is missing or broken may name an address or a
port, which differ where the same is found again; that is in the list of findings (see `findings`).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 5_000


class ManifestRow(TypedDict):
    """One expected image.

    `path` is relative to ``data/``, with forward slashes. `archive` is the file that it was unpacked from, empty where
    there was none. `width` and `height` are pixels, as stored; `mode` and `format` are Pillow's. `status` is "ok",
    "missing" or "broken"; `note` says what is unusual about an image that is "ok". Files that are not images have no
    width, height, mode and format.
    """

    path: str
    source: str
    archive: str
    sha256: str
    bytes: int
    width: int
    height: int
    mode: str
    format: str
    status: str
    note: str
    licence: str


class CheckedRow(ManifestRow):
    """A row with the `reason` why it is not "ok", empty when it is; the manifest does not keep that."""

    reason: str


def write_manifest(path: Path, rows: Iterable[ManifestRow]) -> Counter[str]:
    """Write the rows, which come in the order of their paths, as a stream; return the number of rows by status."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts: Counter[str] = Counter()
    remaining = iter(rows)
    with (
        open_atomically(path) as file,
        pq.ParquetWriter(file, _schema(), compression="zstd", compression_level=9) as writer,
    ):
        while group := list(itertools.islice(remaining, ROWS_PER_GROUP)):
            counts.update(row["status"] for row in group)
            writer.write_table(pa.Table.from_pylist(group, schema=_schema()))
    return counts


def read_manifest(path: Path, columns: Sequence[str] | None = None) -> Iterator[ManifestRow]:
    """Yield the rows of a manifest in the order of their paths; a missing or foreign file is a `UserError`.

    With `columns`, which is several times quicker, the rows have no other fields.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow != _schema():
                raise UserError(f"{path}: not a manifest of images; delete it and fetch the source again")
            for batch in file.iter_batches(ROWS_PER_GROUP, columns=columns):
                yield from batch.to_pylist()
    except FileNotFoundError:
        raise UserError(f"{path}: no such manifest; fetch the source first") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a manifest of images ({error}); delete it and fetch the source again") from None


def read_hashes(path: Path) -> Iterator[str]:
    """Yield the SHA-256 of every usable image of a manifest."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP, columns=["sha256", "status"]):
            hashes = zip(*(batch.column(name).to_pylist() for name in ("sha256", "status")), strict=True)
            yield from (sha256 for sha256, status in hashes if status == "ok")


def _schema() -> pa.Schema:
    import pyarrow as pa

    types: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64()}
    columns = {"bytes": int, "width": int, "height": int}
    return pa.schema([pa.field(name, types[columns.get(name, str)]) for name in ManifestRow.__annotations__])
