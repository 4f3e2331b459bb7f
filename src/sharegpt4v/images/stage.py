"""One source from its address to its manifest: download, unpack, intake.

Each step is skipped when it is done and can be killed at any moment: the same command goes on where it stopped.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.images.archives import unpack
from sharegpt4v.images.catalogue import MINI, Download, Source, resolve
from sharegpt4v.images.fetch import complaint_about, fetch, shown
from sharegpt4v.images.folder import link_folder, placed
from sharegpt4v.images.intake import take_in
from sharegpt4v.images.listing import Listing, link_or_copy
from sharegpt4v.images.manifest import manifest_path, write_manifest
from sharegpt4v.images.urls import Crawler, check_success_rate, fetch_urls, read_url_list


@dataclass(frozen=True)
class FetchSettings:
    """How sources are fetched.

    `workers`: processes that decode. `tries`, `timeout_s` (seconds), `first_wait_s` (seconds, doubling): see `fetch`.
    `largest_bad_fraction`: the share (0 to 1) of missing and broken images above which a source is refused.
    `smallest_success_rate`: the share (0 to 1) of a URL list below which it is. `keep_archives`: whether archives stay
    on disk once unpacked. `crawler`: how img2dataset is run.
    """

    workers: int = 2
    tries: int = 5
    timeout_s: float = 30.0
    first_wait_s: float = 1.0
    largest_bad_fraction: float = 0.02
    smallest_success_rate: float = 0.9
    keep_archives: bool = True
    crawler: Crawler = field(default_factory=Crawler)


def fetch_source(
    source: Source, data: Path, work: Path, settings: FetchSettings, mini_base_url: str | None = None
) -> Path:
    """Bring one source under `data` and return its manifest; `work` holds downloads and what lets the work resume.

    The manifest is written before a source with too many missing or broken images is refused with a `UserError`.
    """
    room = work / source.name
    listing = _gather(source, data / source.folder, room, settings, mini_base_url)
    memory = room / ("hashed.jsonl" if source.images == 0 else "decoded.jsonl")
    manifest = manifest_path(data, source.name)
    counts = write_manifest(manifest, take_in(source, listing, data, memory, settings.workers))
    said = ", ".join(f"{counts[status]:,} {status}" for status in ("ok", "broken", "missing"))
    print(f"{source.name}: {said}; see {manifest}", file=sys.stderr)
    if source.kind == "urls":
        check_success_rate(source.name, listing, settings.smallest_success_rate)
        counts["missing"] -= len(listing.failures)  # dead links have a limit of their own
    _check_bad_fraction(source, counts, manifest, settings.largest_bad_fraction)
    return manifest


def _gather(source: Source, folder: Path, room: Path, settings: FetchSettings, mini_base_url: str | None) -> Listing:
    """Bring the files of a source into `folder`, in the way of its kind, and list them."""
    first = source.downloads[0]
    if source.kind == "folder":
        return link_folder(Path(first.address).expanduser(), folder)
    if source.kind == "placed":
        return placed(source, folder)
    if source.kind == "urls":
        urls = read_url_list(_obtain(source, first, room, settings, mini_base_url), mini_base_url)
        return fetch_urls(urls, folder, room, settings.crawler)
    if source.kind == "file":
        link_or_copy(_obtain(source, first, room, settings, mini_base_url), folder)
        return Listing([""])
    listing = Listing()
    for download in source.downloads:
        unpacked = _unpack_once(source, download, folder, room, settings, mini_base_url)
        listing.found += unpacked["members"]
        listing.failures |= unpacked["refused"]
        if not unpacked["members"]:
            raise UserError(f"{shown(download.address)}: none of the files that {source.name} needs are in it")
    return listing


def _unpack_once(
    source: Source, download: Download, folder: Path, room: Path, settings: FetchSettings, mini_base_url: str | None
) -> dict[str, Any]:
    """Unpack one archive unless it was and its files are all there; return its `members` and those `refused`."""
    record = room / "unpacked" / f"{download.file_name}.json"
    done = read_json(record) if record.exists() else {}
    complete = bool(done) and all(_has_size(folder / name, size) for name, size in done["members"].items())
    as_asked = [source.folder, source.strip_prefix, source.images != 0]
    if complete and done["as_asked"] == as_asked and done["removed"]:
        return dict(done)
    archive = _obtain(source, download, room, settings, mini_base_url)
    status = archive.stat()
    version = [status.st_size, status.st_mtime_ns]
    if not complete or done["as_asked"] != as_asked or done["version"] != version:
        unpacked = unpack(archive, folder, strip_prefix=source.strip_prefix, only_images=source.images != 0)
        done = {"members": unpacked.members, "refused": unpacked.refused, "as_asked": as_asked, "version": version}
    # Only what was downloaded here may be removed here.
    done["removed"] = not settings.keep_archives and not source.login and not _is_local(download)
    write_json(record, done)
    if done["removed"]:
        archive.unlink()
    return dict(done)


def _obtain(source: Source, download: Download, room: Path, settings: FetchSettings, mini_base_url: str | None) -> Path:
    """Return where a file of the source is: on this machine already, put there by a person, or downloaded now."""
    downloads = room / "downloads"
    if not _is_local(download) and not source.login:
        resolved = replace(download, address=resolve(download.address, mini_base_url))
        return fetch(
            resolved, downloads, tries=settings.tries, timeout_s=settings.timeout_s, first_wait_s=settings.first_wait_s
        )
    file = Path(download.address).expanduser() if _is_local(download) else downloads / download.file_name
    if not file.exists():
        todo = f"{source.login}; put the file there" if source.login else "correct the catalogue"
        raise UserError(f"{source.name}: {file} is not there; {todo} and run the same command again")
    if complaint := complaint_about(file, download):
        raise UserError(f"{file}: {complaint}; get the file again, or correct the catalogue")
    return file


def _is_local(download: Download) -> bool:
    return not download.address.startswith(MINI) and "://" not in download.address


def _has_size(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size == size


def _check_bad_fraction(source: Source, counts: Counter[str], manifest: Path, largest: float) -> None:
    """Raise a `UserError` when more than the share `largest` of a source's images is missing or broken."""
    listed = sum(counts.values())
    never_listed = max(0, (source.images or 0) - listed)
    bad = counts["missing"] + counts["broken"] + never_listed
    if bad > largest * (listed + never_listed):
        raise UserError(
            f"{source.name}: of {listed + never_listed:,} files {counts['broken']:,} are broken and "
            f"{counts['missing'] + never_listed:,} missing, more than the allowed {largest:.1%}; the reasons are in "
            f"{manifest}; mend the source, or allow more"
        )
