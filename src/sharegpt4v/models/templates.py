"""From a conversation to token ids and labels (paper sections 4.2 and 4.3; LLaVA's `plain` and `v1`).

`plain` (pre-training): the image, the caption, a newline; the question is left out and the loss is on the caption.
`v1` (fine-tuning): Vicuna's system sentence, `USER: ... ASSISTANT: ...</s>` per round, no blank after `</s>`; the loss
is on the answers and their end marks. The one `<image>` of a text is expanded to as many ids as the image has visual
tokens. Source: ShareGPT4V's `preprocess_multimodal` and `preprocess`, whose ids and labels these are, row by row.
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
END = "</s>"
IGNORED = -100
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
_TEXT_OF = (
    "{% if NAME['content'] is string %}{{ NAME['content'] }}{% else %}"
    "{% for part in NAME['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
)
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages and messages[0]['role'] == 'system' %}"
    + _TEXT_OF.replace("NAME", "messages[0]")
    + f"{{% else %}}{SYSTEM}{{% endif %}}{{{{ ' ' }}}}"
    "{% for message in messages if message['role'] != 'system' %}"
    "{{ ' ASSISTANT: ' if message['role'] == 'assistant' else 'USER: ' }}"
    "{% if message['content'] is not string %}"
    "{% for part in message['content'] if part['type'] in ('image', 'image_url') %}{{ '<image>\n' }}{% endfor %}"
    "{% endif %}" + _TEXT_OF.replace("NAME", "message") + "{{ '</s>' if message['role'] == 'assistant' else '' }}"
    "{% endfor %}{{ ' ASSISTANT:' if add_generation_prompt else '' }}"
)
"""The prompt as text, for whoever loads a checkpoint alone. It begins with the begin mark: the tokenizer adds none."""

ANSWER = " ASSISTANT: "
ROLES = ("human", "gpt")

Text = tuple[str, list[tuple[int, int]]]
"""A text, and the character spans that are supervised."""


@dataclass(frozen=True)
class Sample:
    """One training row: token ids with labels of the same length, and the image its `<image>` ids stand for."""

    ids: list[int]
    labels: list[int]
    image: Path | None = None

    @cached_property
    def supervised(self) -> int:
        """How many labels are supervised. The first never is: its token follows from nothing."""
        return sum(label != IGNORED for label in self.labels[1:])


def prompt_text(question: str, has_image: bool, system: str | None = None) -> str:
    """The text that a model is asked to continue: Vicuna v1 with one user turn, `<image>` on its own line first."""
    return f"{SYSTEM if system is None else system} USER: {IMAGE + chr(10) if has_image else ''}{question} ASSISTANT:"


def later_question(rounds: Sequence[tuple[str, str]], question: str) -> str:
    """A question after `rounds` (question, answer), for `prompt_text`: together they are the text of `v1_text`."""
    return "".join(f"{asked}{ANSWER}{answer}{END}USER: " for asked, answer in rounds) + question


def v1_text(turns: Sequence[Mapping[str, str]], has_image: bool = True) -> Text:
    """A conversation as one text, with the spans of the answers, each from the blank before it to its `</s>`.

    With an image, an `<image>` anywhere in a turn moves to its front; without one it is text like any other. A first
    turn that is not the human's is dropped. The spans end where the official code stops reading rounds: before the end
    of the text when a turn is empty or holds an end mark or `ASSISTANT: `, or when the last question has no answer.
    `ValueError` for turns that do not alternate.
    """
    if turns and turns[0]["from"] == "gpt":
        turns = turns[1:]
    if not turns or any(turn["from"] != ROLES[place % 2] for place, turn in enumerate(turns)):
        raise ValueError("turns do not alternate between human and gpt")
    text = f"{SYSTEM} "
    for turn in turns:
        value = _mark_first(turn["value"]) if has_image else turn["value"]
        human = turn["from"] == "human"
        text += ("USER:" if human else "ASSISTANT:") + (f" {value}{' ' if human else END}" if value else "")
    return text, _spans_of_answers(text)


def plain_text(turns: Sequence[Mapping[str, str]], has_image: bool = True) -> Text:
    """Image and caption alone, all supervised (labels leave the mark out); `ValueError` for other than two turns."""
    if len(turns) != 2 or not has_image or IMAGE not in turns[0]["value"]:
        raise ValueError("not an image with a question that holds <image> and a caption")
    caption = turns[1]["value"]
    text = IMAGE + (_mark_first(caption) if IMAGE in caption else caption) + "\n"
    return text, [(0, len(text))]


TEMPLATES = {"v1": v1_text, "plain": plain_text}


def encode(tokenizer: Any, text: str, spans: Sequence[tuple[int, int]], image_tokens: int) -> Sample:
    """Tokenise `text` after the begin mark; labels are the ids inside `spans` and `IGNORED` elsewhere.

    Spans are character positions, so the mask holds for any fast tokenizer and no sample is lost to a count that
    does not match. Each `<image>` id is repeated `image_tokens` times.
    """
    ids, labels = encode_all(tokenizer, [(text, spans)])[0]
    return expand(ids, labels, tokenizer.convert_tokens_to_ids(IMAGE), image_tokens)


def prompt_ids(tokenizer: Any, prompt: str, image_tokens: int) -> list[int]:
    """The ids that a model is asked to continue: as in training, its `<image>` repeated `image_tokens` times."""
    return encode(tokenizer, prompt, (), image_tokens).ids


def encode_all(
    tokenizer: Any, texts: Sequence[tuple[str, Sequence[tuple[int, int]]]]
) -> list[tuple[list[int], list[int]]]:
    """Ids and labels of many texts with their spans at once, each `<image>` one id without supervision."""
    if not texts:
        return []
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
        if image_id in tokens:
            labels = [IGNORED if one == image_id else label for one, label in zip(ids, labels, strict=True)]
        encoded.append((ids, labels))
    return encoded


def expand(ids: Sequence[int], labels: Sequence[int], image_id: int, image_tokens: int) -> Sample:
    """Repeat each image mark, and its label, `image_tokens` times."""
    times = [image_tokens if one == image_id else 1 for one in ids]
    return Sample(_repeated(ids, times), _repeated(labels, times))


def _repeated(values: Sequence[int], times: Sequence[int]) -> list[int]:
    return [value for value, count in zip(values, times, strict=True) for _ in range(count)]


def _mark_first(value: str) -> str:
    """Move the image marks of a turn to its front, as one on a line of its own."""
    return f"{IMAGE}\n{value.replace(IMAGE, '').strip()}".strip() if IMAGE in value else value


def _spans_of_answers(text: str) -> list[tuple[int, int]]:
    """Read the rounds as the official code does: cut at end marks, then at the one `ASSISTANT: ` of each."""
    spans, start = [], 0
    for one in text.split(END):
        if one.count(ANSWER) != 1:
            break
        begin = start + one.index(ANSWER) + len(ANSWER) - 1
        start += len(one) + len(END)
        spans.append((begin, start))
    return spans
