"""A file on its way from a server to the disk, in as many pieces as it takes, within bounds of size, time and space."""

from __future__ import annotations

import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sharegpt4v.catalogues.sources import Download
from sharegpt4v.errors import UserError, one_line, printable
from sharegpt4v.files import read_json, write_json, writing
from sharegpt4v.images.connection import Connection, NoAddress, redacted
from sharegpt4v.progress import Progress

LONGEST_WAIT_S = 120.0
SLOWEST = 1_000  # bytes a second: a body that drips would take years
ROUNDED_BY = 2.0  # a file may be that much larger than a size that was published rounded
CHECKED_EVERY = 64_000_000  # bytes, after which the free disk space is looked at again
MEGABYTE = 1_000_000
PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")


class Refused(UserError):
    """A server that lets nobody have the file, or no longer: a link that has expired, or a login that lacks."""


class _TryAgain(Exception):
    """A failure that may pass; `wait_s` is what the server asked for."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Transfer:
    """A file on its way from a server into `part`."""

    connection: Connection
    download: Download
    part: Path
    metadata: Path
    keep_free_bytes: int

    def complete(self, tries: int, first_wait_s: float) -> bool:
        """Attempt until the body is complete; return whether it was joined from several pieces."""
        resumed, furthest, failures, since = False, 0, 0, time.monotonic()
        while True:
            try:
                return self._attempt() or resumed
            except NoAddress as error:
                raise UserError(f"{called(self.download)}: {error}; correct the catalogue") from None
            except (httpx.TransportError, _TryAgain) as error:
                resumed = True
                reached = self.part.stat().st_size if self.part.exists() else 0
                failures = 1 if reached - furthest > SLOWEST * (time.monotonic() - since) else failures + 1
                furthest, since = max(furthest, reached), time.monotonic()
                if failures >= tries:
                    raise UserError(
                        f"{called(self.download)}: {one_line(error)}, {failures} times in a row after "
                        f"{reached:,} bytes; they are kept, run the same command again to resume"
                    ) from None
                wait_s = getattr(error, "wait_s", None) or first_wait_s * 2 ** (failures - 1)
                time.sleep(min(wait_s, LONGEST_WAIT_S))

    def discard(self) -> None:
        """Remove what came, and what is known of it."""
        self.part.unlink(missing_ok=True)
        self.metadata.unlink(missing_ok=True)

    def _attempt(self) -> bool:
        """One request, from where `part` ends; return whether it continued an earlier piece."""
        have = self.part.stat().st_size if self.part.exists() else 0
        version = str(read_metadata(self.metadata).get("version", ""))
        headers = {"Accept-Encoding": "identity"}
        if have and version:
            headers |= {"Range": f"bytes={have}-", "If-Range": version}
        with self.connection.get(self.download.address, headers) as response:
            content_range = response.headers.get("Content-Range", "")
            if response.status_code == 416 and content_range == f"bytes */{have}":
                return True  # complete, and killed before it got its name
            continues = response.status_code == 206 and content_range.startswith(f"bytes {have}-")
            if response.status_code in (206, 416) and not continues:
                self.part.unlink(missing_ok=True)
                raise _TryAgain(f"the server answered {response.status_code} with another piece than was asked for")
            self._raise_for(response)
            start = have if continues else 0
            total = start + length if (length := _whole(response.headers.get("Content-Length"))) is not None else None
            self._check_total(total, start)
            self._receive(response, start, total)
        if total is not None and self.part.stat().st_size != total:
            raise _TryAgain(f"the connection ended after {self.part.stat().st_size:,} of {total:,} bytes")
        return continues

    def _receive(self, response: httpx.Response, start: int, total: int | None) -> None:
        """Write the body behind the first `start` bytes as it comes, and flush it to the disk."""
        name = self.part.name.removesuffix(".part")
        progress = Progress(name, math.ceil(total / MEGABYTE), "MB", done=start // MEGABYTE) if total else None
        blocks = response.iter_raw()
        first = next(blocks, b"")
        if not start and _is_page(first):
            raise Refused(f"{called(self.download)}: the server gives a web page in its place; it may need a login")
        with writing(self.part):
            file = open(self.part, "ab" if start else "wb")
        with file:
            # The version is written only now that older bytes are cut off, so it is never that of other bytes.
            write_json(self.metadata, {"version": version_of(response)})
            received, before, since, checked = start, start, time.monotonic(), start
            block: bytes | None = first
            while block is not None:
                with writing(self.part):
                    file.write(block)
                received += len(block)
                self._check_size(received, "sends")
                if progress and (more := received // MEGABYTE - progress.done) > 0:
                    progress.advance(more)
                if received - checked > CHECKED_EVERY:
                    check_free(self.part.parent, 0, self.keep_free_bytes)
                    checked = received
                elapsed = time.monotonic() - since
                if elapsed > self.connection.timeout_s:
                    if received - before < SLOWEST * elapsed:
                        raise _TryAgain(f"the server sends fewer than {SLOWEST:,} bytes a second")
                    before, since = received, time.monotonic()
                block = next(blocks, None)
            with writing(self.part):
                file.flush()
                os.fsync(file.fileno())

    def _raise_for(self, response: httpx.Response) -> None:
        """Turn a refusal into an error: one that may pass is tried again, another is for the user."""
        status = response.status_code
        if status in (200, 206):
            return
        answered = f"{called(self.download)}: the server answered {status} {printable(response.reason_phrase)}".rstrip()
        if status in (408, 425, 429) or status >= 500:
            asked = _whole(response.headers.get("Retry-After"))
            raise _TryAgain(f"the server answered {status}", None if asked is None else float(asked))
        if status in (401, 403, 410):
            raise Refused(f"{answered}; the link may have expired or need a login")
        if status < 400:
            raise UserError(f"{answered} without the file; correct the catalogue")
        raise UserError(f"{answered}; correct the catalogue")

    def _check_total(self, total: int | None, start: int) -> None:
        """Refuse before the download what cannot end well: another length than the catalogue's, or a full disk."""
        if total is None:
            return
        if self.download.bytes not in (None, total):
            raise UserError(
                f"{called(self.download)}: the server offers {total:,} bytes, expected {self.download.bytes:,}; "
                "correct the catalogue, or fetch from another address"
            )
        self._check_size(total, "offers")
        check_free(self.part.parent, total - start, self.keep_free_bytes)

    def _check_size(self, size: int, does: str) -> None:
        """Refuse more bytes than the file can have; those that came are removed."""
        exact, about = self.download.bytes, self.download.about_bytes
        most = exact if exact is not None else ROUNDED_BY * about if about is not None else math.inf
        if size > most:
            self.discard()
            raise UserError(
                f"{called(self.download)}: the server {does} more than the {exact or about:,} bytes of the catalogue; "
                "correct the catalogue, or fetch from another address"
            )


def check_free(folder: Path, coming: int, keep_free_bytes: int) -> None:
    """Raise a `UserError` when `coming` bytes would leave less than `keep_free_bytes` of the disk free."""
    free = shutil.disk_usage(folder).free
    if free < coming + keep_free_bytes:
        raise UserError(
            f"{folder}: {coming:,} bytes are to come, {free:,} are free and {keep_free_bytes:,} of them are to stay "
            "so; make room, or lower sources.keep_free_gigabytes"
        )


def called(download: Download) -> str:
    """What messages call a download; a personal link, which has a name beside it, is a secret as a whole."""
    return download.name or redacted(download.address)


def _is_page(beginning: bytes) -> bool:
    """Tell a web page, such as that of a login, from the files of a catalogue."""
    return beginning.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower().startswith(PAGES)


def _whole(header: str | None) -> int | None:
    """The number in a header; None when it is none, or longer than any that is meant."""
    return int(header) if header and header.isascii() and header.isdigit() and len(header) < 19 else None


def version_of(response: httpx.Response) -> str:
    """What tells one version of the file from another: a strong ETag, else the date of last change."""
    etag = str(response.headers.get("ETag", ""))
    version = etag if is_etag(etag) else str(response.headers.get("Last-Modified", ""))
    return version if version.isascii() and version.isprintable() else ""  # it is sent back as a header


def is_etag(version: str) -> bool:
    """Whether a server's version of a file is a strong ETag, and not a date."""
    return version.startswith('"')


def read_metadata(metadata: Path) -> dict[str, Any]:
    """Return what is known of an unfinished download: address, version, size; empty where nothing can be read."""
    known = read_json(metadata) if metadata.exists() else {}
    return known if isinstance(known, dict) else {}
