"""What tests of the seed captions share: a teacher, its images, and the stage on them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chats import chat_settings
from conftest import PROJECT
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.prompts import PromptBook
from sharegpt4v.endpoint.request import prompt_hash
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.mini.endpoint_faults import Fault
from sharegpt4v.seed_captions.stage import SeedImage, seed_captions

PROMPTS = PROJECT / "config" / "prompts" / "teacher"
Order = Callable[[int, bytes | None, str], Fault | None]
SENTENCE = "A red circle stands to the left of a tall blue square on a green ground, and a small sign says {}."


def describe(image: bytes | None, prompt: str) -> str:
    """A good caption that tells which image and prompt came over the wire."""
    return SENTENCE.format(f"{hashlib.sha256(image or b'').hexdigest()[:20]} {prompt_hash(prompt)}")


def make_images(data: Path, count: int, source: str = "coco") -> list[SeedImage]:
    (data / source).mkdir(parents=True, exist_ok=True)
    images = []
    for number in range(count):
        content = b"\xff\xd8\xff" + f"{source} {number}".encode()
        path = f"{source}/{number:012d}.jpg"
        (data / path).write_bytes(content)
        images.append(SeedImage(path, source, hashlib.sha256(content).hexdigest()))
    return images


def settings_for(url: str, **changes: object) -> ChatSettings:
    return chat_settings(url, "mini", **{"concurrency": 4, "back_off_seconds": 0.001, "attempts": 3, **changes})


def run_stage(folder: Path, images: list[SeedImage], settings: ChatSettings, **changes: object) -> Any:
    options: dict[str, Any] = {"seed": 0, "aesthetic_fraction": 0.5, "rejected_limit": 0.0, **changes}
    quality = Quality(largest_rejected_fraction=options.pop("rejected_limit"))
    return seed_captions(
        images,
        folder / "data",
        folder / "seed.json",
        folder / "work",
        PromptBook.load(PROMPTS),
        settings,
        quality,
        **options,
    )


def first_tries_fail(fault: Fault, times: int = 1) -> Order:
    """Order the fault for the first tries of every image."""
    seen: Counter[bytes | None] = Counter()

    def order(number: int, image: bytes | None, prompt: str) -> Fault | None:
        seen[image] += 1
        return fault if seen[image] <= times else None

    return order


GOOD = (
    "The image shows a red double-decker bus in front of a brick building. To the left of the bus stand two people, "
    "one of whom wears a green coat; to the right there is a lamp post with a small white sign that reads 'Stop'. The "
    "sky above the roofs is grey, and wet patches on the road reflect the lights of the bus."
)
