"""Whether the images that the corpora name are there: found, missing and corrupt, per source and per archive.

The best-known trouble with the paper's data is that nobody can tell which images lack, and in which archive they were.
Here the rows of the published JSON files are held against the manifests and the disk, before any GPU is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sharegpt4v import layout
from sharegpt4v.catalogues.sources import Source
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_csv
from sharegpt4v.image_paths import inside
from sharegpt4v.images.findings import read_reasons
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.images.manifest import ManifestRow, read_manifest
from sharegpt4v.llava_format.checks import image_of
from sharegpt4v.llava_format.reading import read_array
from sharegpt4v.progress import Progress

FOUND, MISSING, CORRUPT = "found", "missing", "corrupt"
COLUMNS = ("path", "source", "archive", "state", "why")
NO_SOURCE = "(no source)"


class Image(NamedTuple):
    """What is known of an image that a corpus names; `archive` is empty where nobody knows of one."""

    path: str
    source: str
    archive: str
    state: str
    why: str


Counts = dict[tuple[str, str], Counter[str]]
"""Images by state, for each source and archive; the archive "" is a source's images of no known archive."""


def verify(corpora: Sequence[Path], sources: Mapping[str, Source], data: Path, work: Path, out: Path) -> Counts:
    """Look up every image that `corpora` (LLaVA JSON files) name, each once; list those that lack in the CSV `out`.

    An image is found when its file is there and is as the manifest of its source says; without a manifest, being
    there is all that can be said of it. `work` is where fetching notes what it unpacked so far.
    """
    named = _named(corpora)
    archives = {name: kind_of_source(source).archives(source) for name, source in sources.items()}
    counts: Counts = {(name, archive): Counter() for name, known in archives.items() for archive in known}

    def lacking() -> Iterator[Sequence[str]]:
        yield COLUMNS
        for image in _looked_up(named, sources, data, work):
            counts.setdefault((image.source, image.archive), Counter())[image.state] += 1
            if image.state != FOUND:
                yield image

    write_csv(out, lacking())
    return {key: states for key, states in counts.items() if states or key[1]}


def lines(counts: Counts) -> Iterator[str]:
    """Yield the table of the counts: a line per source, and below it one per archive where archives are known."""
    yield f"{'':32} {FOUND:>10} {MISSING:>10} {CORRUPT:>10}"
    for name in dict.fromkeys(name for name, _ in counts):
        parts = {archive: states for (source, archive), states in counts.items() if source == name}
        total = sum(parts.values(), Counter())
        if not total:
            continue
        yield _line(name, total)
        if len(parts) > 1 or "" not in parts:
            for archive, states in sorted(parts.items(), key=lambda part: (not part[0], part[0])):
                yield _line(f"  {archive or 'of no known archive'}", states)


def _line(name: str, states: Counter[str]) -> str:
    return f"{name:32} {states[FOUND]:10,} {states[MISSING]:10,} {states[CORRUPT]:10,}"


def _named(corpora: Sequence[Path]) -> set[str]:
    """The images that are named, each once."""
    named: set[str] = set()
    for corpus in corpora:
        number = 0
        for number, row in enumerate(read_array(corpus), start=1):
            if image := image_of(row, f"{corpus}, row {number}"):
                named.add(image)
        if not number:
            raise UserError(f"{corpus}: no rows in it; expected a JSON array of LLaVA rows")
    return named


def _looked_up(named: set[str], sources: Mapping[str, Source], data: Path, work: Path) -> Iterator[Image]:
    """Yield every named image, source by source; those of a manifest in its order, then those it does not know."""
    progress = Progress("verify", len(named), "images")
    archives: dict[str, str] = {}
    for name, source in sources.items():
        if source.images == 0:
            continue
        manifest = layout.manifest(name, data)
        if not manifest.exists():
            archives |= _unpacked_so_far(source, work)
            continue
        reasons = read_reasons(manifest)
        for row in read_manifest(manifest):
            if row["path"] in named:
                named.discard(row["path"])
                progress.advance()
                yield Image(row["path"], name, row["archive"], *_state(row, reasons, data))
    folders = {source.folder: name for name, source in sources.items() if source.images != 0}
    for path in sorted(named):
        progress.advance()
        owner = next((name for folder, name in folders.items() if path.startswith(f"{folder}/")), NO_SOURCE)
        yield Image(path, owner, archives.get(path, ""), *_unlisted(path, owner, data))


def _unpacked_so_far(source: Source, work: Path) -> dict[str, str]:
    """In which archive each image was, of a source that is not wholly fetched."""
    records = sorted((work / source.name / "unpacked").glob("**/*.json"))
    members = ((record.name.removesuffix(".json"), read_json(record)["members"]) for record in records)
    return {f"{source.folder}/{name}": archive for archive, names in members for name in names}


def _state(row: ManifestRow, reasons: Mapping[str, str], data: Path) -> tuple[str, str]:
    """Say what a row of a manifest and the disk say of an image."""
    if row["status"] != "ok":
        return (MISSING if row["status"] == "missing" else CORRUPT), reasons.get(row["path"], "")
    try:
        size = inside(data, row["path"]).stat().st_size
    except OSError as error:
        return MISSING, f"no longer there: {error.strerror}"
    return (FOUND, "") if size == row["bytes"] else (CORRUPT, f"{size:,} bytes, {row['bytes']:,} when it was checked")


def _unlisted(path: str, owner: str, data: Path) -> tuple[str, str]:
    """Say what there is of an image that no manifest lists."""
    if owner == NO_SOURCE:
        return MISSING, "no source of the config has this folder"
    if not inside(data, path).is_file():
        listed = layout.manifest(owner, data).exists()
        return MISSING, "not among what the source brought" if listed else "its source was not fetched yet"
    return FOUND, ""
