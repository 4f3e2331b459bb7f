"""The image files of a set's rows, as they are on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.image_paths import inside
from sharegpt4v.images.loading import read_image_file
from sharegpt4v.sharing.columns import Row


def image_bytes(row: Row, data: Path) -> bytes | None:
    """Return the content of a row's image below `data`; None where the row has none.

    A `UserError` when the file is not there, or is another one than was captioned.
    """
    if not row["image_path"]:
        return None
    path = inside(data, row["image_path"])
    try:
        content = read_image_file(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}); fetch it, or leave --images out") from None
    if row.get("sha256") and hashlib.sha256(content).hexdigest() != row["sha256"]:
        raise UserError(f"{path}: not the file that was captioned (another SHA-256); fetch its source again")
    return content
