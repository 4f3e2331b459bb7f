"""Files and folders that are shared on Google Drive, through the library gdown, which knows Drive's pages.

Drive gives large files only after a page that warns, gives a page in place of a file that too many have fetched, and
tells neither sizes nor hashes beforehand. gdown continues a file that was cut.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.files import read_json, write_json
from sharegpt4v.image_paths import safe_name
from sharegpt4v.images.fetch import Retries, metadata_path
from sharegpt4v.images.transfer import check_free
from sharegpt4v.locking import WriterLock
from sharegpt4v.progress import Progress

MEGABYTE = 1_000_000
ADDRESS = re.compile(r"https://drive\.google\.com/(file/d|drive/folders)/([\w-]+)[^#]*(?:#(.+))?")


@dataclass(frozen=True)
class DriveFile:
    """A file on Drive: its id, and its path in the folder that was shared, or its id where a file was."""

    id: str
    path: str

    @property
    def page(self) -> str:
        """Where a person sees it in the browser."""
        return f"https://drive.google.com/file/d/{self.id}"


def is_on_drive(address: str) -> bool:
    """Tell an address of Google Drive."""
    return address.startswith("https://drive.google.com/")


def files_on_drive(address: str, record: Path, timeout_s: float) -> list[DriveFile]:
    """Return the files behind an address such as ``https://drive.google.com/drive/folders/ID#*.zip``.

    What follows the # says which files of a folder are meant; without it all are. The folder is read once and kept in
    `record`. An address that is none, a folder that cannot be read or in which none is meant is a `UserError`.
    """
    import gdown
    import requests

    match = ADDRESS.fullmatch(address)
    if match is None:
        raise UserError(f"{address}: expected https://drive.google.com/ and file/d/ID or drive/folders/ID")
    kind, id, pattern = match.groups()
    if kind == "file/d":
        return [DriveFile(id, id)]
    if not record.exists():
        try:
            listed = gdown.download_folder(
                id=id, skip_download=True, quiet=True, use_cookies=False, timeout=timeout_s, output="."
            )
        except (gdown.exceptions.DownloadError, requests.RequestException, KeyError) as error:
            raise UserError(
                f"{address}: Google Drive does not show this folder ({one_line(error)}); try again later, or see in "
                "the browser whether it is still shared"
            ) from None
        write_json(record, [{"id": file.id, "path": file.path} for file in listed if not isinstance(file, str)])
    found = [DriveFile(file["id"], _safe(file["path"], address)) for file in read_json(record)]
    meant = [file for file in found if fnmatch(file.path, unquote(pattern or "*"))]
    if not meant:
        names = ", ".join(file.path for file in found[:5])
        raise UserError(
            f"{address}: none of the {len(found)} files of this folder is meant ({names}); correct what follows the #"
        )
    return meant


def fetch_from_drive(file: DriveFile, folder: Path, retries: Retries, keep_free_bytes: int = 0) -> Path:
    """Bring one file into `folder` and return its path; one that is there stays.

    `retries` counts attempts after failures that may pass. What cannot be had, or would leave less than
    `keep_free_bytes` of the disk free, is a `UserError`.
    """
    target = folder / _safe(file.path, file.page)
    with WriterLock(target):
        if not target.exists():
            _download(file, target, retries, keep_free_bytes)
    return target


def _download(file: DriveFile, target: Path, retries: Retries, keep_free_bytes: int) -> None:
    import gdown
    import requests

    try:
        gdown.download(
            id=file.id, output=str(target), quiet=True, use_cookies=False, resume=True, retries=retries.tries - 1,
            timeout=retries.timeout_s, progress=_Told(target, keep_free_bytes),
        )  # fmt: skip
    except gdown.exceptions.FileURLRetrievalError:
        raise UserError(
            f"{file.page}: Google Drive gives a page in place of the file, because too many have fetched it lately or "
            f"it is no longer shared; try again tomorrow, or get it in the browser and put it at {target}"
        ) from None
    except (gdown.exceptions.DownloadError, requests.RequestException, KeyError) as error:
        raise UserError(
            f"{file.page}: {one_line(error)}; what came is kept, run the same command again to resume"
        ) from None
    write_json(metadata_path(target), {"page": file.page})


def _safe(path: str, where: str) -> str:
    try:
        return safe_name(path)
    except ValueError as error:
        raise UserError(f"{where}: file {path[:80]!r}: {error}; expected a name that stays in its folder") from None


class _Told:
    """gdown's progress as ours; it stops what would fill the disk."""

    def __init__(self, target: Path, keep_free_bytes: int) -> None:
        self.target, self.keep_free_bytes = target, keep_free_bytes
        self.progress: Progress | None = None

    def __call__(self, done: int, total: int | None) -> None:
        if total is None:
            return
        if self.progress is None:
            check_free(self.target.parent, total - done, self.keep_free_bytes)
            self.progress = Progress(self.target.name, math.ceil(total / MEGABYTE), "MB", done=done // MEGABYTE)
        elif (more := done // MEGABYTE - self.progress.done) > 0:
            self.progress.advance(more)
