"""One source from its address to its manifest: download, unpack, intake.

Each step is skipped when it is done and can be killed at any moment: the same command goes on where it stopped.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.sources import CRAWLED, Source
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.image_paths import safe_name
from sharegpt4v.images.archives import Damaged, unpack
from sharegpt4v.images.fetch import RETRIES, Retries, metadata_path
from sharegpt4v.images.findings import findings_path, write_findings
from sharegpt4v.images.folder import link_folder, placed
from sharegpt4v.images.intake import ingest
from sharegpt4v.images.listing import Listing, has_image_suffix, link_or_copy
from sharegpt4v.images.manifest import CheckedRow, manifest_path, write_manifest
from sharegpt4v.images.obtain import File, files_of
from sharegpt4v.images.urls import check_success_rate, fetch_urls, read_ocr_vqa, read_url_list
from sharegpt4v.locking import WriterLock


def fetch_source(
    source: Source,
    data: Path,
    work: Path,
    settings: Sources,
    mini_base_url: str | None = None,
    retries: Retries = RETRIES,
) -> Path:
    """Bring one source under `data` and return its manifest; `work` holds downloads and what lets the work resume.

    The manifest, and the list of findings beside it, are written before a source with too many missing or broken images
    is refused with a `UserError`. One process at a time fetches a source; another one's `UserError` says which.
    """
    with WriterLock(work / source.name):
        return _fetched(source, data, work / source.name, settings, mini_base_url, retries)


def _fetched(
    source: Source, data: Path, work: Path, settings: Sources, mini_base_url: str | None, retries: Retries
) -> Path:
    listing = _gather(source, data / source.folder, work, settings, mini_base_url, retries)
    memory = work / ("hashed.jsonl" if source.images == 0 else f"decoded-{settings.most_pixels}.jsonl")
    manifest = manifest_path(data, source.name)
    reasons: dict[str, str] = {}
    rows = ingest(source, listing, data, memory, settings.workers, settings.most_pixels)
    counts = write_manifest(manifest, _noting(rows, reasons))
    counts += write_findings(manifest, reasons)
    said = ", ".join(f"{counts[what]:,} {what}" for what in ("ok", "broken", "missing", "repaired", "duplicate"))
    print(f"{source.name}: {said}; see {findings_path(manifest)}", file=sys.stderr)
    if settings.missing != "report":
        _refuse_bad(source, listing, counts, findings_path(manifest), settings)
    return manifest


def _noting(rows: Iterable[CheckedRow], reasons: dict[str, str]) -> Iterator[CheckedRow]:
    """Pass the rows on, and note by path why some are not "ok"."""
    for row in rows:
        if row["reason"]:
            reasons[row["path"]] = row["reason"]
        yield row


def _gather(
    source: Source, folder: Path, work: Path, settings: Sources, mini_base_url: str | None, retries: Retries
) -> Listing:
    """Bring the files of a source into `folder`, in the way of its kind, and list them."""
    first = source.downloads[0]
    if source.kind == "folder":
        return link_folder(Path(first.address).expanduser(), folder)
    if source.kind == "placed":
        return placed(source, folder)
    files = files_of(source, work, settings, retries, mini_base_url)
    if source.kind in CRAWLED:
        listed = next(files).obtain()
        urls = read_ocr_vqa(listed) if source.kind == "ocr-vqa" else read_url_list(listed, mini_base_url)
        return fetch_urls(urls, folder, work, settings, mini_base_url)
    if source.kind == "file":
        link_or_copy(next(files).obtain(), folder)
        return Listing([""])
    listing = Listing()
    for file in files:
        if has_image_suffix(file.name):  # of a folder on Drive
            name = safe_name(file.name)
            link_or_copy(file.obtain(), folder / name)
            listing.found.append(name)
        else:
            _add(listing, file.name, _unpack_once(source, file, folder, work, settings))
    return listing


def _add(listing: Listing, archive: str, unpacked: dict[str, Any]) -> None:
    """List what came out of an archive; what damage it has is a failure under its own name."""
    listing.found += unpacked["members"]
    listing.failures |= unpacked["refused"]
    if unpacked["damage"]:
        listing.failures[archive] = unpacked["damage"]
    listing.archives |= dict.fromkeys([archive, *unpacked["members"], *unpacked["refused"]], archive)


def _unpack_once(source: Source, file: File, folder: Path, work: Path, settings: Sources) -> dict[str, Any]:
    """Unpack one archive unless it was and its files are all there; return its `members`, those `refused`, its
    `damage`."""
    record = work / "unpacked" / f"{file.name}.json"
    done = read_json(record) if record.exists() else {}
    as_asked = [source.folder, source.strip_prefix, source.images != 0]
    complete = bool(done) and all(_has_size(folder / name, size) for name, size in done["members"].items())
    complete = complete and done["as_asked"] == as_asked
    if complete and done["removed"]:
        return dict(done)
    archive = file.obtain()
    status = archive.stat()
    version = [status.st_size, status.st_mtime_ns]
    if not complete or done["version"] != version:
        done = {"as_asked": as_asked, "version": version, "damage": ""}
        try:
            only_images = source.images != 0
            unpacked = unpack(
                archive, folder, strip_prefix=source.strip_prefix, only_images=only_images, limits=settings
            )
        except Damaged as error:
            # Where it is known how many images there should be, those that damage takes count as missing.
            counted = settings.missing == "drop" and source.images and error.unpacked.members
            if not counted and settings.missing != "report":
                raise
            unpacked, done["damage"] = error.unpacked, str(error)
        done |= {"members": unpacked.members, "refused": unpacked.refused}
    if not done["members"] and not done["damage"]:
        raise UserError(f"{archive}: none of the files that {source.name} needs are in it")
    # Only what was downloaded here may be removed here, and damage may be mended by another copy.
    ours = archive.is_relative_to(work) and metadata_path(archive).exists()
    done["removed"] = ours and not settings.keep_archives and not done["damage"]
    write_json(record, done)
    if done["removed"]:
        archive.unlink()
    return dict(done)


def _has_size(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size == size


def _refuse_bad(source: Source, listing: Listing, counts: Counter[str], where: Path, settings: Sources) -> None:
    """Raise a `UserError` when more of a source's images are missing or broken than `settings.missing` allows."""
    drop = settings.missing == "drop"
    if source.kind in CRAWLED:
        check_success_rate(source.name, listing, settings.smallest_success_rate if drop else 1.0)
        counts["missing"] -= len(listing.failures)  # dead links have a limit of their own
    listed = counts["ok"] + counts["broken"] + counts["missing"]
    never_listed = max(0, (source.images or 0) - listed)
    missing, largest = counts["missing"] + never_listed, settings.largest_bad_fraction if drop else 0.0
    if counts["broken"] + missing > largest * (listed + never_listed):
        raise UserError(
            f"{source.name}: of {listed + never_listed:,} files {counts['broken']:,} are broken and {missing:,} "
            f"missing, more than the allowed {largest:.1%}; the reasons are in {where}; mend the source, or allow more"
        )
