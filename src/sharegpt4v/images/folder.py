"""Sources whose images are on this machine already: the user's own folders, and what the user has put in place.

Of kind "folder" the images are linked under ``data/`` with their relative names; of kind "placed" they lie there.
"""

from __future__ import annotations

import os
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.images.catalogue import Source
from sharegpt4v.images.listing import Listing, has_image_suffix, is_litter, link_or_copy, safe_name


def link_folder(folder: Path, target: Path) -> Listing:
    """Link every image below `folder` into `target` (hard links, copies on another file system); list what there was.

    Files without the suffix of an image, hidden files and links to folders are left out. A `UserError` when the folder
    is missing or holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected a folder with images")
    listing = Listing()
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not is_litter(name))
        inside = Path(here).relative_to(folder)
        prefix = f"{inside.as_posix()}/" if inside.parts else ""
        for file in sorted(files):
            if file.startswith(".") or is_litter(file) or not has_image_suffix(file):
                continue
            name = prefix + file
            try:
                safe = safe_name(name)
                if folder != target:
                    link_or_copy(Path(here, file), target / safe)
                listing.found.append(name)
            except (ValueError, OSError) as error:
                reason = str(getattr(error, "strerror", None) or error)
                listing.failures[name.encode(errors="backslashreplace").decode()] = reason
    if not listing.found and not listing.failures:
        raise UserError(f"{folder}: no images in it; expected files such as .jpg or .png there or in sub-folders")
    return listing


def placed(source: Source, folder: Path) -> Listing:
    """List the images that a person has put into `folder`. A `UserError` says where they are to be had when there are
    none."""
    if not is_placed(folder):
        raise UserError(f"{source.name}: no images in {folder}; {how_to_place(source)}")
    return link_folder(folder, folder)


def is_placed(folder: Path) -> bool:
    """Say whether a person has put anything into `folder`."""
    return folder.is_dir() and any(folder.iterdir())


def how_to_place(source: Source) -> str:
    """Say how a person gets the images of a source of kind "placed"."""
    first, address = f"{source.login}, " if source.login else "", source.downloads[0].address
    return f"{first}get them{f' from {address}' if '://' in address else ''} and put them there"
