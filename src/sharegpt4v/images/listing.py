"""What a source holds: shared by archives, URL lists and folders."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

IMAGE_SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip


@dataclass
class Listing:
    """The files of one source, as paths relative to the source's folder, with forward slashes.

    `found` should be on disk; `failures` holds what was listed and could not be had, with the reason. `archives` says
    in which archive a file was, where it was in one.
    """

    found: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    archives: dict[str, str] = field(default_factory=dict)


def is_litter(name: str) -> bool:
    """Tell the files that macOS and Windows leave in archives and folders."""
    folders, _, last = name.rpartition("/")
    return "__MACOSX" in folders.split("/") or last in (".DS_Store", "Thumbs.db", "__MACOSX") or last.startswith("._")


def has_image_suffix(name: str) -> bool:
    """Tell whether a name looks like an image; whether it is one is for the intake to find out."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def link_or_copy(file: Path, target: Path) -> None:
    """Put `file` at `target` as a hard link, or as a copy on another file system; an equal target stays."""
    if target.exists():
        here, there = file.stat(), target.stat()
        same_content = (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
        if os.path.samestat(here, there) or same_content:
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
    except OSError:
        shutil.copy2(file, temporary)
    os.replace(temporary, target)
