"""The processor of a checkpoint of any family: its image processor and its tokenizer, and what bounds an image.

Images are prepared by Pillow, whose pixels are the same everywhere, also where torchvision is installed. Videos are
no concern of this project, and transformers needs torchvision for them: their settings are kept, and saved again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.models.loading import load_part, refused_in_one_line

TOKENS = 576  # of an image, as LLaVA-1.5 has them (paper section 4.1)
MOST_TOKENS = 2048  # Qwen's own limit is 16,384, more than a row of training holds
PARTS = {"image_processor", "tokenizer", "video_processor"}


class VideoSettings(dict[str, Any]):
    """What a checkpoint says of videos, in the place of a video processor."""

    _auto_class = None  # transformers asks for it when it saves


def load_processor(folder: Path) -> Any:
    """Load the processor in `folder`, of the class that transformers has for the `model_type` of its config.json.

    Its tokenizer can render and encode alone: it gets the chat template and the mark of an image. `UserError` when
    there is none, or it takes what is neither text, image nor video.
    """
    import transformers
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.models.auto import processing_auto

    names: dict[str, str | None] = vars(processing_auto)["PROCESSOR_MAPPING_NAMES"]
    config = read_json(folder / "config.json")
    kind = getattr(transformers, names.get(config["model_type"]) or "", None)
    if kind is None or not {"image_processor", "tokenizer"} <= set(kind.get_attributes()) <= PARTS:
        raise UserError(f"{folder}: its model_type {config['model_type']!r} has no processor of images and texts")
    parts = {
        "image_processor": load_part(AutoImageProcessor, folder, backend="pil"),
        "tokenizer": load_part(AutoTokenizer, folder),
        "video_processor": VideoSettings(_video_settings(folder)),
    }
    _bound(parts["image_processor"])
    with refused_in_one_line(folder):
        settings, _ = kind.get_processor_dict(folder, local_files_only=True)
        processor = _without_video(kind).from_args_and_dict([parts[name] for name in kind.get_attributes()], settings)
    tokenizer = processor.tokenizer
    tokenizer.chat_template = processor.chat_template or tokenizer.chat_template
    if not tokenizer.chat_template or not getattr(processor, "image_token", None):
        raise UserError(f"{folder}: no chat template, or no mark of an image; expected a model that was tuned to chat")
    tokenizer.image_token = processor.image_token
    return processor


def _without_video(kind: Any) -> Any:
    """Return a processor class that takes `VideoSettings` for a video processor."""

    def check(self: Any, name: str, part: Any) -> Any:
        return None if isinstance(part, VideoSettings) else kind.check_argument_for_proper_class(self, name, part)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check, "__doc__": kind.__doc__})


def _video_settings(folder: Path) -> dict[str, Any]:
    """Return what transformers would make a video processor of, from the first of the files that it looks into."""
    for name in ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json"):
        found = read_json(folder / name) if (folder / name).is_file() else {}
        found = found.get("video_processor", {}) if name.startswith("processor") else found
        if found:
            return dict(found)
    return {}


def set_most_pixels(folder: Path, pixels: int) -> None:
    """Bound the images of the checkpoint in `folder` to `pixels`, in its settings.

    `UserError` where images are of tiles or of one size, and for more tokens than a row of training holds.
    """
    processor = load_processor(folder)
    images = processor.image_processor
    if not _of_any_size(images):
        raise UserError(f"{folder}: most_pixels is for Qwen's images of any size; {type(images).__name__} has none")
    most = MOST_TOKENS * _pixels_of_token(images)
    if not _pixels_of_token(images) <= pixels <= most:
        raise UserError(f"{folder}: most_pixels is {pixels:,}; expected one to {MOST_TOKENS:,} tokens, {most:,} pixels")
    _set_most(images, pixels)
    processor.save_pretrained(folder)


def _bound(image_processor: Any) -> None:
    """Bound the pixels of an image of Qwen's to `TOKENS` tokens, unless the checkpoint says less than `MOST_TOKENS`."""
    if _of_any_size(image_processor):
        token = _pixels_of_token(image_processor)
        if image_processor.size["longest_edge"] > MOST_TOKENS * token:
            _set_most(image_processor, TOKENS * token)


def _of_any_size(image_processor: Any) -> bool:
    return type(image_processor).__name__.startswith("Qwen2VL")


def _pixels_of_token(image_processor: Any) -> int:
    return int((image_processor.patch_size * image_processor.merge_size) ** 2)


def _set_most(image_processor: Any, pixels: int) -> None:
    """Set the bound, `size.longest_edge` (pixels of an image in spite of its name); it is saved with the checkpoint."""
    least = min(image_processor.size["shortest_edge"], pixels)
    image_processor.size = type(image_processor.size)(shortest_edge=least, longest_edge=pixels)
