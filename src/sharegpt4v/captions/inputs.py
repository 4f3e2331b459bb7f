"""What `s4v caption --images` may be: an image, a folder, a manifest, tar shards, a data set. All become files."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from sharegpt4v.captions.data_sets import arrow_files, is_data_set
from sharegpt4v.captions.unpacked import Found, unpack_tars, unpacked_once, write_data_set
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import escaped, inside
from sharegpt4v.images.folder import images_below, problem_of

TARS = (".tar", ".tar.gz", ".tgz")
EXPECTED = "expected an image, a folder of images or of .tar shards, a data set, or a manifest (.parquet)"


def find_images(images: Path, store: Path, limits: Sources) -> Found:
    """Return the image files by the names of their rows; what is packed is unpacked once, to a folder below `store`.

    A name is a path below the folder or the manifest's data/, that of a tar's member, or an index of a data set. A
    folder with image files is that of those. `UserError` when there are no images.
    """
    if images.is_file():
        found = _file(images, store, limits)
    elif images.is_dir():
        found = _folder(images, store, limits)
    else:
        raise UserError(f"{images}: no such file or folder; {EXPECTED}")
    if not found.files and not found.errors:
        raise UserError(f"{images}: no images in it; {EXPECTED}")
    return found


def is_manifest(images: Path) -> bool:
    """Say whether a path names the manifest of a source."""
    return images.suffix == ".parquet" and images.is_file() and not is_data_set(images)


def _file(file: Path, store: Path, limits: Sources) -> Found:
    if file.name.endswith(TARS):
        return _tars([file], store, limits)
    if file.suffix != ".parquet":
        return Found({escaped(file.name): file})
    return _data_set({"": [file]}, store, limits) if is_data_set(file) else manifest_files(file)


def _folder(folder: Path, store: Path, limits: Sources) -> Found:
    if splits := arrow_files(folder):
        return _data_set(splits, store, limits)
    found, packed = files_below(folder), sorted(one for one in folder.iterdir() if one.name.endswith(TARS))
    if found.files or found.errors:
        if packed:
            print(f"{folder}: has image files, so its {len(packed):,} tar shards are not read", file=sys.stderr)
        return found
    pick = packed or sorted(folder.rglob("*.parquet"))
    errors = {escaped(one.relative_to(folder).as_posix()): why for one in pick if (why := problem_of(one, folder))}
    shards = [one for one in pick if not problem_of(one, folder)]
    if shards:
        unpacked = _tars(shards, store, limits) if packed else _data_set({"": shards}, store, limits)
        return Found(unpacked.files, unpacked.errors | errors)
    return Found({}, errors)


def _tars(shards: list[Path], store: Path, limits: Sources) -> Found:
    return unpacked_once(shards, store, partial(unpack_tars, shards, limits=limits))


def _data_set(splits: dict[str, list[Path]], store: Path, limits: Sources) -> Found:
    shards = [shard for files in splits.values() for shard in files]
    return unpacked_once(shards, store, partial(write_data_set, splits, limits=limits))


def files_below(folder: Path) -> Found:
    """Return name → file of what looks like an image below a folder, and why others are not read.

    A name that is not UTF-8 cannot be written as JSON as it is: it is escaped, and so are backslashes.
    """
    found = Found()
    for name, file in images_below(folder):
        if problem := problem_of(file, folder):
            found.errors[escaped(name)] = problem
        else:
            found.files[escaped(name)] = file
    return found


def manifest_files(path: Path) -> Found:
    """Return name → file for the usable images of ``data/manifests/NAME.parquet``, and why the others are not."""
    from sharegpt4v.images.findings import read_reasons
    from sharegpt4v.images.manifest import read_manifest

    reasons, found = read_reasons(path), Found()
    for row in read_manifest(path):
        if row["status"] == "ok":
            found.files[row["path"]] = inside(path.parent.parent, row["path"])
        else:
            found.errors[row["path"]] = ": ".join(filter(None, (row["status"], reasons.get(row["path"]))))
    return found
