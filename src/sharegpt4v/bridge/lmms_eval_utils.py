"""What lmms-eval calls for a question of ours. Written beside the task files as `utils.py`, where it runs alone.

`s4v bridge lmms-eval` copies this file, so it imports Pillow and nothing of the project. The functions are lmms-eval's:
`doc` is a row of the data set that `lmms_eval_tasks` writes.
"""

from collections.abc import Sequence
from typing import Any

from PIL import Image

Image.MAX_IMAGE_PIXELS = 100_000_000  # of what is twice as large, Pillow says why it is refused


def doc_to_visual(doc: dict[str, Any]) -> list[Image.Image]:
    """Return the image of a question, or none; a square of `doc["square"]` pixels a side where that is not 0."""
    if not doc["image"]:
        return []
    with Image.open(doc["image"]) as opened:
        image = opened.convert("RGB")
    return [centre_square(image, doc["square"]) if doc["square"] else image]


def centre_square(image: Image.Image, size: int) -> Image.Image:
    """Resize the short side to `size` pixels and cut the centre: CLIP's own way, which then leaves it as it is."""
    width, height = image.size
    short = min(width, height)
    if short != size:
        width, height = int(size * width / short), int(size * height / short)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def doc_to_messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conversation of one question: the system sentence where it is not the model's own, image, text."""
    content = [{"type": "image", "url": image} for image in doc_to_visual(doc)]
    question = {"role": "user", "content": [*content, {"type": "text", "text": doc["prompt"]}]}
    if not doc["system"]:
        return [question]
    return [{"role": "system", "content": [{"type": "text", "text": doc["system"]}]}, question]


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Return the answer with the row that it completes, for the file of samples; `s4v score` is what scores it."""
    return {"s4v": {"benchmark": doc["benchmark"], "asked": doc["asked"], "text": results[0]}}


def count(answers: Sequence[Any]) -> int:
    """Return the number of answers, which lmms-eval shows in place of a score."""
    return len(answers)
