"""Captions for image files by the captioner, each in a ledger the moment it exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharegpt4v.config.generation import LOCAL, Generation
from sharegpt4v.files import sha256_of
from sharegpt4v.generation.engine import Engine, Request, model_key, open_engine
from sharegpt4v.ledger import Ledger, key_of
from sharegpt4v.progress import Progress
from sharegpt4v.provenance import hash_of


@dataclass(frozen=True)
class GenerationSettings:
    """How images are asked about: as the captioner was trained, by the engine of `generation`.

    `image_aspect_ratio` is that of the captioner's recipe, "square" or "pad"; `upright` turns images by their EXIF.
    """

    instruction: str
    max_new_tokens: int
    generation: Generation = LOCAL
    image_aspect_ratio: str = "square"
    upright: bool = False


@dataclass(frozen=True)
class Captioned:
    """An image's caption and how it ended ("stop" or "length"), or the `error` that kept it from being read."""

    sha256: str
    text: str
    finish_reason: str
    error: str | None


def caption_images(
    model: Path | None, images: Mapping[str, Path], settings: GenerationSettings, ledger_path: Path, what: str
) -> dict[str, Captioned]:
    """Caption `images` (name → file) with the checkpoint `model`, or the model that an endpoint has (None).

    Returns the captions by name.
    What the ledger holds is not asked for again, and the model is only loaded when something is left to ask. A broken
    or missing file is returned with its `error` and skipped.
    """
    model_hash = model_key(model, settings.generation, hash_of)
    hashes = {name: _hash(path) for name, path in images.items()}
    keys = {
        name: key_of(
            model_hash,
            sha256,
            settings.instruction,
            settings.max_new_tokens,
            settings.image_aspect_ratio,
            settings.upright,
        )
        for name, sha256 in hashes.items()
        if sha256
    }
    with Ledger(ledger_path) as ledger:
        pending = {key: images[name] for name, key in keys.items() if key not in ledger}
        progress = Progress(what, len(images), "images", done=len(images) - len(pending))
        if pending:
            with open_engine(model, settings.generation, ledger_path.with_suffix("")) as engine:
                _ask(engine, pending, settings, ledger, progress)
        return {
            name: _captioned(hashes[name], ledger[keys[name]])
            if name in keys
            else Captioned("", "", "stop", "the file is missing or cannot be read")
            for name in images
        }


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _ask(
    engine: Engine, pending: Mapping[str, Path], settings: GenerationSettings, ledger: Ledger, progress: Progress
) -> None:
    keys = list(pending)
    requests = [
        Request(settings.instruction, path, settings.max_new_tokens, settings.image_aspect_ratio, settings.upright)
        for path in pending.values()
    ]
    for index, answer in engine.answer(requests):
        ledger.append(keys[index], {"text": answer.text, "finish_reason": answer.finish_reason, "error": answer.error})
        progress.advance()


def _captioned(sha256: str, record: Mapping[str, Any]) -> Captioned:
    return Captioned(sha256, record["text"], record["finish_reason"], record["error"])
