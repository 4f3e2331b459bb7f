"""Zip and tar archives whose bytes depend on nothing but their members: no dates, no owners, the order as given."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

Member = tuple[str, bytes]
"""A file of an archive: its path inside, with forward slashes, and its content."""

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name
READABLE = 0o100644


def write_zip(path: Path, members: Iterable[Member]) -> None:
    """Write a zip archive without compression, since pictures have theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            about = zipfile.ZipInfo(name, EARLIEST)
            about.create_system = 3  # Unix, wherever this runs
            about.external_attr = READABLE << 16
            archive.writestr(about, content)


def write_tar(path: Path, members: Iterable[Member]) -> None:
    """Write a tar archive without compression."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
