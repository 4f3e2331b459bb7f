"""Images that are on this machine already: those of the user's own folders, and what the user has put in place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import BACKSLASH, escaped, safe_name
from sharegpt4v.images.listing import Listing, has_image_suffix, is_litter, link_or_copy
from sharegpt4v.images.loading import kind_of


def link_folder(folder: Path, target: Path) -> Listing:
    """Link every image below `folder` into `target` (hard links, copies on another file system); list what there was.

    Files without the suffix of an image and hidden files are left out. A `UserError` when the folder is missing or
    holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a folder with images")
    listing = Listing()
    for name, file in images_below(folder):
        problem = problem_of(file, folder) or ("name with a backslash" if BACKSLASH in name else "")
        try:
            if problem:
                raise ValueError(problem)
            safe = safe_name(name)
            if folder != target:
                link_or_copy(file.resolve() if file.is_symlink() else file, target / safe)
            listing.found.append(safe)
        except (ValueError, OSError) as error:
            listing.failures[escaped(name)] = str(getattr(error, "strerror", None) or error)
    if not listing.found and not listing.failures:
        raise UserError(f"{folder}: no images in it; expected files such as .jpg or .png there or in sub-folders")
    return listing


def images_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of all below `folder` that should be an image, in the order of the names of each folder.

    The name is the path below `folder`. Links to folders are not followed: they are yielded themselves, and so are
    folders that cannot be read; see `problem_of`. Hidden files and folders, and those of the system, are left out.
    """
    unreadable: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not is_litter(name))
        links = [name for name in folders if Path(here, name).is_symlink()]
        images = [name for name in files if has_image_suffix(name) and not name.startswith(".") and not is_litter(name)]
        for name in sorted([*links, *images]):
            path = Path(here, name)
            yield path.relative_to(folder).as_posix(), path
    for error in unreadable:
        path = Path(error.filename)
        if path == folder:
            raise UserError(f"{folder}: cannot be read ({error.strerror}); expected a folder with images")
        yield path.relative_to(folder).as_posix(), path


def problem_of(file: Path, folder: Path) -> str:
    """Say why a file of a user's folder is not read, without opening it; empty when it may be.

    Opening a pipe or a device may hang. A link may lead to a file of the same folder and nowhere else, for what is read
    may be sent to an endpoint.
    """
    try:
        is_link = file.is_symlink()
        if is_link and not file.resolve(strict=True).is_relative_to(folder.resolve()):
            return "a link that leads out of the folder"
        mode = file.stat().st_mode
    except (OSError, RuntimeError) as error:  # a link to nothing, or in a circle
        return f"cannot be read ({getattr(error, 'strerror', None) or 'a circle of links'})"
    if stat.S_ISDIR(mode):
        return "a link to a folder" if is_link else "a folder that cannot be read"
    return "" if stat.S_ISREG(mode) else f"{kind_of(mode)}, not a file"


def is_placed(folder: Path) -> bool:
    """Say whether a person has put anything into `folder`."""
    return folder.is_dir() and any(folder.iterdir())
