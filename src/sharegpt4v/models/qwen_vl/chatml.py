"""Conversations as Qwen-VL-Chat reads them, ChatML (Qwen-VL's finetune.py, `preprocess`, and `make_context`).

    <|im_start|>system
    You are a helpful assistant.<|im_end|>
    <|im_start|>user
    Picture 1: <img>…</img>
    What is it?<|im_end|>
    <|im_start|>assistant
    A cat.<|im_end|>

Each text is encoded by itself, between ids that stand for the marks, so that no token reaches over the edge of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.models.family import Row, Tokens
from sharegpt4v.models.qwen_vl.tokenizer import IMAGE, IMAGE_END, LONGEST, TURN, TURN_END, VISUAL, text_ids
from sharegpt4v.models.templates import IGNORED
from sharegpt4v.models.templates import IMAGE as ROW_IMAGE

SYSTEM = "You are a helpful assistant."
PICTURE = "Picture 1: "
ANSWERS_ALONE, OFFICIAL = "v1", "qwen_official"
"""What is supervised: answers, each with `<|im_end|>` and newline; or, as in finetune.py, marks of all turns too."""

ROLES = {"human": "user", "gpt": "assistant"}
AT_ONCE = 1000  # rows that are tokenised together

CHAT_TEMPLATE = (
    "{% macro text_of(message) %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{% endmacro %}"
    "{% set seen = namespace(images=0) %}"
    "{{ '<|im_start|>system\n' }}"
    "{% if messages and messages[0]['role'] == 'system' %}{{ text_of(messages[0]) }}"
    f"{{% else %}}{SYSTEM}{{% endif %}}{{{{ '<|im_end|>\n' }}}}"
    "{% for message in messages if message['role'] != 'system' %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is not string %}"
    "{% for part in message['content'] if part['type'] in ('image', 'image_url') %}"
    "{% set seen.images = seen.images + 1 %}"
    "{{ 'Picture ' ~ seen.images ~ ': <img><imgpad></img>\n' }}{% endfor %}{% endif %}"
    "{{ text_of(message) }}{{ '<|im_end|>\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt else '' }}"
)
"""The prompt as text, for whoever loads a tokenizer or processor alone."""


@dataclass(frozen=True)
class _Marks:
    """The ids between texts: what a turn of each role begins with, what ends it, and an image with one visual token."""

    start: Mapping[str, list[int]]
    end: list[int]
    picture: list[int]

    @classmethod
    def of(cls, tokenizer: Any) -> _Marks:
        roles = ("system", "user", "assistant")
        newline, picture, *names = text_ids(tokenizer, ["\n", PICTURE, *roles])
        turn, end, *image = tokenizer.convert_tokens_to_ids([TURN, TURN_END, IMAGE, VISUAL, IMAGE_END])
        start = {role: [turn, *name, *newline] for role, name in zip(roles, names, strict=True)}
        return cls(start, [end, *newline], [*picture, *image, *newline])


@dataclass
class _Writer:
    """Ids and labels of one conversation, growing turn by turn."""

    marks: _Marks
    supervise_marks: bool = False
    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def turn(self, role: str, content: Sequence[int], has_image: bool = False) -> None:
        """Add a whole turn, whose content is supervised if it is an answer."""
        answer = role == "assistant"
        self.open(role)
        self._add([*self.marks.picture, *content] if has_image else content, answer)
        self._add(self.marks.end, answer or self.supervise_marks)

    def open(self, role: str) -> None:
        """Add what a turn begins with: finetune.py supervises the first of its ids, and not the role."""
        turn, *name = self.marks.start[role]
        self._add([turn], self.supervise_marks)
        self._add(name, False)

    def _add(self, ids: Sequence[int], supervised: bool) -> None:
        self.ids += ids
        self.labels += ids if supervised else [IGNORED] * len(ids)


def prompt_ids(tokenizer: Any, question: str, has_image: bool, system: str | None, image_tokens: int) -> list[int]:
    """Return the ids that the model is asked to continue, with `image_tokens` visual tokens for an image."""
    writer = _Writer(_Marks.of(tokenizer))
    first, then = text_ids(tokenizer, [SYSTEM if system is None else system, question])
    writer.turn("system", first)
    writer.turn("user", then, has_image)
    writer.open("assistant")
    visual = tokenizer.convert_tokens_to_ids(VISUAL)
    return [id for id in writer.ids for _ in range(image_tokens if id == visual else 1)]


def later_question(rounds: Sequence[tuple[str, str]], question: str) -> str:
    """Return a question after `rounds` of questions and answers, for `prompt_ids`."""
    between = f"{TURN_END}\n{TURN}assistant\n", f"{TURN_END}\n{TURN}user\n"
    return "".join(f"{asked}{between[0]}{answer}{between[1]}" for asked, answer in rounds) + question


def encode_rows(rows: Iterable[Row], tokenizer: Any, template: str, longest: int) -> Iterator[Tokens | str]:
    """Yield for each LLaVA row its tokens, one visual token for an image, or why nothing of it is learned.

    The image goes to the front of the turn that has the `<image>`. `template` is `v1` or `qwen_official`. A `UserError`
    for another one, and when rows may be longer than the model was trained for.
    """
    if template not in (ANSWERS_ALONE, OFFICIAL):
        raise UserError(f"template {template!r}: not one of Qwen-VL-Chat; expected {ANSWERS_ALONE} or {OFFICIAL}")
    if longest > LONGEST:
        raise UserError(f"sequence_length {longest:,}: Qwen-VL-Chat reads {LONGEST:,} tokens; expected at most as many")
    marks, rest = _Marks.of(tokenizer), iter(rows)
    while batch := list(islice(rest, AT_ONCE)):
        read = [_read(row) for row in batch]
        texts = [SYSTEM, *(text for turns in read if not isinstance(turns, str) for _, text, _ in turns)]
        system, *encoded = text_ids(tokenizer, texts)
        in_order = iter(encoded)
        for row, turns in zip(batch, read, strict=True):
            if isinstance(turns, str):
                yield turns
                continue
            writer = _Writer(marks, template == OFFICIAL)
            writer.turn("system", system)
            for role, _, has_image in turns:
                writer.turn(role, next(in_order), has_image)
            if all(label == IGNORED for label in writer.labels[:longest]):
                yield f"no answer within {longest:,} tokens"
                continue
            image = row.get("image") if any(has_image for *_, has_image in turns) else None
            yield Tokens(writer.ids, writer.labels, image)


def _read(row: Mapping[str, Any]) -> list[tuple[str, str, bool]] | str:
    """Return the turns of a row as (role, text, whether the image is in front), or why it cannot be used.

    As in finetune.py, a first turn that is not the human's is dropped. Without an image `<image>` is text.
    """
    turns = row["conversations"]
    if turns and turns[0]["from"] == "gpt":
        turns = turns[1:]
    if not turns or any(turn["from"] != tuple(ROLES)[place % 2] for place, turn in enumerate(turns)):
        return "turns do not alternate between human and gpt"
    if not row.get("image"):
        return [(ROLES[turn["from"]], turn["value"], False) for turn in turns]
    if sum(turn["value"].count(ROW_IMAGE) for turn in turns) > 1:
        return "several <image> marks for one image"
    if any(ROW_IMAGE in turn["value"] for turn in turns[1::2]):
        return "an <image> mark in an answer"
    marked = [ROW_IMAGE in turn["value"] for turn in turns]
    texts = [
        turn["value"].replace(ROW_IMAGE, "").strip() if mark else turn["value"]
        for turn, mark in zip(turns, marked, strict=True)
    ]
    return [(ROLES[turn["from"]], text, mark) for turn, text, mark in zip(turns, texts, marked, strict=True)]
