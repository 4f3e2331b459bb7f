"""Rounds of questions and answers as messages of the OpenAI protocol, and as the page shows them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

Rounds = Sequence[tuple[str, str]]


def messages(rounds: Rounds, question: str, image: str | None) -> list[dict[str, Any]]:
    """Return a conversation with one more question; the image, a data URL, is part of the first one."""
    said = [text for one in rounds for text in one] + [question]
    turns: list[dict[str, Any]] = [
        {"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)
    ]
    if image:
        turns[0]["content"] = [
            {"type": "image_url", "image_url": {"url": image}},
            {"type": "text", "text": turns[0]["content"]},
        ]
    return turns


def shown(rounds: Rounds) -> list[dict[str, str]]:
    """Return the rounds as a chat shows them, which takes texts for HTML; an answer that has not begun is left out."""
    return [
        {"role": role, "content": html.escape(text, quote=False)}
        for one in rounds
        for role, text in zip(("user", "assistant"), one, strict=True)
        if text
    ]
