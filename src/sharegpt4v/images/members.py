"""The members of a zip or tar archive, read within limits: an archive may claim anything, and may be damaged anywhere.

Whatever Python's readers raise becomes `Unreadable`. What an archive would unpack to, sparse files by their full size,
is counted before it is written.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError, one_line

BLOCK = 1 << 20
LARGEST_READ = 16 << 20  # bytes at once: a header that asks for more is none
SMALL = 16 << 20  # bytes that any archive may unpack to
ENTRY = 46  # bytes, at least, of an entry in the directory of a zip


class Unreadable(Exception):
    """An archive, or one member of it, that cannot be read any further."""


@dataclass(frozen=True)
class Member:
    """One member of an archive; `objection` is why it must not be written, empty when it may.

    With `stands_alone`, damage in its content leaves the other members readable, as in a zip.
    """

    name: str
    size: int
    objection: str
    open: Callable[[], IO[bytes] | None]
    stands_alone: bool

    def blocks(self) -> Iterator[bytes]:
        """Yield the content; `Unreadable` when it is damaged or is not of the size that was claimed."""
        read = 0
        with _reading():
            content = self.open()
            if content is None:
                raise Unreadable("not a file")
            with content:
                while block := content.read(BLOCK):
                    read += len(block)
                    yield block
        if read != self.size:
            raise Unreadable(f"{read:,} of {self.size:,} bytes")


@contextmanager
def members_of(archive: Path, limits: Sources) -> Iterator[tuple[Iterator[Member], int | None]]:
    """Open a zip or a tar under any compression; give its members, and their number where it is known beforehand.

    `Unreadable` for what is neither or is damaged. A `UserError` for an archive that goes beyond `limits`.
    """
    with open(archive, "rb") as file:
        start = file.read(6)
        file.seek(0)
        size = archive.stat().st_size
        count = _Count(archive, max(SMALL, int(limits.largest_unpacking_ratio * size)), limits)
        if start[:2] == b"PK":  # zipfile's own test looks at the end, where a tar may hold a zip
            with _reading():
                if directory := zipfile._EndRecData(file):  # type: ignore[attr-defined]
                    count.entries(directory[5] // ENTRY)  # its size; zipfile holds all of it in memory
                opened = zipfile.ZipFile(file)
            for info in opened.filelist:
                count.add(info.file_size)
            yield _zip_members(opened), len(opened.filelist)
        else:
            with _reading():
                stream, most = _decompressed(file, start), size
                if stream is not file:
                    most = count.most
                tar = tarfile.open(fileobj=_Bounded(stream, most), mode="r:")  # type: ignore[call-overload]
            yield _tar_members(tar, size if stream is file else None, count), None


class _Count:
    """How much an archive holds so far; a `UserError` when it is more than the limits allow."""

    def __init__(self, archive: Path, most: int, limits: Sources) -> None:
        self.archive, self.most, self.limits = archive, most, limits
        self.bytes = self.members = 0

    def add(self, size: int) -> None:
        """Count one member."""
        self.bytes += size
        self.members += 1
        self.entries(self.members)
        if self.bytes > self.most:
            raise UserError(
                f"{self.archive}: unpacks to more than {self.most:,} bytes, "
                f"{self.limits.largest_unpacking_ratio:g} times its size; fetch it again, or allow more by "
                "sources.largest_unpacking_ratio"
            )

    def entries(self, number: int) -> None:
        """Check a number of members."""
        if number > self.limits.largest_archive_entries:
            raise UserError(
                f"{self.archive}: more than {self.limits.largest_archive_entries:,} entries; fetch it again, or "
                "allow more by sources.largest_archive_entries"
            )


class _Bounded:
    """A stream of which no more than `most` bytes are read, and never many at once: a few bytes of a compressed one may
    become any number, and a header may claim any length."""

    def __init__(self, file: Any, most: int) -> None:
        self.file, self.most = file, most

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise Unreadable(f"a header of {size:,} bytes")
        data: bytes = self.file.read(size)
        if self.file.tell() > self.most:
            raise Unreadable(f"more than {self.most:,} bytes when decompressed")
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        if whence or not 0 <= position <= self.most:
            raise Unreadable(f"a member is said to end at byte {position:,} of {self.most:,}")
        return int(self.file.seek(position))

    def tell(self) -> int:
        return int(self.file.tell())


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever a reader raises on damaged content, which is nearly anything, into `Unreadable`."""
    try:
        yield
    except (Unreadable, UserError):
        raise
    except Exception as error:
        raise Unreadable(one_line(error)) from None


def _decompressed(file: IO[bytes], start: bytes) -> Any:
    """Return the decompressed stream of a tar; the first bytes of the file say how it is compressed."""
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    return lzma.LZMAFile(file) if start.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")) else file


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        if info.filename.endswith("/"):  # is_dir() fails where a damaged name is empty
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        objection = "a link or a device" if kind not in (0, stat.S_IFREG) else ""
        if info.flag_bits & 1:
            objection = "encrypted"
        yield Member(info.filename, info.file_size, objection, partial(archive.open, info), stands_alone=True)


def _tar_members(archive: tarfile.TarFile, size: int | None, count: _Count) -> Iterator[Member]:
    """Yield the members of a tar; `size` is its own where it is not compressed."""
    with _reading():
        yield from _headers(archive, size, count)
        # tarfile takes a torn or wrong header for the end; a whole archive ends with a block of zeros.
        assert archive.fileobj is not None
        damage = archive.offset
        archive.fileobj.seek(damage)
        if archive.fileobj.read(512) == bytes(512):
            return
        # Some archives of SA-1B are reported damaged in the middle: behind that, the next header is looked for.
        archive.fileobj.seek(damage)
        try:
            with tarfile.open(fileobj=archive.fileobj, mode="r:", ignore_zeros=True) as rest:
                yield from _headers(rest, size, count)
        except (tarfile.ReadError, Unreadable):
            pass
        raise Unreadable(f"no end mark at byte {damage:,}")


def _headers(archive: tarfile.TarFile, size: int | None, count: _Count) -> Iterator[Member]:
    last = -1
    for info in archive:
        archive.members = []  # type: ignore[attr-defined]  # tarfile remembers every member; there may be millions
        if info.offset <= last or info.size < 0:
            raise Unreadable(f"the header at byte {last:,} leads back")
        last = info.offset
        is_sparse = info.issparse()
        if size is not None and not is_sparse and info.isfile() and info.offset_data + info.size > size:
            raise Unreadable(f"ends at byte {size:,}, within a member")
        count.add(info.size if info.isfile() and (is_sparse or size is None) else 0)
        if not info.isdir():
            objection = "" if info.isfile() else "a link or a device"
            yield Member(info.name, info.size, objection, partial(archive.extractfile, info), stands_alone=False)
