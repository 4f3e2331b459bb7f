"""The protocol of a generation engine, and the registry of engines: the other files of this folder.

Captions (paper section 3.3) and answers to benchmarks (section 5.1) are asked of whatever engine is named. Decoding is
greedy: no result of the paper samples.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from sharegpt4v.code_hash import names_in
from sharegpt4v.errors import UserError
from sharegpt4v.models import family

DEFAULT = "local"
ENGINES = tuple(name for name in names_in("generation") if name != "engine")


@dataclass(frozen=True)
class Request:
    """One question, about an image (a file, or its bytes) or about none; at most `max_new_tokens` are answered.

    `system` is what the conversation begins with, None for what the model was trained with. `image_aspect_ratio` is
    "square" or "pad", see `sharegpt4v.models.pixels`; `upright` turns the image by its EXIF data.
    """

    question: str
    image: Path | bytes | None
    max_new_tokens: int
    image_aspect_ratio: str = "pad"
    upright: bool = False
    system: str | None = None


@dataclass(frozen=True)
class Answer:
    """The text, and whether the model ended it ("stop") or the token limit did ("length").

    Special tokens and the white space around a text are left out. An image that cannot be decoded gives an empty text
    and the `error`.
    """

    text: str
    finish_reason: str
    error: str | None = None


class Engine(ABC):
    """A model that answers. Making one starts it; leaving its block stops it."""

    @abstractmethod
    def __init__(self, model: Path, batch_size: int) -> None:
        """Start the model of the folder `model`, to answer `batch_size` requests at a time.

        A `UserError` when there is none that can answer.
        """

    @abstractmethod
    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield the index of every request once with its answer, in any order, each as soon as it exists.

        What is wrong with one request is the `error` of its answer; what stops all is a `UserError`.
        """

    def stop(self) -> None:  # noqa: B027
        """Stop what the engine started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def open_engine(name: str, model: Path, batch_size: int) -> Engine:
    """Start the engine `name` on a model."""
    kind = cast(type[Engine], importlib.import_module(f"sharegpt4v.{_module(name)}").ENGINE)
    return kind(model, batch_size)


def code_roots(name: str, model: Path) -> tuple[str, str]:
    """Return what `code_hash.code_of` takes for an engine: its module, and that of the family of its model.

    A `UserError` lists the known engines.
    """
    return _module(name), family.code_root(family.name_in(model))


def _module(name: str) -> str:
    if name not in ENGINES:
        raise UserError(f"engine {name!r} is not known; expected one of {', '.join(ENGINES)}")
    return f"generation.{name}"


def texts(engine: Engine, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
    """Yield the texts of the answers as they exist; an answer with an error is a `UserError` that names its image."""
    for index, answer in engine.answer(requests):
        if answer.error is not None:
            image = requests[index].image
            raise UserError(f"{image if isinstance(image, Path) else 'an image in the questions'}: {answer.error}")
        yield index, answer.text
