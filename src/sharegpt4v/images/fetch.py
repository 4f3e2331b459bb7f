"""Downloads that may be cut at any moment: the paper's archives are up to hundreds of gigabytes.

A file arrives as ``NAME.part`` and gets its name only when its length and hash are right. Beside it, ``NAME.json``
keeps the server's version mark, so that a later run continues the same version and never joins two.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.images.catalogue import DIGESTS, Download
from sharegpt4v.progress import Progress

LONGEST_WAIT_S = 120.0
MEGABYTE = 1_000_000


class Refused(UserError):
    """A server that lets nobody have the file, or no longer: a link that has expired, or a login that lacks."""


class _TryAgain(Exception):
    """A failure that may pass; `wait_s` is what the server asked for."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def fetch(
    download: Download, folder: Path, *, tries: int = 5, timeout_s: float = 30.0, first_wait_s: float = 1.0
) -> Path:
    """Bring one file into `folder` and return its path; a file already there is kept unless the server has a newer one.

    `tries` counts attempts in a row that brought nothing new, with a doubling wait between them that begins at
    `first_wait_s` seconds; `timeout_s` is the silence after which an attempt is given up. What the server or the
    catalogue say about the file and it does not keep is a `UserError`, and the wrong file is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / download.file_name
    part, mark = target.with_name(f"{target.name}.part"), mark_of(target)
    with _client(download.address, timeout_s) as client:
        if target.exists() and _is_current(client, download, target, mark):
            return target
        resumed = _transfer(client, download, part, mark, tries, first_wait_s)
        complaint = complaint_about(part, download)
        if complaint and resumed:  # the pieces may be of two versions: once more, in one piece
            part.unlink()
            _transfer(client, download, part, mark, tries, first_wait_s)
            complaint = complaint_about(part, download)
    if complaint:
        part.unlink()
        raise UserError(f"{_called(download)}: {complaint}; correct the catalogue, or fetch from another address")
    write_json(mark, _read_mark(mark) | {"sha256": download.sha256})
    os.replace(part, target)
    return target


def mark_of(file: Path) -> Path:
    """Where stands what is known of a fetched file; a file without it was put there by a person."""
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


def shown(address: str) -> str:
    """An address as it may be printed: without the query and the user name, which can hold secrets."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else address


def _called(download: Download) -> str:
    """What messages call a download; a personal link, which has a name beside it, is a secret as a whole."""
    return download.name or shown(download.address)


def is_loopback(address: str) -> bool:
    """Tell an address on this machine, which no proxy may be asked for."""
    return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")


def _client(address: str, timeout_s: float) -> httpx.Client:
    if urlsplit(address).scheme not in ("http", "https"):
        raise UserError(f"{shown(address)}: expected an address beginning with http:// or https://")
    return httpx.Client(timeout=timeout_s, follow_redirects=True, trust_env=not is_loopback(address))


def _is_current(client: httpx.Client, download: Download, target: Path, mark: Path) -> bool:
    """Tell whether the file fetched earlier is still the one wanted. A server that is away does not take it from us."""
    known = _read_mark(mark)
    if download.sha256:
        return known.get("sha256") == download.sha256 or not complaint_about(target, download)
    if download.bytes not in (None, target.stat().st_size):
        return False
    version = known.get("version", "")
    if not version:
        return True
    condition = "If-None-Match" if _is_etag(version) else "If-Modified-Since"
    try:
        with client.stream("GET", download.address, headers={condition: version}) as response:
            return response.status_code != 200 or _version(response) == version
    except httpx.HTTPError:
        return True


def _transfer(
    client: httpx.Client, download: Download, part: Path, mark: Path, tries: int, first_wait_s: float
) -> bool:
    """Attempt until the body is complete in `part`; return whether it was joined from several pieces."""
    resumed, furthest, failures = False, 0, 0
    while True:
        try:
            return _attempt(client, download, part, mark) or resumed
        except httpx.TooManyRedirects:
            raise UserError(f"{_called(download)}: leads in a circle of redirects; correct the catalogue") from None
        except (httpx.TransportError, _TryAgain) as error:
            resumed = True
            reached = part.stat().st_size if part.exists() else 0
            failures = 1 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            if failures >= tries:
                raise UserError(
                    f"{_called(download)}: {error or type(error).__name__}, {failures} times in a row after "
                    f"{reached:,} bytes; they are kept, run the same command again to go on"
                ) from None
            wait_s = getattr(error, "wait_s", None) or first_wait_s * 2 ** (failures - 1)
            time.sleep(min(wait_s, LONGEST_WAIT_S))


def _attempt(client: httpx.Client, download: Download, part: Path, mark: Path) -> bool:
    """One request, from where `part` ends; return whether it continued an earlier piece."""
    have = part.stat().st_size if part.exists() else 0
    version = _read_mark(mark).get("version", "")
    headers = {"Accept-Encoding": "identity"}
    if have and version:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    with client.stream("GET", download.address, headers=headers) as response:
        content_range = response.headers.get("Content-Range", "")
        if response.status_code == 416 and content_range == f"bytes */{have}":
            return True  # complete, and killed before it got its name
        continues = response.status_code == 206 and content_range.startswith(f"bytes {have}-")
        if response.status_code in (206, 416) and not continues:
            part.unlink(missing_ok=True)
            raise _TryAgain(f"the server answered {response.status_code} with another piece than was asked for")
        _raise_for(response, download)
        start = have if continues else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        _check_total(total, start, download, part.parent)
        with open(part, "ab" if continues else "wb") as file:
            # The version is written only now that older bytes are cut off, so it never stands beside another's bytes.
            write_json(mark, {"version": _version(response)})
            _receive(response, file, part.name.removesuffix(".part"), start, total)
    if total is not None and part.stat().st_size != total:
        raise _TryAgain(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes")
    return continues


def _receive(response: httpx.Response, file: Any, name: str, start: int, total: int | None) -> None:
    """Write the body to `file` as it comes, and flush it to the disk."""
    progress = Progress(name, math.ceil(total / MEGABYTE), "MB", done=start // MEGABYTE) if total else None
    received = start
    for block in response.iter_raw():
        file.write(block)
        received += len(block)
        if progress and (more := received // MEGABYTE - progress.done) > 0:
            progress.advance(more)
    file.flush()
    os.fsync(file.fileno())


def _raise_for(response: httpx.Response, download: Download) -> None:
    """Turn a refusal into an error: one that may pass is tried again, another is for the user."""
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        asked = response.headers.get("Retry-After", "")
        raise _TryAgain(f"the server answered {status}", float(asked) if asked.isdigit() else None)
    if status >= 400:
        answered = f"{_called(download)}: the server answered {status} {response.reason_phrase}"
        if status in (401, 403, 410):
            raise Refused(f"{answered}; the link may have expired or need a login")
        raise UserError(f"{answered}; correct the catalogue")


def _check_total(total: int | None, start: int, download: Download, folder: Path) -> None:
    """Refuse before the download what cannot end well: another length than the catalogue's, or a full disk."""
    if total is None:
        return
    if download.bytes not in (None, total):
        raise UserError(
            f"{_called(download)}: the server offers {total:,} bytes, expected {download.bytes:,}; "
            "correct the catalogue, or fetch from another address"
        )
    free = shutil.disk_usage(folder).free
    if free < total - start:
        raise UserError(f"{folder}: {total - start:,} bytes are to come and {free:,} are free; make room")


def _version(response: httpx.Response) -> str:
    """What tells one version of the file from another: a strong ETag, else the date of last change."""
    etag = str(response.headers.get("ETag", ""))
    return etag if _is_etag(etag) else str(response.headers.get("Last-Modified", ""))


def _is_etag(version: str) -> bool:
    return version.startswith('"')


def _read_mark(mark: Path) -> dict[str, Any]:
    return dict(read_json(mark)) if mark.exists() else {}
