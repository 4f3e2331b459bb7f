"""The project's own engine with its text shown while it is written: the same ids as `generation.local` chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from sharegpt4v.demo.conversation import Conversation
from sharegpt4v.errors import UserError, one_line
from sharegpt4v.generation.engine import Answer, plain
from sharegpt4v.generation.local import Generator
from sharegpt4v.models.continuous_batching import ContinuousBatch, Prompt
from sharegpt4v.models.whole_batch import WholeBatch

Seen = Callable[[str], None]
"""Takes the next piece of a text. What it raises ends the writing."""


class StreamingGenerator(Generator):
    """A loaded model that writes one answer at a time."""

    @cached_property
    def marks(self) -> list[str]:
        """What a tokenizer reads as no text."""
        special = {*self.tokenizer.all_special_tokens, getattr(self.tokenizer, "image_token", None)}
        image = self.tokenizer.convert_ids_to_tokens(self.family.image_id(self.tokenizer))
        return sorted({mark for mark in (*special, image) if mark})

    def prepare(self, conversation: Conversation) -> Prompt:
        """Return what the model continues; a `UserError` for a broken image, or a text that is too long for it."""
        request = conversation.request(self.family, self.marks, self.image_aspect_ratio)
        try:
            image = self._prepared(request)
        except Exception as error:  # whatever Pillow raises
            raise UserError(f"the image cannot be decoded ({one_line(error)})") from None
        prompt = self._prompt(0, request, image)
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        if (left := longest - len(prompt.ids)) < 1:
            raise UserError(
                f"the conversation is {len(prompt.ids):,} tokens long, and the model reads {longest:,}; start a new one"
            )
        return replace(prompt, limit=min(prompt.limit, left))

    def write(self, prompt: Prompt, seen: Seen) -> Answer:
        """Continue a prompt; `seen` gets the pieces of the text, which together are the answer's."""
        shown = _Shown(self, seen)
        batch = self._batch(1, len(prompt.ids) + prompt.limit)
        try:
            if isinstance(batch, WholeBatch):
                watched: Any = _Watched(self.model, shown.ids)
                batch.generate = lambda inputs, limits: self.family.generate(watched, self.processor, inputs, limits)
                ((_, ids),) = batch.advance([prompt])
            else:
                ids = self._stepped(batch, prompt, shown)
        except torch.cuda.OutOfMemoryError:
            raise UserError("the GPU has no memory for this conversation; start a new one, or a shorter one") from None
        answer = self._read(ids)
        shown.text(answer.text)
        return answer

    def _stepped(self, batch: ContinuousBatch, prompt: Prompt, shown: _Shown) -> list[int]:
        finished = batch.advance([prompt])
        while not finished:
            shown.ids(batch.rows[0].written)
            finished = batch.advance([])
        return finished[0][1]


@dataclass
class _Shown:
    """How much of a text was seen."""

    generator: StreamingGenerator
    seen: Seen
    length: int = 0

    def ids(self, ids: Sequence[int]) -> None:
        """Show what new ids add to the text, but for white space and cut characters, which may not stay."""
        self.text(plain(self.generator.tokenizer.decode(ids, skip_special_tokens=True)))

    def text(self, text: str) -> None:
        """Show what a text has more than before."""
        piece, self.length = text[self.length :], max(self.length, len(text))
        self.seen(piece)


class _Watched:
    """A model whose `generate` of transformers shows the ids as it chooses them."""

    def __init__(self, model: Any, seen: Callable[[list[int]], None]) -> None:
        self._model, self._seen = model, seen
        self._ids: list[int] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, **inputs: Any) -> Any:
        return self._model.generate(**inputs, streamer=self)

    def put(self, ids: torch.Tensor) -> None:
        """Take the prompt, then each new id."""
        if self._ids is None:
            self._ids = []
        else:
            self._ids += ids.flatten().tolist()
            self._seen(self._ids)

    def end(self) -> None:
        """Nothing is left to show: the ids of the answer come by themselves."""
