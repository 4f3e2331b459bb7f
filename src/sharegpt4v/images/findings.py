"""What a person should know about the images of a source, beside its manifest in ``data/manifests/NAME.csv``.

A line for each image that is missing or broken, is repaired whenever it is read (see `loading`; no file is changed), or
has the same content as another. Why an image is missing is told in the words of the machine and the moment, so this
list is no part of what is recorded of a run (see ``.dvcignore``): the manifest holds the same without the reasons.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sharegpt4v.files import write_csv
from sharegpt4v.images.manifest import read_hashes, read_manifest

COLUMNS = ("path", "finding", "why")
DIGITS = 16  # of a hash, enough to find what may be equal among millions


def findings_path(manifest: Path) -> Path:
    """The path of the list of findings of a manifest."""
    return manifest.with_suffix(".csv")


def write_findings(manifest: Path, reasons: Mapping[str, str]) -> Counter[str]:
    """Write the list beside `manifest`, as a stream in the order of paths; return how many are repaired, and how many
    duplicate an image before them. `reasons` says by path why an image is missing or broken."""
    counts: Counter[str] = Counter()

    def lines() -> Iterator[Sequence[str]]:
        yield COLUMNS
        for path, finding, why in _findings(manifest, reasons):
            counts[finding] += finding in ("repaired", "duplicate")
            yield path, finding, why

    write_csv(findings_path(manifest), lines())
    return +counts


def read_bad(manifest: Path) -> Iterator[tuple[str, str]]:
    """Yield path and reason of the images that are missing or broken, without making rows of the others.

    The reason is the status alone where there is no list, as after a pull without images.
    """
    import pyarrow.parquet as pq

    reasons = read_reasons(manifest)
    table = pq.read_table(manifest, columns=["path", "status"], filters=[("status", "!=", "ok")])
    for row in table.to_pylist():
        yield row["path"], reasons.get(row["path"]) or row["status"]


def read_reasons(manifest: Path) -> dict[str, str]:
    """Return by path why images are missing or broken, as the list beside `manifest` says; nothing without a list."""
    try:
        with open(findings_path(manifest), encoding="utf-8", newline="") as file:
            return {row["path"]: row["why"] for row in csv.DictReader(file) if row["finding"] in ("missing", "broken")}
    except FileNotFoundError:
        return {}


def _findings(manifest: Path, reasons: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    repeated = _repeated(manifest)
    first: dict[str, str] = {}
    for row in read_manifest(manifest):
        if row["status"] != "ok":
            yield row["path"], row["status"], reasons.get(row["path"], "")
            continue
        if row["note"]:
            yield row["path"], "repaired", row["note"]
        if _beginning(row["sha256"]) in repeated:
            before = first.setdefault(row["sha256"], row["path"])
            if before != row["path"]:
                yield row["path"], "duplicate", f"same content as {before}"


def _beginning(sha256: str) -> int:
    return int(sha256[:DIGITS], 16)


def _repeated(manifest: Path) -> set[int]:
    """The beginnings of hashes that several images have; eight bytes an image are held for it, not its row."""
    import numpy as np

    beginnings = np.sort(np.fromiter(map(_beginning, read_hashes(manifest)), np.uint64))
    return set(beginnings[1:][beginnings[1:] == beginnings[:-1]].tolist())
