"""What a person should know about the images of a source, beside its manifest in ``data/manifests/NAME.csv``.

A line for each image that is missing or broken, is repaired whenever it is read (see `loading`; no file is changed), or
has the same content as another. The manifest holds the same for programs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sharegpt4v.files import write_csv
from sharegpt4v.images.manifest import read_hashes, read_manifest

COLUMNS = ("path", "finding", "why")
DIGITS = 16  # of a hash, enough to find what may be equal among millions


def findings_path(manifest: Path) -> Path:
    """Where the list of findings of a manifest stands."""
    return manifest.with_suffix(".csv")


def write_findings(manifest: Path) -> Counter[str]:
    """Write the list beside `manifest`, as a stream in the order of paths; return how many are repaired, and how many
    duplicate an image before them."""
    counts: Counter[str] = Counter()

    def lines() -> Iterator[Sequence[str]]:
        yield COLUMNS
        for path, finding, why in _findings(manifest):
            counts[finding] += finding in ("repaired", "duplicate")
            yield path, finding, why

    write_csv(findings_path(manifest), lines())
    return +counts


def _findings(manifest: Path) -> Iterator[tuple[str, str, str]]:
    repeated = _repeated(manifest)
    first: dict[str, str] = {}
    for row in read_manifest(manifest):
        if row["status"] != "ok":
            yield row["path"], row["status"], row["reason"]
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
