"""Unpack zip and tar archives into a source's folder, trusting nothing that an archive says.

Names that lead out of the folder, links and devices are recorded and not written; what would fill the disk is refused
before it is written. A file is written under a temporary name and renamed; one that is there with the same content
stays, so unpacking can be killed and run again.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.files import FULL
from sharegpt4v.image_paths import refused_name, safe_name
from sharegpt4v.images.listing import has_image_suffix, is_litter
from sharegpt4v.images.members import Member, Unreadable, members_of
from sharegpt4v.images.transfer import check_free
from sharegpt4v.progress import Progress

ALL_FOLDERS = "*/"
IN_THE_WAY = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ)
LIMITS = Sources()


@dataclass
class Unpacked:
    """What became of an archive's members.

    `members`: size in bytes by path in the folder, of all that are there now. `refused`: reason by path; a name that is
    not safe is escaped. `written` and `kept` count files, `others` the members left in the archive because they are not
    images.
    """

    members: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    written: int = 0
    kept: int = 0
    others: int = 0


class Damaged(UserError):
    """An archive that could not be read to its end, with the `reason`; `unpacked` is what could."""

    def __init__(self, message: str, unpacked: Unpacked, reason: str) -> None:
        super().__init__(message)
        self.unpacked, self.reason = unpacked, reason


def unpack(
    archive: Path, folder: Path, *, strip_prefix: str = "", only_images: bool = True, limits: Sources = LIMITS
) -> Unpacked:
    """Unpack `archive` (zip, or tar under any compression) into `folder`.

    `strip_prefix` is taken off the names that begin with it; ``*/`` is all folders of a name. With `only_images`,
    members without the suffix of an image (as SA-1B's mask files) stay in the archive. An archive that ends early or is
    none is `Damaged`; what could be read is in the folder then. One that goes beyond `limits` is a `UserError`.
    """
    result = Unpacked()
    try:
        with members_of(archive, limits) as (members, count):
            progress = Progress(f"unpack {archive.name}", count, "files") if count else None
            for member in members:
                if progress:
                    progress.advance()
                _take(member, folder, strip_prefix, only_images, limits.keep_free_bytes, result)
    except Unreadable as error:
        raise Damaged(
            f"{archive}: not a whole zip or tar archive ({error}); {len(result.members):,} members could be read and "
            "are kept; delete the archive and run the same command again",
            result,
            str(error),
        ) from None
    return result


def _take(
    member: Member, folder: Path, strip_prefix: str, only_images: bool, keep_free_bytes: int, result: Unpacked
) -> None:
    """Write a member when it is wanted, and record in `result` what became of it."""
    name = refused_name(member.name)
    try:
        name = _without(strip_prefix, safe_name(member.name))
        if is_litter(name):
            return
        if member.objection:
            raise ValueError(member.objection)
        if only_images and not has_image_suffix(name):
            result.others += 1
            return
        if name in result.members:
            name = refused_name(f"{name} again")
            raise ValueError("named twice in the archive")
        written = _write(member, folder / name, keep_free_bytes)
    except ValueError as error:
        result.refused[name] = str(error)
    except Unreadable as error:
        if not member.stands_alone:
            raise
        result.refused[name] = str(error)
    except OSError as error:
        if error.errno in FULL:
            raise UserError(f"{folder}: the disk is full; make room and run the same command again") from None
        if error.errno not in IN_THE_WAY:
            raise
        result.refused[name] = os.strerror(error.errno)
    else:
        result.members[name] = member.size
        result.written += written
        result.kept += not written


def _without(strip_prefix: str, name: str) -> str:
    return PurePosixPath(name).name if strip_prefix == ALL_FOLDERS else safe_name(name.removeprefix(strip_prefix))


def _write(member: Member, target: Path, keep_free_bytes: int) -> bool:
    """Write one member, unless `target` has its content already; return whether it was written."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder of this name is there")
    if target.is_file() and target.stat().st_size == member.size and _equals(member, target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    check_free(target.parent, member.size, keep_free_bytes)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        # No flush to disk per file: that costs hours over a million images, and the comparison above finds a torn one.
        with open(temporary, "wb") as file:
            file.writelines(member.blocks())
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True


def _equals(member: Member, target: Path) -> bool:
    with open(target, "rb") as file:
        return all(block == file.read(len(block)) for block in member.blocks()) and not file.read(1)
