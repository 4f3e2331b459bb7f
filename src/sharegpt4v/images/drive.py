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

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.images.fetch import mark_of
from sharegpt4v.images.paths import safe_name
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
                f"{address}: Google Drive does not show this folder ({_one_line(error)}); try again later, or see in "
                "the browser whether it is still shared"
            ) from None
        write_json(record, [{"id": file.id, "path": file.path} for file in listed if not isinstance(file, str)])
    found = [DriveFile(**file) for file in read_json(record)]
    meant = [file for file in found if fnmatch(file.path, unquote(pattern or "*"))]
    if not meant:
        names = ", ".join(file.path for file in found[:5])
        raise UserError(
            f"{address}: none of the {len(found)} files of this folder is meant ({names}); correct what follows the #"
        )
    return meant


def fetch_from_drive(file: DriveFile, folder: Path, tries: int, timeout_s: float) -> Path:
    """Bring one file into `folder` and return its path; one that is there stays.

    `tries` counts attempts after failures that may pass; `timeout_s` is the silence after which one is given up. What
    cannot be had is a `UserError`.
    """
    import gdown
    import requests

    try:
        target = folder / safe_name(file.path)
    except ValueError as error:
        raise UserError(f"{file.page}: {error}; expected a name that leads nowhere") from None
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        gdown.download(
            id=file.id, output=str(target), quiet=True, use_cookies=False, resume=True, retries=tries - 1,
            timeout=timeout_s, progress=_Told(target.name),
        )  # fmt: skip
    except gdown.exceptions.FileURLRetrievalError:
        raise UserError(
            f"{file.page}: Google Drive gives a page in place of the file, because too many have fetched it lately or "
            f"it is no longer shared; try again tomorrow, or get it in the browser and put it at {target}"
        ) from None
    except (gdown.exceptions.DownloadError, requests.RequestException, KeyError) as error:
        raise UserError(
            f"{file.page}: {_one_line(error)}; what came is kept, run the same command again to go on"
        ) from None
    write_json(mark_of(target), {"page": file.page})
    return target


class _Told:
    """gdown's progress as ours."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.progress: Progress | None = None

    def __call__(self, done: int, total: int | None) -> None:
        if total is None:
            return
        if self.progress is None:
            self.progress = Progress(self.name, math.ceil(total / MEGABYTE), "MB", done=done // MEGABYTE)
        elif (more := done // MEGABYTE - self.progress.done) > 0:
            self.progress.advance(more)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
