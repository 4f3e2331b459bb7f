"""What captioning a set of images will ask for, before anything is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.captions.captioning import GenerationSettings, prepare
from sharegpt4v.captions.folder import LEDGER
from sharegpt4v.captions.unpacked import Found
from sharegpt4v.endpoint.budget import prompt_bound
from sharegpt4v.endpoint.request import TextRequest
from sharegpt4v.ledger import read_ledger


@dataclass(frozen=True)
class Forecast:
    """Images by what becomes of them, and the most tokens that asking for the rest can take.

    Images with the same content are asked about once.
    """

    images: int
    captioned: int
    unreadable: int
    asked: int
    prompt_tokens: int | None
    completion_tokens: int

    def __str__(self) -> str:
        prompts = "" if self.prompt_tokens is None else f"{self.prompt_tokens:,} tokens of prompts and "
        return (
            f"{self.images:,} images: {self.captioned:,} captioned already, {self.unreadable:,} cannot be read, "
            f"{self.asked:,} to ask about; at most {prompts}{self.completion_tokens:,} tokens "
            "of captions"
        )


def forecast(
    model: Path | None, found: Found, settings: GenerationSettings, work: Path, image_tokens: int | None
) -> Forecast:
    """Count what `caption_folder` would ask for.

    `image_tokens` is the most that an image takes; without it the tokens of prompts are not known.
    """
    asked = prepare(model, found.files, settings)
    ledger = work / LEDGER
    known = {record["key"] for record in read_ledger(ledger)} if ledger.exists() else set()
    captioned = sum(key in known for key in asked.keys.values())
    pending = len(set(asked.keys.values()) - known)
    unreadable = len(found.errors) + len(found.files) - len(asked.keys)
    prompts = None
    if image_tokens is not None:
        prompts = pending * (prompt_bound(TextRequest("caption", settings.instruction), 0) + image_tokens)
    images = len(found.files) + len(found.errors)
    return Forecast(images, captioned, unreadable, pending, prompts, pending * settings.max_new_tokens)
