"""Importing a published checkpoint: from the layout of its authors to that of this project (paper sections 4.1, 5.3).

Its config.json says which family reads it. That file is read as JSON: `model_type` may be unknown to transformers, or
mean another class there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sharegpt4v.config.base_models import Published
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, sha256_of, write_json
from sharegpt4v.folders import new_folder, refuse_other_folder
from sharegpt4v.miniature import record_of
from sharegpt4v.models.downloads import SETTINGS, WEIGHTS, folder_of, pinned
from sharegpt4v.models.family import AUTO, FAMILIES, Family, family_named, name_in
from sharegpt4v.models.loading import check_settings
from sharegpt4v.provenance import code_version


def import_checkpoint(
    published: Published, out: Path, expected: str | None = None, most_pixels: int | None = None
) -> None:
    """Write a checkpoint of Hugging Face, or in a folder, to `out` as this project saves its own.

    `provenance.json` there names it, its commit and the SHA-256 of its files, and the same of others that it names,
    such as its vision tower. `most_pixels` bounds the images of a model that takes any size. A `UserError` when it
    cannot be had, is not what its config says, or not of the family `expected`.
    """
    refuse_other_folder(out)
    read: dict[str, dict[str, Any]] = {}

    def find(id: str) -> Path:
        """A checkpoint that another names: in the folder beside that of the same name, by its path, or downloaded."""
        beside = folder.parent / Path(id).name
        named = Published(id=str(beside)) if beside.is_dir() else pinned(Published(id=id))
        found = folder_of(named)
        read[id] = {"revision": named.revision, "files": _hashes(found)}
        return found

    whole = pinned(published)
    folder = folder_of(whole)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json; expected the folder of a published checkpoint")
    family = _family(folder)
    with new_folder(out) as unfinished:
        if family:
            family.import_original(folder, unfinished, find)
        else:
            _copy(folder, unfinished)
        if expected and (name := name_in(unfinished)) != expected:
            raise UserError(f"{whole.id}: a checkpoint of the family {name}; the config says {expected}")
        if most_pixels:
            _bound_images(unfinished, most_pixels)
        read[whole.id] = {"revision": whole.revision, "files": _hashes(folder)}
        about = {
            "stage": "import",
            "id": whole.id,
            "most_pixels": most_pixels,
            **code_version(__name__),
            "checkpoints": dict(sorted(read.items())),
            **record_of(False, [folder]),
        }
        write_json(unfinished / "provenance.json", about)


def _family(folder: Path) -> Family | None:
    """Return the family that knows the layout of a checkpoint; None for one that is a checkpoint as it is."""
    settings = read_json(folder / "config.json")
    if isinstance(settings, dict):
        for name in FAMILIES:
            if (family := family_named(name)).recognises(settings):
                return family
    name_in(folder)
    return None


def _bound_images(folder: Path, most_pixels: int) -> None:
    from sharegpt4v.models.auto_processor import set_most_pixels

    if name_in(folder) != AUTO:
        raise UserError(f"{folder}: most_pixels is for models that take images of any size; its images have one size")
    set_most_pixels(folder, most_pixels)


def _copy(folder: Path, out: Path) -> None:
    """A checkpoint that its family loads as it is."""
    check_settings(folder)
    for file in _files(folder):
        shutil.copyfile(file, out / file.name)


def _hashes(folder: Path) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in _files(folder)}


def _files(folder: Path) -> list[Path]:
    """The files of a checkpoint: settings, vocabularies, weights."""
    return sorted({file for pattern in (*SETTINGS, *WEIGHTS) for file in folder.glob(pattern) if file.is_file()})
