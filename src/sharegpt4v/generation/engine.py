"""The protocol of a generation engine, and the registry of engines: the other files of this folder.

Captions (paper section 3.3) and answers to benchmarks (section 5.1) are asked of whatever engine is named. Decoding is
greedy: no result of the paper samples.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from sharegpt4v.catalogues.engines import ENGINES
from sharegpt4v.errors import UserError
from sharegpt4v.models import family

if TYPE_CHECKING:
    from sharegpt4v.config.generation import Generation


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
    """A model that answers. `start` starts it; leaving its block stops it.

    `errors_may_pass` says whether a request that failed may be answered when it is asked again.
    """

    errors_may_pass: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def start(cls, model: Path | None, settings: Generation, work: Path) -> Self:
        """Start the model of the folder `model`; None: the one that the settings name.

        `work` is a folder for what the engine keeps from one run to the next; it has one writer. A `UserError` when
        there is no model that can answer.
        """

    @classmethod
    def about(cls, settings: Generation) -> dict[str, Any]:
        """Return what is recorded with every result beside the model: what may decide on its bytes."""
        return {"engine": settings.engine}

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


def open_engine(model: Path | None, settings: Generation, work: Path) -> Engine:
    """Start the engine that the settings name on a model, see `Engine.start`."""
    return _kind(settings).start(model, settings, work)


def about_engine(settings: Generation) -> dict[str, Any]:
    """Return what is recorded with every result, see `Engine.about`."""
    return _kind(settings).about(settings)


def code_roots(name: str, model: Path | None) -> tuple[str, ...]:
    """Return what `code_hash.code_of` takes for an engine: its module, and that of the family of its model.

    A `UserError` lists the known engines.
    """
    return (_module(name), *([family.code_root(family.name_in(model))] if model else []))


def model_key(model: Path | None, settings: Generation, of_folder: Callable[[Path], str]) -> str:
    """Return what tells a model from others in ledgers: `of_folder` of its content, or of its name at an endpoint."""
    from sharegpt4v.ledger import key_of

    if model:
        return of_folder(model)
    return key_of("endpoint", settings.endpoint.model if settings.endpoint else None)


def _kind(settings: Generation) -> type[Engine]:
    return cast(type[Engine], importlib.import_module(f"sharegpt4v.{_module(settings.engine)}").ENGINE)


def _module(name: str) -> str:
    if name not in ENGINES:
        raise UserError(f"engine {name!r} is not known; expected one of {', '.join(ENGINES)}")
    return f"generation.{name}"


def plain(text: str) -> str:
    """Return a decoded text without the white space and the end mark around it, and without a character that a limit
    cut in two, which some engines show as U+FFFD."""
    return text.strip().removesuffix("</s>").rstrip("\ufffd").strip()


def texts(engine: Engine, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
    """Yield the texts of the answers as they exist; an answer with an error is a `UserError` that names its image."""
    for index, answer in engine.answer(requests):
        if answer.error is not None:
            image = requests[index].image
            raise UserError(f"{image if isinstance(image, Path) else 'an image in the questions'}: {answer.error}")
        yield index, answer.text
