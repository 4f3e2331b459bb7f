"""Downloads that may be cut at any moment: the paper's archives are up to hundreds of gigabytes.

A file arrives as ``NAME.part`` and gets its name only when its length and hash are right. In ``NAME.json``
is the server's version of it, so that a later run continues the same version and never joins two. A server is not
trusted: neither with the name of the file, nor with its size, nor to send what was asked for at all.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import httpx

from sharegpt4v.catalogues.sources import DIGESTS, Download
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.images.connection import Connection, NoAddress
from sharegpt4v.images.transfer import Transfer, called, is_etag, read_metadata, version_of
from sharegpt4v.locking import WriterLock


class Retries(NamedTuple):
    """When a download is given up: after `tries` attempts in a row that brought nothing new, with a doubling wait
    between them that begins at `first_wait_s` seconds. `timeout_s` is the silence that ends an attempt, in seconds."""

    tries: int = 5
    timeout_s: float = 30.0
    first_wait_s: float = 1.0


RETRIES = Retries()


def fetch(
    download: Download,
    folder: Path,
    *,
    retries: Retries = RETRIES,
    keep_free_bytes: int = 0,
) -> Path:
    """Bring one file into `folder` and return its path; a file already there is kept unless the server has a newer one.

    What the server or the catalogue say about the file and it does not keep is a `UserError`, and the wrong file is
    removed. So are a disk that would have less than `keep_free_bytes` left, and a file that another process fetches.
    """
    try:
        target = folder / download.file_name
    except ValueError as error:
        raise UserError(f"{called(download)}: {error}; expected an address that ends in a file name") from None
    part, metadata = target.with_name(f"{target.name}.part"), metadata_path(target)
    with WriterLock(target), Connection(download.address, retries.timeout_s) as connection:
        # A part beside the file is of a newer version, which what is known then tells of.
        if target.exists() and not part.exists() and _is_current(connection, download, target, metadata):
            return target
        transfer = Transfer(connection, download, part, metadata, keep_free_bytes)
        resumed = transfer.complete(retries.tries, retries.first_wait_s)
        complaint = complaint_about(part, download)
        if complaint and resumed:  # the pieces may be of two versions: once more, in one piece
            part.unlink()
            transfer.complete(retries.tries, retries.first_wait_s)
            complaint = complaint_about(part, download)
        if complaint:
            transfer.discard()
            raise UserError(f"{called(download)}: {complaint}; correct the catalogue, or fetch from another address")
        write_json(metadata, read_metadata(metadata) | {"sha256": download.sha256})
        os.replace(part, target)
    return target


def metadata_path(file: Path) -> Path:
    """Return the path of what is known of a fetched file; a file without it was put there by a person."""
    return file.with_name(f"{file.name}.json")


def complaint_about(file: Path, download: Download) -> str:
    """Say how `file` differs from what the catalogue knows of it; empty when it does not."""
    size = file.stat().st_size
    if download.bytes not in (None, size):
        return f"{size:,} bytes, expected {download.bytes:,}"
    if download.sha256:
        kind = DIGESTS[len(download.sha256)]
        with open(file, "rb") as opened:
            found = hashlib.file_digest(opened, kind).hexdigest()
        if found != download.sha256:
            return f"{'SHA-256' if kind == 'sha256' else 'MD5'} {found}, expected {download.sha256}"
    return ""


def _is_current(connection: Connection, download: Download, target: Path, metadata: Path) -> bool:
    """Tell whether the file fetched earlier is still the one wanted. A server that is away does not take it from us."""
    known = read_metadata(metadata)
    if download.sha256:
        return known.get("sha256") == download.sha256 or not complaint_about(target, download)
    if download.bytes not in (None, target.stat().st_size):
        return False
    version = str(known.get("version", ""))
    if not version:
        return True
    condition = "If-None-Match" if is_etag(version) else "If-Modified-Since"
    try:
        with connection.get(download.address, {condition: version}) as response:
            return response.status_code != 200 or version_of(response) == version
    except (httpx.HTTPError, NoAddress):
        return True
