"""From a conversation to token ids and the mask of what is learned (paper section 4.2, LLaVA's `plain` and `v1`).

`plain` (pre-training): the image, the caption, a newline; the question is left out and the loss is on the caption.
`v1` (fine-tuning): Vicuna's system sentence, `USER: ... ASSISTANT: ...</s>` per round; the loss is on the answers
and their end marks. The one `<image>` of a text is expanded to as many ids as the image has visual tokens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

IMAGE = "<image>"
IGNORED = -100
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
CHAT_TEMPLATE = (
    "{{ '" + SYSTEM.replace("'", "\\'") + "' }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ ' ASSISTANT: ' }}{% else %}{{ ' USER: ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] in ('image', 'image_url') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)


@dataclass(frozen=True)
class Sample:
    """One training row: token ids with labels of the same length, and the image its `<image>` ids stand for."""

    ids: list[int]
    labels: list[int]
    image: Path | None = None

    @cached_property
    def learned(self) -> int:
        """How many labels are learned. The first never is: its token follows from nothing."""
        return sum(label != IGNORED for label in self.labels[1:])


def prompt_text(question: str, has_image: bool, system: str = SYSTEM) -> str:
    """The text that a model is asked to continue: Vicuna v1 with one user turn, `<image>` on its own line first."""
    return f"{system} USER: {IMAGE + chr(10) if has_image else ''}{question} ASSISTANT:"


def v1_text(turns: Sequence[Mapping[str, str]]) -> tuple[str, list[tuple[int, int]]]:
    """A conversation as one text, with the character spans of the answers (including their `</s>`).

    An `<image>` anywhere in a turn moves to its front; a first turn that is not the human's is dropped.
    """
    if turns and turns[0]["from"] != "human":
        turns = turns[1:]
    text, spans = SYSTEM, []
    for turn in turns:
        value = turn["value"]
        if IMAGE in value:
            value = f"{IMAGE}\n{value.replace(IMAGE, '').strip()}"
        if turn["from"] == "human":
            text += f" USER: {value} ASSISTANT:"
        else:
            start = len(text)
            text += f" {value}</s>"
            spans.append((start, len(text)))
    return text, spans


def plain_text(turns: Sequence[Mapping[str, str]]) -> tuple[str, list[tuple[int, int]]]:
    """Image and caption alone, with the span of the caption and its newline; two turns are required."""
    if len(turns) != 2 or IMAGE not in turns[0]["value"]:
        raise ValueError("expected two turns, the first with <image>")
    text = f"{IMAGE}{turns[1]['value']}\n"
    return text, [(len(IMAGE), len(text))]


TEMPLATES = {"v1": v1_text, "plain": plain_text}


def encode(
    tokenizer: Any, text: str, spans: Sequence[tuple[int, int]], image_tokens: int
) -> tuple[list[int], list[int]]:
    """Tokenise `text` after the begin mark; labels are the ids inside `spans` and `IGNORED` elsewhere.

    Spans are character positions, so the mask holds for any fast tokenizer and no sample is lost to a count that
    does not match. Each `<image>` id is repeated `image_tokens` times.
    """
    return encode_all(tokenizer, [(text, spans)], image_tokens)[0]


def encode_all(
    tokenizer: Any, texts: Sequence[tuple[str, Sequence[tuple[int, int]]]], image_tokens: int
) -> list[tuple[list[int], list[int]]]:
    """Do the same for many texts with their spans at once: a fast tokenizer takes them in parallel."""
    found = tokenizer(
        [text for text, _ in texts], add_special_tokens=False, return_offsets_mapping=True,
        return_attention_mask=False, return_token_type_ids=False,
    )  # fmt: skip
    image_id, encoded = tokenizer.convert_tokens_to_ids(IMAGE), []
    for tokens, places, (_, spans) in zip(found["input_ids"], found["offset_mapping"], texts, strict=True):
        ids, labels = [tokenizer.bos_token_id, *tokens], [IGNORED] * (len(tokens) + 1)
        for begin, end in spans:
            first = bisect_right(places, begin, key=itemgetter(1)) + 1
            last = bisect_left(places, end, key=itemgetter(0)) + 1
            labels[first:last] = ids[first:last]
        for mark in reversed(
            [place for place, token in enumerate(ids) if token == image_id] if image_id in ids else []
        ):
            ids[mark : mark + 1] = [image_id] * image_tokens
            labels[mark : mark + 1] = [IGNORED] * image_tokens
        encoded.append((ids, labels))
    return encoded
