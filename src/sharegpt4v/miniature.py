"""The notice that everything of the miniature begins with: small models on drawn images, no numbers of the paper."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v.files import read_json

if TYPE_CHECKING:
    from sharegpt4v.config import Config

NOTICE = "Miniature: models of a million parameters on drawn images; not comparable with the paper."
RECORD = {"miniature": True}
"""What ``provenance.json`` of a checkpoint has more when the synthetic world is all that it, or its start, was trained
on."""


def is_miniature(config: Config) -> bool:
    """Whether a run draws its images instead of taking real ones."""
    return config.mini is not None


def notice_of(config: Config) -> str:
    """Return the first line of whatever a run shows; empty where its images are real."""
    return NOTICE if is_miniature(config) else ""


def begins_with_notice(config: Config, text: str) -> str:
    """Return a text that begins with the notice as a paragraph of its own; unchanged where images are real."""
    notice = notice_of(config)
    return f"{notice}\n\n{text}" if notice else text


def of_miniature(checkpoint: Path) -> bool:
    """Whether a checkpoint, or what it was trained from, was trained on drawn scenes, by its own ``provenance.json``.

    False where the folder has no such record, as those of others have none. A broken record is a `UserError`.
    """
    about = checkpoint / "provenance.json"
    return about.is_file() and bool(read_json(about).get("miniature", False))


def record_of(drawn: bool, starts: Iterable[Path]) -> dict[str, Any]:
    """Return what the provenance of a checkpoint says of the miniature: `RECORD` when its rows are drawn scenes, or a
    start of it is of the miniature; nothing else for a checkpoint that has seen real images only."""
    return dict(RECORD) if drawn or any(map(of_miniature, starts)) else {}
