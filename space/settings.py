"""What the environment says of a page: which one it is, which model it asks, and what it begins with."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

INSTRUCTION = "Analyze the image in a comprehensive and detailed manner."
"""What Share-Captioner and the captioner of a run are trained with."""

Message = Mapping[str, Any]
"""A turn of the OpenAI protocol: role and content."""


class Model(Protocol):
    """A model that is asked."""

    @property
    def name(self) -> str: ...

    def answer(self, messages: Sequence[Message], most_tokens: int) -> AsyncIterator[str]:
        """Yield the pieces of an answer of at most `most_tokens` tokens; `Refused` says why there is none."""


class Refused(Exception):
    """A question without an answer; the message is one line for the reader of the page."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class Settings:
    """A page, `chat` or `caption`; `examples` are image files to begin with."""

    page: str
    model: Model
    notice: str = ""
    instruction: str = INSTRUCTION
    examples: Sequence[str] = ()

    @classmethod
    def of_environment(cls) -> Settings:
        """Read them: S4V_PAGE, S4V_MODEL, S4V_BASE_URL, S4V_API_KEY, S4V_NOTICE, S4V_INSTRUCTION, S4V_EXAMPLES.

        Without an address the model is loaded by its id.
        """

        def read(name: str, default: str = "") -> str:
            return os.environ.get(f"S4V_{name}", "").strip() or default

        page, name, address = read("PAGE", "chat"), read("MODEL"), read("BASE_URL")
        if page not in ("chat", "caption") or not name:
            raise SystemExit(
                f"S4V_PAGE is {page!r} and S4V_MODEL {name!r}; expected chat or caption, and the name of a model"
            )
        model: Model
        notice = read("NOTICE")
        if address:
            from served_model import ServedModel

            model = ServedModel(address, name, read("API_KEY"))
        else:
            from loaded_model import LoadedModel, notice_of

            model, notice = LoadedModel(name), notice or notice_of(name)
        examples = [path for path in read("EXAMPLES").split(os.pathsep) if path]
        return cls(page, model, notice, read("INSTRUCTION", INSTRUCTION), examples)
