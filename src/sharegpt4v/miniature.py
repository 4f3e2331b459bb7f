"""The notice that everything made by the miniature begins with: small models on drawn images, no numbers of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharegpt4v.config import Config

NOTICE = "Miniature: half-million-parameter models on drawn images; not comparable with the paper."


def is_miniature(config: Config) -> bool:
    """Whether a run draws its images instead of taking real ones."""
    return config.mini is not None


def notice_of(config: Config) -> str:
    """Return the first line of whatever a run shows; empty where its images are real."""
    return NOTICE if is_miniature(config) else ""
