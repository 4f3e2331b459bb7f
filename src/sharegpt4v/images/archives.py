"""Unpack zip and tar archives into a source's folder, trusting nothing that an archive says.

Names that lead out of the folder, links and devices are recorded and not written. A file is written beside its place
and renamed; one that is there with the same content stays, so unpacking can be killed and run again.
"""

from __future__ import annotations

import errno
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from sharegpt4v.errors import UserError
from sharegpt4v.images.listing import has_image_suffix, is_litter, safe_name
from sharegpt4v.progress import Progress

BLOCK = 1 << 20
ALL_FOLDERS = "*/"
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


@dataclass
class Unpacked:
    """What became of an archive's members.

    `members`: size in bytes by path in the folder, of all that are there now. `refused`: reason by path, where a name
    that is not safe stands quoted. `written` and `kept` count files, `others` the members left in the
    archive because they are not images.
    """

    members: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    written: int = 0
    kept: int = 0
    others: int = 0


class Damaged(UserError):
    """An archive that could not be read to its end; `unpacked` is what could."""

    def __init__(self, message: str, unpacked: Unpacked) -> None:
        super().__init__(message)
        self.unpacked = unpacked


@dataclass(frozen=True)
class _Member:
    """One member of either kind of archive; `objection` is why it must not be written, empty when it may."""

    name: str
    size: int
    objection: str
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path, *, strip_prefix: str = "", only_images: bool = True) -> Unpacked:
    """Unpack `archive` (zip, or tar under any compression) into `folder`.

    `strip_prefix` is taken off the names that begin with it; ``*/`` is all folders of a name. With `only_images`,
    members without the suffix of an image (as SA-1B's mask files) stay in the archive. An archive that ends early or is
    none is `Damaged`; what could be read is in the folder then.
    """
    result = Unpacked()
    try:
        with open(archive, "rb") as file:
            is_zip = file.read(2) == b"PK"  # zipfile's own test looks at the end, where a tar may hold a zip
        if is_zip:
            with zipfile.ZipFile(archive) as opened:
                _unpack(_zip_members(opened), len(opened.filelist), archive, folder, strip_prefix, only_images, result)
        else:
            with tarfile.open(archive) as tar:
                _unpack(_tar_members(tar), None, archive, folder, strip_prefix, only_images, result)
    except UNREADABLE as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise Damaged(
            f"{archive}: not a whole zip or tar archive ({why}); {len(result.members):,} members could be read and are "
            "kept; delete the archive and run the same command again",
            result,
        ) from None
    return result


def _unpack(
    members: Iterator[_Member],
    count: int | None,
    archive: Path,
    folder: Path,
    strip_prefix: str,
    only_images: bool,
    result: Unpacked,
) -> None:
    """Write the wanted members one after another, and record in `result` what became of each."""
    progress = Progress(f"unpack {archive.name}", count, "files") if count else None
    for member in members:
        if progress:
            progress.advance()
        name = quote(member.name, safe=" ", errors="surrogateescape")  # leads nowhere
        try:
            name = _without(strip_prefix, safe_name(member.name))
            if is_litter(name):
                continue
            if member.objection:
                raise ValueError(member.objection)
            if only_images and not has_image_suffix(name):
                result.others += 1
                continue
            if name in result.members:
                name += " (again)"
                raise ValueError("named twice in the archive")
            written = _write(member, folder / name)
        except (ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            result.refused[name] = str(error)
            continue
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
                raise
            result.refused[name] = os.strerror(error.errno)
            continue
        result.members[name] = member.size
        result.written += written
        result.kept += not written


def _without(strip_prefix: str, name: str) -> str:
    return PurePosixPath(name).name if strip_prefix == ALL_FOLDERS else safe_name(name.removeprefix(strip_prefix))


def _write(member: _Member, target: Path) -> bool:
    """Write one member, unless `target` has its content already; return whether it was written."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder of this name is there")
    if target.exists() and target.stat().st_size == member.size and _equals(member, target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        # No flush to disk per file: that costs hours over a million images, and the comparison above finds a torn one.
        with _opened(member) as content, open(temporary, "wb") as file:
            while block := content.read(BLOCK):
                file.write(block)
            if file.tell() != member.size:
                raise tarfile.ReadError(f"{member.name} ends after {file.tell():,} of {member.size:,} bytes")
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True


def _equals(member: _Member, target: Path) -> bool:
    with _opened(member) as content, open(target, "rb") as file:
        while block := content.read(BLOCK):
            if block != file.read(len(block)):
                return False
        return not file.read(1)


def _opened(member: _Member) -> IO[bytes]:
    content = member.open()
    if content is None:
        raise ValueError("not a file")
    return content


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        if info.is_dir():
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        objection = "a link or a device" if kind not in (0, stat.S_IFREG) else ""
        if info.flag_bits & 1:
            objection = "encrypted"
        yield _Member(info.filename, info.file_size, objection, partial(archive.open, info))


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    yield from _headers(archive)
    # tarfile takes a torn or wrong header for the end; a whole archive ends with a block of zeros.
    assert archive.fileobj is not None
    damage = archive.offset
    archive.fileobj.seek(damage)
    if archive.fileobj.read(512) == bytes(512):
        return
    # Some archives of SA-1B are reported damaged in the middle: behind that, the next header is looked for.
    archive.fileobj.seek(damage)
    with suppress(tarfile.ReadError), tarfile.open(fileobj=archive.fileobj, mode="r:", ignore_zeros=True) as rest:
        yield from _headers(rest)
    raise tarfile.ReadError(f"no end mark at byte {damage:,}")


def _headers(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        archive.members = []  # type: ignore[attr-defined]  # tarfile remembers every member; there may be millions
        if not info.isdir():
            objection = "" if info.isfile() else "a link or a device"
            yield _Member(info.name, info.size, objection, partial(archive.extractfile, info))
