"""One source from its address to its manifest: fetched in the way of its kind, then intake.

Each step is skipped when it is done and can be killed at any moment: the same command resumes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.catalogues.sources import Source
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.images.fetch import RETRIES, Retries
from sharegpt4v.images.findings import findings_path, write_findings
from sharegpt4v.images.intake import ingest
from sharegpt4v.images.kind import Fetching, kind_of_source
from sharegpt4v.images.listing import Listing
from sharegpt4v.images.manifest import CheckedRow, write_manifest
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
        to = Fetching(data / source.folder, work / source.name, settings, mini_base_url, retries)
        return _fetched(source, data, to)


def _fetched(source: Source, data: Path, to: Fetching) -> Path:
    settings, listing = to.settings, kind_of_source(source).fetch(source, to)
    memory = to.work / ("hashed.jsonl" if source.images == 0 else f"decoded-{settings.most_pixels}.jsonl")
    manifest = layout.manifest(source.name, data)
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


def _refuse_bad(source: Source, listing: Listing, counts: Counter[str], where: Path, settings: Sources) -> None:
    """Raise a `UserError` when more of a source's images are missing or broken than `settings.missing` allows."""
    drop = settings.missing == "drop"
    counts["missing"] -= kind_of_source(source).allowed_failures(source, listing, settings)
    listed = counts["ok"] + counts["broken"] + counts["missing"]
    never_listed = max(0, (source.images or 0) - listed)
    missing, largest = counts["missing"] + never_listed, settings.largest_bad_fraction if drop else 0.0
    if counts["broken"] + missing > largest * (listed + never_listed):
        raise UserError(
            f"{source.name}: of {listed + never_listed:,} files {counts['broken']:,} are broken and {missing:,} "
            f"missing, more than the allowed {largest:.1%}; the reasons are in {where}; fix the source, or allow more"
        )
