"""The types of a benchmark that a judge grades, beside those of `base`: messages to the judge, and its replies.

Such a module turns answers into messages, says under which rules they are asked, and makes a score of the replies. The
judge itself is asked in `judging`; a score is made of recorded replies alone, without any network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sharegpt4v.evaluation.base import Answer, Question, Score
from sharegpt4v.evaluation.joining import Joined

Replies = Sequence[Sequence[Sequence[str]]]
"""Per question and run, the judge's replies in the order they were asked for."""


@dataclass(frozen=True)
class Try:
    """One time of asking: `closing` is put after the message."""

    temperature: float
    closing: str = ""


@dataclass(frozen=True)
class JudgeRules:
    """How a judge is asked: as often as `tries` says, until a reply can be read."""

    system: str | None
    max_tokens: int
    tries: tuple[Try, ...]


@dataclass(frozen=True)
class JudgePrompt:
    """The official text that messages are made with, and its SHA-256 where it was published."""

    text: str
    published_sha256: str

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text at hand."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def official(self) -> bool:
        """Whether the text is the published one."""
        return self.sha256 == self.published_sha256


class JudgedModule(Protocol):
    """The parts of a module whose benchmark a judge grades."""

    RULES: JudgeRules

    def questions(self, data: Path) -> list[Question]:
        """Read the questions in their official order."""

    def judge_prompt(self, data: Path) -> JudgePrompt:
        """Read the text that messages are made with."""

    def joined(self, data: Path, answers: Sequence[Answer]) -> Joined[Any]:
        """Join answers to the questions."""

    def messages(self, data: Path, answers: Sequence[Answer]) -> dict[int | str, str]:
        """Return the message to the judge for each question, in their order."""

    def readable(self, reply: str) -> bool:
        """Say whether a verdict can be read from a reply."""

    def recorded(self, names: Sequence[int | str], replies: Replies) -> Any:
        """Return replies in the form of the replies file."""

    def read_replies(self, path: Path) -> Any:
        """Read a replies file."""

    def score(self, data: Path, answers: Sequence[Answer], replies: Any) -> Score:
        """Score answers by what a replies file holds."""
