"""Questions to an endpoint, quick settings to ask them with, and what the files afterwards say was spent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import settings

from chats import chat_settings
from harness import CASES, Outcomes, many_cases
from sharegpt4v.endpoint.account import reservations_path
from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.request import TextRequest
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.files import read_jsonl
from sharegpt4v.ledger import Ledger

MAX_TOKENS = 40
FRAME = 7 + 3  # tokens around one message, as OpenAI counts them
many_runs = settings(many_cases, max_examples=max(1, CASES // 2))
"""Decorates a test each case of which asks twice or more: in the second run, with what the first one has left."""
KEY_VARIABLE, KEY = "FAULTS_TEST_KEY", "sk-faults/0123456789abcdef"


def questions(count: int) -> list[TextRequest]:
    return [TextRequest(f"question {number}", f"What is {number}? 几何") for number in range(count)]


def quick(url: str, **changes: Any) -> ChatSettings:
    """Settings under which all waits are short."""
    values: dict[str, Any] = {
        "max_tokens": MAX_TOKENS,
        "attempts": 2,
        "back_off_seconds": 0.0001,
        "longest_wait_seconds": 0.002,
        "poll_seconds": 0.002,
    }
    return chat_settings(url, "mini", **values | changes)


def run(
    requests: Sequence[TextRequest], settings: ChatSettings, path: Path, outcomes: Outcomes | None = None
) -> dict[str, str] | None:
    """Ask; return what was skipped and why, or None when the run was stopped by one line."""

    def once() -> dict[str, str]:
        with Ledger(path) as ledger:
            return asyncio.run(ask(requests, settings, ledger))

    return (Outcomes() if outcomes is None else outcomes).of(once)


def clear(path: Path) -> None:
    """Take away a ledger and all that belongs to it."""
    for file in (path, reservations_path(path), *path.with_suffix(".batches").glob("*")):
        file.unlink(missing_ok=True)


def most(request: TextRequest, settings: ChatSettings) -> tuple[int, int]:
    """What an endpoint can bill at most for a question without an image: a token per byte, and the longest reply."""
    return len(request.prompt.encode()) + FRAME, settings.max_tokens


def counted(path: Path, settings: ChatSettings) -> Fraction:
    """What ledger and reservations say was spent, in US dollars, by an own reading."""
    assert settings.endpoint.budget
    replies = {row["key"]: row for row in read_jsonl(path)}
    sent = {row["key"]: row for row in read_jsonl(reservations_path(path))}
    for reply in replies.values():
        sent.pop(reply.get("reservation"), None)
    rows = (*replies.values(), *sent.values())
    costs = (usd(row["prompt_tokens"], row["completion_tokens"], settings, "batch" in row) for row in rows)
    return sum(costs, start=Fraction(0))


def usd(prompt: int, completion: int, settings: ChatSettings, batch: bool) -> Fraction:
    budget = settings.endpoint.budget
    assert budget
    price = Fraction(budget.prompt_usd_per_million) * prompt + Fraction(budget.completion_usd_per_million) * completion
    return price / 10**6 * (Fraction(settings.batch_factor) if batch else 1)


def about_equal(one: Fraction, other: Fraction) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
