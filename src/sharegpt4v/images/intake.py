"""The intake: every image is decoded once, before any GPU is used, and becomes a row of the manifest.

Missing and broken images are the best-known trouble with the paper's data. Here each is a row with its reason, and the
file stays where it is. Files whose size and modification time are as at the last intake are not decoded again.
"""

from __future__ import annotations

import hashlib
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from PIL import Image, UnidentifiedImageError

from sharegpt4v.catalogues.sources import Source
from sharegpt4v.errors import UserError
from sharegpt4v.files import sha256_of
from sharegpt4v.images.listing import Listing
from sharegpt4v.images.loading import MOST_PIXELS, Refused, kind_of, open_image, orientation_of, read_image_file, to_rgb
from sharegpt4v.images.manifest import CheckedRow
from sharegpt4v.ledger import Ledger, key_of
from sharegpt4v.progress import Progress

CHUNK = 64  # images per task of a worker and per line of the ledger
UNUSUAL_MODES = {
    "1": "black and white", "L": "grey", "LA": "grey with alpha", "P": "palette", "PA": "palette with alpha",
    "RGBA": "alpha", "CMYK": "CMYK", "I": "16 bits", "F": "floats",
}  # fmt: skip

NO_PIXELS: dict[str, Any] = {"width": 0, "height": 0, "mode": "", "format": "", "note": ""}

# The columns of the manifest that one look at a file fills, and the file's `mtime_ns`.
Finding = dict[str, Any]
Item = TypeVar("Item")


def ingest(
    source: Source, listing: Listing, data: Path, ledger: Path, workers: int = 1, most_pixels: int = MOST_PIXELS
) -> Iterator[CheckedRow]:
    """Yield a manifest row for every file of `listing`, in the order of the paths, decoding in `workers` processes.

    `ledger` is the file that remembers what was found. Only a few chunks of images are under way at a time, so memory
    does not grow with the images. With ``source.images == 0`` the files are hashed and not decoded. An image of more
    than `most_pixels` counts as broken.
    """
    names = sorted({*listing.found, *listing.failures})
    progress = Progress(f"intake {source.name}", len(names), "files")
    root = data / source.folder
    with _Memory(ledger) as memory, _pool(workers if len(names) > CHUNK else 1) as pool:

        def begin(chunk: list[str]) -> _Chunk:
            known = {name: _nothing("missing", listing.failures[name]) for name in chunk if name in listing.failures}
            for name in chunk:
                if name in memory and name not in known and (finding := memory.recall(name, root / name)):
                    known[name] = finding
            todo = [name for name in chunk if name not in known]
            files, decode = [root / name for name in todo], source.images != 0
            return _Chunk(chunk, known, todo, pool.submit(_look_at_all, files, decode, most_pixels) if todo else None)

        for chunk in _ahead(map(begin, _chunks(names)), 2 * workers):
            found = chunk.wait()
            memory.keep(found)
            for name in chunk.names:
                archive = listing.archives.get(name, "")
                yield _row(source, name, found.get(name) or chunk.known[name], archive)
            progress.advance(len(chunk.names))


def look_at(file: Path, decode: bool = True, most_pixels: int = MOST_PIXELS) -> Finding:
    """Hash a file and decode it completely; whatever is wrong with it becomes `status` and `reason`."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return _nothing("missing", f"{kind_of(status.st_mode)}, not a file")
        finding = _nothing("ok", "") | {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
        if not decode:
            return finding | {"sha256": sha256_of(file)}
        try:
            content = read_image_file(file, most_pixels)
        except Refused as refused:
            return finding | {"sha256": sha256_of(file), "status": "broken", "reason": str(refused)}
    except OSError as error:
        return _nothing("missing", f"no such file: {error.strerror}" if not file.exists() else str(error.strerror))
    finding["sha256"] = hashlib.sha256(content).hexdigest()
    if not content:
        return finding | {"status": "broken", "reason": "zero bytes"}
    try:
        with open_image(content, most_pixels) as image:
            image.load()  # before all else: Pillow swallows an error of the pixels in whatever else needs them
            finding |= {"mode": image.mode, "format": image.format or ""}
            finding["width"], finding["height"] = to_rgb(image).size
            finding["note"] = _note(image, file.suffix.lower())
    except UnidentifiedImageError:
        return finding | {"status": "broken", "reason": "not an image that can be read"}
    except Refused as refused:
        return finding | {"status": "broken", "reason": str(refused)}
    except MemoryError:
        raise UserError(
            f"{file}: not enough memory to decode it; take fewer workers, or move that image away"
        ) from None
    except Exception as error:  # a decoder on broken content raises nearly anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return finding | NO_PIXELS | {"status": "broken", "reason": reason}
    return finding


def _note(image: Image.Image, suffix: str) -> str:
    """Say what is unusual about an image that can be used, as `grey; EXIF orientation ignored`."""
    notes = ["16 bits"] if image.mode.startswith("I;16") else []
    if image.mode in UNUSUAL_MODES:
        notes.append(UNUSUAL_MODES[image.mode])
    if "transparency" in image.info:
        notes.append("transparent colour")
    if getattr(image, "is_animated", False):
        notes.append("animated, first frame")
    if orientation_of(image) != 1:
        notes.append("EXIF orientation ignored")
    if image.format != "MPO" and Image.registered_extensions().get(suffix, image.format) != image.format:
        notes.append(f"{image.format} named {suffix}")
    return "; ".join(notes)


def _nothing(status: str, reason: str) -> Finding:
    return {"sha256": "", "bytes": 0, **NO_PIXELS, "mtime_ns": 0, "status": status, "reason": reason}


def _row(source: Source, name: str, finding: Finding, archive: str) -> CheckedRow:
    columns = {column: finding[column] for column in CheckedRow.__annotations__ if column in finding}
    path = f"{source.folder}/{name}" if name else source.folder
    row: Any = {"path": path, "source": source.name, "archive": archive, "licence": source.licence, **columns}
    return cast(CheckedRow, row)


def _look_at_all(files: list[Path], decode: bool, most_pixels: int) -> list[Finding]:
    return [look_at(file, decode, most_pixels) for file in files]


@dataclass(frozen=True)
class _Chunk:
    """Some images in order: those `known` already, and those `todo` that a worker looks at now."""

    names: list[str]
    known: dict[str, Finding]
    todo: list[str]
    future: Future[list[Finding]] | None

    def wait(self) -> dict[str, Finding]:
        """Return what the worker found, by name."""
        try:
            return dict(zip(self.todo, self.future.result() if self.future else [], strict=True))
        except BrokenProcessPool:
            raise UserError(
                f"a worker died decoding one of {len(self.todo)} images from {self.todo[0]} to {self.todo[-1]} (out of "
                "memory?); take fewer workers or move that image away; the same command resumes from here"
            ) from None


def _pool(workers: int) -> Executor:
    # Spawned workers inherit nothing, so a server or a training library in this process cannot disturb them.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else ThreadPoolExecutor(1)


def _chunks(names: list[str]) -> Iterator[list[str]]:
    return (names[start : start + CHUNK] for start in range(0, len(names), CHUNK))


def _ahead(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield the items in order, always `count` of them begun ahead."""
    begun: deque[Item] = deque()
    for item in items:
        begun.append(item)
        if len(begun) > count:
            yield begun.popleft()
    yield from begun


class _Memory:
    """What was found at earlier intakes, by name; a chunk is a ledger line, for a line per image would cost hours."""

    def __init__(self, path: Path) -> None:
        self._ledger = Ledger(path)
        self._line_of = {name: line["key"] for line in self._ledger.records() for name in line["found"]}
        self._line: dict[str, Any] = {"key": None}

    def __contains__(self, name: str) -> bool:
        return name in self._line_of

    def recall(self, name: str, file: Path) -> Finding | None:
        """Return what was found in `file`, if it is as it was then."""
        if self._line["key"] != self._line_of[name]:
            self._line = self._ledger[self._line_of[name]]
        finding: Finding = self._line["found"][name]
        try:
            status = file.stat()
        except OSError:
            return None
        return finding if (status.st_size, status.st_mtime_ns) == (finding["bytes"], finding["mtime_ns"]) else None

    def keep(self, found: dict[str, Finding]) -> None:
        """Put what was found on disk; files that are missing are looked for again the next time."""
        there = {name: finding for name, finding in found.items() if finding["status"] != "missing"}
        if there:
            key = key_of([(name, finding["bytes"], finding["mtime_ns"]) for name, finding in there.items()])
            self._ledger.append(key, {"found": there})
            self._line_of.update(dict.fromkeys(there, key))

    def __enter__(self) -> _Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()
