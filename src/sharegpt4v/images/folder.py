"""A source of kind "folder": the user's own images, listed and linked under ``data/`` with their relative names."""

from __future__ import annotations

import os
from pathlib import Path

from sharegpt4v.errors import UserError
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
        for file in sorted(files):
            if file.startswith(".") or is_litter(file) or not has_image_suffix(file):
                continue
            path = Path(here, file)
            name = path.relative_to(folder).as_posix()
            try:
                link_or_copy(path, target / safe_name(name))
                listing.found.append(name)
            except (ValueError, OSError) as error:
                reason = str(getattr(error, "strerror", None) or error)
                listing.failures[name.encode(errors="backslashreplace").decode()] = reason
    if not listing.found and not listing.failures:
        raise UserError(f"{folder}: no images in it; expected files such as .jpg or .png there or in sub-folders")
    return listing
