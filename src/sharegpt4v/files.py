"""Reading and writing files so that a kill at any moment leaves either the old file or the new one.

A file is written beside its place under a temporary name, flushed to disk and renamed. JSON lines are read as
a stream, and a broken line is reported with its file and line number.
"""

from __future__ import annotations

import codecs
import csv
import errno
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import orjson

from sharegpt4v.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # only writing fails so
IN_TEXT = re.compile(rf"\(os error ({'|'.join(map(str, FULL))})\)")  # as errors of safetensors and tokenizers say it


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn an error of the operating system in the block, which writes `path`, into a `UserError` that names it."""
    try:
        yield
    except OSError as error:
        remedy = "make room there" if error.errno in FULL else "make it writable"
        raise UserError(_cannot_write(path, error.strerror or "", remedy)) from None


def full_disk(error: BaseException | None) -> str:
    """Return how the operating system calls it that a disk is full; "" when that is not what an error comes from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return os.strerror(error.errno)
        if told := IN_TEXT.search(str(error)):
            return os.strerror(int(told[1]))
        error = error.__cause__ or error.__context__
    return ""


def refuse_full_disk(path: Path | str, error: BaseException) -> None:
    """Raise a `UserError` that names `path` when an error of writing there comes from a full disk."""
    if not isinstance(error, UserError) and (why := full_disk(error)):
        raise UserError(_cannot_write(path, why, "make room there")) from None


def _cannot_write(path: Path | str, why: str, remedy: str) -> str:
    return f"{path}: cannot be written ({why}); {remedy}, then run the same command again"


@contextmanager
def open_atomically(path: Path | str, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; rename it to `path` when the block ends without an error.

    `mode` is "wb" or "w" (UTF-8). After an error nothing is left behind and an older file stays as it was. A full disk
    or a folder that cannot be written is a `UserError` that names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(temporary, mode, encoding=None if "b" in mode else "utf-8")
    try:
        yield file
        with writing(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        refuse_full_disk(path, error)  # from the block's own writing
        raise


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk, where its file system can do that, so that a power failure keeps them."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sidecar(path: Path, ending: str) -> Path:
    """Return the path of a file about `path` in the same folder: its stem with `ending`, as in ``provenance.json``."""
    return path.with_name(f"{path.stem}.{ending}")


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with open_atomically(path, "w") as file:
        file.write(text)


def csv_text(lines: Iterable[Sequence[Any]]) -> str:
    """Return the lines, the first of them the names of the columns, as a CSV table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def write_csv(path: Path | str, lines: Iterable[Sequence[Any]]) -> None:
    """Write the lines, the first of them the names of the columns, as a CSV table, atomically and as a stream."""
    with open_atomically(path, "w") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data`, atomically."""
    with open_atomically(path) as file:
        file.write(data)


def write_json(path: Path | str, value: Any) -> None:
    """Write one JSON document, indented by two blanks, keys in the order given, atomically."""
    write_bytes(path, orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def write_jsonl(path: Path | str, rows: Iterable[Any]) -> int:
    """Write one JSON document per line, atomically and as a stream; return the number of rows."""
    count = 0
    with open_atomically(path) as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def read_json(path: Path | str) -> Any:
    """Read one JSON document. A missing or broken file, or one that is not UTF-8, is a `UserError` that names it."""
    data = _read_bytes(path, "a JSON file")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        _refuse_other_encodings(data, path)
        raise UserError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from None


def read_jsonl(path: Path | str) -> Iterator[Any]:
    """Yield the documents of a JSON-lines file in order; a broken line is a `UserError` with its number."""
    with open_to_read(path, "JSON lines") as file:
        for number, line in enumerate(file, start=1):
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if line.strip():
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    _refuse_other_encodings(line, f"{path}, line {number}")
                    raise UserError(f"{path}, line {number}: not JSON ({error.msg})") from None


def read_text(path: Path | str, expected: str = "a text file") -> str:
    """Read a UTF-8 text, line ends as they are. A missing file or another encoding is a `UserError` that names it."""
    data = _read_bytes(path, expected)
    _refuse_other_encodings(data, path)
    return data.decode()


def open_to_read(path: Path | str, expected: str) -> IO[bytes]:
    """Open a file; a `UserError` names it and what was `expected` there when it cannot be read."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {expected} there") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder; expected {expected} there") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected {expected} there") from None


def _read_bytes(path: Path | str, expected: str) -> bytes:
    """Return the content of a file without the byte-order mark that some editors put first."""
    with open_to_read(path, expected) as file:
        return file.read().removeprefix(codecs.BOM_UTF8)


def _refuse_other_encodings(data: bytes, where: Path | str) -> None:
    """Raise a `UserError` unless `data` is UTF-8; UTF-16 without a mark shows by its zero bytes."""
    try:
        data.decode()
        if b"\0" not in data:
            return
    except UnicodeDecodeError:
        pass
    raise UserError(f"{where}: not UTF-8; expected the text in that encoding, so save the file as UTF-8")


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
