"""A model in two lines of Python, for notebooks and scripts: questions about images, captions, conversations.

    from sharegpt4v import load

    model = load("checkpoints/sharegpt4v-7b")
    print(model.ask("photograph.jpg", "What is unusual about this image?"))

Answers are greedy and asked for with the prompt that the model was trained with, as those of `s4v caption` (paper §3.3)
and `s4v answer` (§5.1).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL import Image

from sharegpt4v.captions.rows import read_instruction
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Request
from sharegpt4v.images.loading import to_rgb
from sharegpt4v.miniature import NOTICE, of_miniature
from sharegpt4v.progress import Progress
from sharegpt4v.project import of_project

if TYPE_CHECKING:
    from numpy.typing import NDArray

    AnyImage: TypeAlias = Path | str | bytes | Image.Image | NDArray[Any]
    """A file, the bytes of one, a PIL image, or an array of 8 bits: (height, width), or with 3 or 4 channels."""

INSTRUCTION = Path("config/prompts/captioner.txt")


class Model:
    """A loaded checkpoint."""

    def __init__(self, folder: Path | str, batch_size: int = 16) -> None:
        """`batch_size`: images that `caption` shows the model at a time. One of the miniature says so."""
        from sharegpt4v.generation.local import Generator

        root = Path(folder).expanduser()
        finetuned = root / "finetuned"  # where a run keeps a row of its table
        checkpoint = finetuned if finetuned.is_dir() else root
        if of_miniature(checkpoint):
            print(NOTICE, file=sys.stderr)
        self._engine = Generator(checkpoint, batch_size)

    def ask(self, image: AnyImage | None, question: str, max_new_tokens: int = 512) -> str:
        """Return the answer to a question about an image, or about none. A `UserError` for one that is broken."""
        return self._answers([image], question, max_new_tokens)[0]

    def caption(
        self, images: Sequence[AnyImage], instruction: str | None = None, max_new_tokens: int = 1024
    ) -> Iterator[str]:
        """Yield a caption for each image, in their order, a batch at a time, and print the progress.

        `instruction` None is what Share-Captioner is trained with. A `UserError` names a broken image.
        """
        asked = instruction or read_instruction(of_project(INSTRUCTION))
        progress, size = Progress("captions", len(images), "images"), self._engine.batch_size
        for start in range(0, len(images), size):
            for text in self._answers(images[start : start + size], asked, max_new_tokens):
                progress.advance()
                yield text

    def chat(self) -> Chat:
        """Begin a conversation."""
        return Chat(self)

    def _answers(self, images: Sequence[AnyImage | None], question: str, max_new_tokens: int) -> list[str]:
        ratio = self._engine.image_aspect_ratio
        contents = [None if image is None else _content(image) for image in images]
        requests = [Request(question, content, max_new_tokens, ratio) for content in contents]
        answers = dict(self._engine.answer(requests))
        for number, content in enumerate(contents):
            if (error := answers[number].error) is not None:
                raise UserError(f"{content if isinstance(content, Path) else f'image {number + 1}'}: {error}")
        return [answers[number].text for number in range(len(requests))]


class Chat:
    """A conversation of several turns, about an image or none; the image comes with the first question."""

    def __init__(self, model: Model) -> None:
        self.rounds: list[tuple[str, str]] = []
        """Questions and answers so far."""
        self._model = model
        self._image: AnyImage | None = None

    def ask(self, question: str, image: AnyImage | None = None, max_new_tokens: int = 512) -> str:
        """Return the answer to a question after those before; a `UserError` for an image that comes later."""
        if image is not None:
            if self.rounds:
                raise UserError("an image after the first question; expected it with the first: start a new chat")
            self._image = image
        family = self._model._engine.family
        text = self._model.ask(self._image, family.later_question(self.rounds, question), max_new_tokens)
        self.rounds.append((question, text))
        return text


def _content(image: AnyImage) -> Path | bytes:
    """Return an image as the engine takes it: the path of a file, or a file's bytes."""
    if isinstance(image, bytes | Path):
        return image
    if isinstance(image, str):
        if "://" in image:
            raise UserError(f"{image}: an address, which is not fetched; expected the path of a file, or its bytes")
        return Path(image).expanduser()
    try:
        opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise UserError(
            f"{type(image).__name__}: no image ({error}); expected a path, bytes, a PIL image or an array"
        ) from None
    file = io.BytesIO()
    to_rgb(opened).save(file, "PNG", compress_level=1)
    return file.getvalue()
