"""Images that are packed into shards, as files: unpacked once into a folder of ours, and found there from then on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sharegpt4v.captions.data_sets import images_in
from sharegpt4v.config.sources import Sources
from sharegpt4v.endpoint.request import image_mime
from sharegpt4v.errors import one_line
from sharegpt4v.files import read_json, write_json, writing
from sharegpt4v.image_paths import escaped
from sharegpt4v.images.archives import Damaged, unpack
from sharegpt4v.images.listing import has_image_suffix
from sharegpt4v.images.transfer import check_free
from sharegpt4v.ledger import key_of_files
from sharegpt4v.locking import WriterLock
from sharegpt4v.progress import Progress

SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp"}
FILES_PER_FOLDER = 10_000


@dataclass(frozen=True)
class Found:
    """Image files by the names of their rows, and by name why others cannot be had."""

    files: dict[str, Path] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def free_name(self, name: str, shard: Path) -> str:
        """Return a name that no row has yet: `name`, or that behind the shard's."""
        while name in self.files or name in self.errors:
            name = f"{escaped(shard.name)}/{name}"
        return name


def unpacked_once(shards: Sequence[Path], store: Path, into: Callable[[Path], Found]) -> Found:
    """Return what `into` unpacks of `shards` to a folder below `store`; a second time, what is there already.

    It is unpacked anew when a shard, by its size and date, or a file of the folder has changed.
    """
    folder = store / key_of_files(shard.resolve() for shard in shards)
    record = folder / "unpacked.json"
    with WriterLock(folder):
        if record.is_file():
            known = read_json(record)
            if all(_has_size(folder / path, size) for path, size in known["files"].values()):
                return Found({name: folder / path for name, (path, _) in known["files"].items()}, known["errors"])
        found = into(folder)
        files = {name: [file.relative_to(folder).as_posix(), file.stat().st_size] for name, file in found.files.items()}
        write_json(record, {"shards": [escaped(str(one)) for one in shards], "files": files, "errors": found.errors})
    return found


def _has_size(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def unpack_tars(shards: Sequence[Path], folder: Path, limits: Sources) -> Found:
    """Unpack the images of tar archives; rows have the names of the members.

    A name that an earlier shard has, too, goes behind the shard's. What is damaged is an error; the rest is read.
    """
    found, progress = Found(), Progress("unpack", len(shards), "shards")
    for number, shard in enumerate(shards):
        here, name = folder / f"{number:05d}", escaped(shard.name)
        try:
            unpacked = unpack(shard, here, limits=limits)
        except Damaged as error:
            unpacked = error.unpacked
            read = f"{len(unpacked.members):,} images could be read"
            found.errors[found.free_name(name, shard)] = f"ends early or is damaged ({error.reason}); {read}"
        for member in unpacked.members:
            found.files[found.free_name(member, shard)] = here / member
        for member, reason in unpacked.refused.items():
            found.errors[found.free_name(member, shard)] = reason
        progress.advance()
    return found


def write_data_set(splits: Mapping[str, Sequence[Path]], folder: Path, limits: Sources) -> Found:
    """Write the image of every row of a data set to a file; rows have the index in their split as their name."""
    found, progress = Found(), Progress("unpack", sum(map(len, splits.values())), "shards")
    for number, (split, shards) in enumerate(splits.items()):
        index, before = 0, f"{escaped(split)}/" if split else ""
        for shard in shards:
            first = index
            try:
                for content, path in images_in(shard):
                    name = f"{before}{index:09d}"
                    if content is None:
                        found.errors[name] = "a row without the bytes of an image"
                    else:
                        name += suffix_of(content, path)
                        here = folder / f"{number:03d}" / f"{index // FILES_PER_FOLDER:05d}"
                        found.files[name] = _write(content, here / PurePosixPath(name).name, limits)
                    index += 1
            except (ValueError, OSError) as error:
                read = f"{index - first:,} rows could be read, and the index of later ones continues from there"
                name = found.free_name(before + escaped(shard.name), shard)
                found.errors[name] = f"ends early or is damaged ({one_line(error)}); {read}"
            progress.advance()
    return found


def suffix_of(content: bytes, name: str) -> str:
    """Return the suffix of an image by its content; where that says nothing, that of its name, or ".img"."""
    if mime := image_mime(content):
        return SUFFIXES[mime]
    return PurePosixPath(name).suffix.lower() if has_image_suffix(name) else ".img"


def _write(content: bytes, file: Path, limits: Sources) -> Path:
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    check_free(file.parent, len(content), limits.keep_free_bytes)
    with writing(file):
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_bytes(content)
        os.replace(temporary, file)
    return file
