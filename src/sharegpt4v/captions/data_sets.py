"""A Hugging Face data set on disk, read by pyarrow: Arrow files as `save_to_disk` writes them, or Parquet files.

Its column `image` holds an encoded image per row, as bytes or as a struct of bytes and path. A path alone is never
opened: a data set of others could name any file of this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.image_paths import plain_name

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN = "image"
ROWS_AT_ONCE = 16


def arrow_files(folder: Path) -> dict[str, list[Path]] | None:
    """Return the Arrow files of each split by its name, "" where there are no splits; None when it is no data set.

    A `UserError` when what describes the data set does not name files of it.
    """
    if (splits := folder / "dataset_dict.json").is_file():
        names = _named(splits, read_json(splits), "splits")
        return {name: _files(folder / name) for name in names}
    return {"": _files(folder)} if (folder / "state.json").is_file() else None


def _files(folder: Path) -> list[Path]:
    # Not all Arrow files beside it: `datasets` puts caches there.
    state = folder / "state.json"
    files = [folder / name for name in _named(state, read_json(state), "_data_files")]
    if lost := [file for file in files if not file.is_file()]:
        raise UserError(f"{lost[0]}: no such file, but {state} names it; copy the whole data set")
    return files


def _named(path: Path, value: Any, key: str) -> list[str]:
    listed = value.get(key) if isinstance(value, dict) else None
    try:
        return [plain_name(one["filename"] if isinstance(one, dict) else one) for one in listed or ()]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {key}: not the names of files of a data set ({error})") from None


def is_data_set(parquet: Path) -> bool:
    """Say whether a Parquet file has the column of a data set; a manifest has not, nor has a file that is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return COLUMN in pq.read_schema(parquet).names
    except (pa.ArrowException, OSError):
        return False


def images_in(file: Path) -> Iterator[tuple[bytes | None, str]]:
    """Yield the bytes of the image of each row, None where it has none, and its path, which may be empty.

    A ValueError or an OSError when the file ends early, is damaged, or has no such column.
    """
    for batch in _batches(file):
        if COLUMN not in batch.schema.names:
            raise ValueError(f"no column {COLUMN!r} among {', '.join(batch.schema.names[:10])}")
        images = batch.column(COLUMN)
        images.validate(full=True)  # what a damaged file says of places in it is not trusted
        for one in images:
            value = one.as_py()
            content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
            yield content if isinstance(content, bytes) and content else None, path if isinstance(path, str) else ""


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            with pq.ParquetFile(file) as parquet:
                columns = [COLUMN] if COLUMN in parquet.schema_arrow.names else None
                yield from parquet.iter_batches(ROWS_AT_ONCE, columns=columns)
        else:
            with pa.memory_map(str(file)) as stream, pa.ipc.open_stream(stream) as batches:
                yield from batches
    except pa.ArrowException as error:
        raise ValueError(error) from None
