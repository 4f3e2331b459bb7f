"""What a folder that is pushed must have: a card that names a licence, and files to go with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, read_text
from sharegpt4v.sharing.card import CARD, metadata_of
from sharegpt4v.sharing.croissant import CROISSANT

MODEL_CONFIG = "config.json"


@dataclass(frozen=True)
class SharedFolder:
    """A folder to be pushed: what it is, its files with sizes in bytes, the metadata of its card, its provenance."""

    path: Path
    kind: Literal["model", "dataset"]
    files: dict[str, int]
    card: dict[str, Any]
    provenance: dict[str, Any]


def shared_folder(path: Path) -> SharedFolder:
    """Return what is to be pushed of a folder; hidden files are not.

    A `UserError` for a folder that is neither a model nor an exported data set, or has no card, or a card without a
    licence.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected a checkpoint, or what `s4v export dataset` writes")
    if (path / CROISSANT).is_file():
        kind: Literal["model", "dataset"] = "dataset"
    elif (path / MODEL_CONFIG).is_file():
        kind = "model"
    else:
        raise UserError(
            f"{path}: neither {CROISSANT} nor {MODEL_CONFIG} in it; expected an exported data set or a model"
        )
    if not (path / CARD).is_file():
        raise UserError(f"{path}: no card, {CARD}, in it; `s4v stage cards` writes those of a run's models")
    card = metadata_of(read_text(path / CARD))
    if not card.get("license"):
        raise UserError(f"{path / CARD}: names no licence; add `license:` to the metadata at its head")
    record = path / "provenance.json"
    return SharedFolder(path, kind, _files(path), card, read_json(record) if record.is_file() else {})


def _files(folder: Path) -> dict[str, int]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    kept = sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))
    return {name: (folder / name).stat().st_size for name in kept}
