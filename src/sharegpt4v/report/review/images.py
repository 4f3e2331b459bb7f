"""The image of a row, from one folder alone, and only when it is one that browsers show."""

from __future__ import annotations

from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import inside

SHOWN = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
"""Formats of Pillow. Its reader of JPEGs calls one with further images behind it MPO."""


def image_file(folder: Path, name: str) -> tuple[Path, str] | None:
    """Return the file of the image `name` below `folder` and its media type, by its content.

    None where there is none, where the name leads out of the folder, and where browsers would not show it.
    """
    from PIL import Image

    try:
        path = inside(folder, name)
        with Image.open(path, formats=SHOWN) as image:  # reads the head of the file alone
            return path, Image.MIME["JPEG" if image.format == "MPO" else image.format or ""]
    except (UserError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
