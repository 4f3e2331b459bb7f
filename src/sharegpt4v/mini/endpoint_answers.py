"""Replies of the mini preset's teacher: the whole truth about an image of the synthetic world (paper section 3.2).

It knows pictures by their hash, as the stand-in for a strong vision model. Now and then it refuses or repeats its
orders, as such models do, so that the quality gate has work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from sharegpt4v.files import read_jsonl
from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.scene import Scene

ONE_IN = 200  # replies is a refusal, and as many are echoes
REFUSAL = "I'm sorry, but I can't help with this image."
ECHO = "As requested, the description has no imaginary content. "
UNKNOWN = "The image shows a photograph that is not part of the drawn world."
NO_IMAGE = "There is no image to describe."


def describe_by_hash(scenes: Path) -> Callable[[bytes | None, str], str]:
    """Read the world's file of scenes, and return the function from image bytes and prompt to reply.

    The reply to one image is always the same, whatever the prompt.
    """
    known = {row["sha256"]: row["scene"] for row in read_jsonl(scenes)}

    def answer(image: bytes | None, prompt: str) -> str:
        if image is None:
            return NO_IMAGE
        digest = hashlib.sha256(image).hexdigest()
        if digest not in known:
            return UNKNOWN
        text = caption(Scene.from_json(known[digest]))
        whim = int(digest[:8], 16) % ONE_IN
        return REFUSAL if whim == 0 else ECHO + text if whim == 1 else text

    return answer
