"""Captions for image files by the captioner, each in a ledger the moment it exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Asked:
    """What is asked of a model: image files by name, the SHA-256 of each that can be read, and its key in a ledger.

    `model` tells the model from others (see `model_key`): the hash of a checkpoint's content.
    """

    model: str
    files: Mapping[str, Path]
    hashes: Mapping[str, str]
    keys: Mapping[str, str]


def prepare(model: Path | None, images: Mapping[str, Path], settings: GenerationSettings) -> Asked:
    """Read what asking about `images` (name → file) depends on; a file that cannot be read has neither hash nor key."""
    model_hash = model_key(model, settings.generation, hash_of)
    hashes = {name: sha256 for name, path in images.items() if (sha256 := _hash(path))}
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
    }
    return Asked(model_hash, images, hashes, keys)


def caption_images(
    model: Path | None, images: Mapping[str, Path], settings: GenerationSettings, ledger_path: Path, what: str
) -> dict[str, Captioned]:
    """Caption `images` (name → file) with the checkpoint `model`, or the model that an endpoint has (None).

    Returns the captions by name.
    What the ledger holds is not asked for again, and the model is only loaded when something is left to ask. A broken
    or missing file is returned with its `error` and skipped.
    """
    return caption_asked(model, prepare(model, images, settings), settings, ledger_path, what)


def caption_asked(
    model: Path | None, asked: Asked, settings: GenerationSettings, ledger_path: Path, what: str
) -> dict[str, Captioned]:
    """As `caption_images`, of what `prepare` has returned."""
    with Ledger(ledger_path) as ledger:
        pending = {key: asked.files[name] for name, key in asked.keys.items() if key not in ledger}
        progress = Progress(what, len(asked.files), "images", done=len(asked.files) - len(pending))
        errors: dict[str, str] = {}
        if pending:
            with open_engine(model, settings.generation, ledger_path.with_suffix("")) as engine:
                errors = _ask(engine, pending, settings, ledger, progress)
        return {name: _captioned(name, asked, ledger, errors) for name in asked.files}


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _ask(
    engine: Engine, pending: Mapping[str, Path], settings: GenerationSettings, ledger: Ledger, progress: Progress
) -> dict[str, str]:
    """Put the answers into the ledger; return by key the errors that may pass: the next run asks again."""
    errors = {}
    keys = list(pending)
    requests = [
        Request(settings.instruction, path, settings.max_new_tokens, settings.image_aspect_ratio, settings.upright)
        for path in pending.values()
    ]
    for index, answer in engine.answer(requests):
        if answer.error is not None and engine.errors_may_pass:
            errors[keys[index]] = answer.error
        else:
            kept = {"text": answer.text, "finish_reason": answer.finish_reason, "error": answer.error}
            ledger.append(keys[index], kept)
        progress.advance()
    return errors


def _captioned(name: str, asked: Asked, ledger: Ledger, errors: Mapping[str, str]) -> Captioned:
    if (key := asked.keys.get(name)) is None:
        return Captioned("", "", "stop", "the file is missing or cannot be read")
    if key in errors:
        return Captioned(asked.hashes[name], "", "stop", errors[key])
    record = ledger[key]
    return Captioned(asked.hashes[name], record["text"], record["finish_reason"], record["error"])
