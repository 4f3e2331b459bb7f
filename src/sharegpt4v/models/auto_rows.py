"""From LLaVA rows to ids and labels by a model's own chat template; a row of which it learns nothing has a reason.

What is supervised is what the template adds to the text that asks for an answer: the answer and its end mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sharegpt4v.models.family import Row, Tokens
from sharegpt4v.models.templates import IGNORED, IMAGE, ROLES, Text

AT_ONCE = 1000  # rows that are tokenised together
SEPARATOR = "\x1e"  # between the turns of a conversation in one text
Message = dict[str, Any]


def encode_rows(rows: Iterable[Row], tokenizer: Any, template: str, longest: int) -> Iterator[Tokens | str]:
    """Yield for each row its tokens, an image's mark once, or why it is left out.

    Template "v1" is the chat template of the model; "plain" is the image as that template has it, the caption and a
    newline, of which the last two are supervised. An image whose row lacks the mark is dropped, as in LLaVA's code.
    """
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    text_of = _plain if template == "plain" else _chat
    rest = iter(rows)
    while batch := list(islice(rest, AT_ONCE)):
        kept: list[tuple[str | None, Text]] = []
        for row in batch:
            try:
                messages = messages_of(row["conversations"], bool(row.get("image")), special)
                has_image = any(part["type"] == "image" for message in messages for part in message["content"])
                kept.append((row["image"] if has_image else None, text_of(tokenizer, messages)))
            except ValueError as error:
                yield str(error)
        for (image, _), (ids, labels) in zip(kept, encode(tokenizer, [text for _, text in kept]), strict=True):
            if all(label == IGNORED for label in labels[:longest]):
                yield f"no answer within {longest:,} tokens"
            else:
                yield Tokens(ids, labels, image)


def messages_of(turns: Sequence[Mapping[str, str]], has_image: bool, special: Sequence[str] = ()) -> list[Message]:
    """Return LLaVA's turns as messages of typed content, an image first in its turn.

    A `ValueError` for what cannot be learned from: the reason.
    """
    turns = turns[1:] if turns and turns[0]["from"] != ROLES[0] else turns
    if not turns or len(turns) % 2 or any(turn["from"] != ROLES[n % 2] for n, turn in enumerate(turns)):
        raise ValueError("not questions of a human, each with an answer")
    if has_image and sum(turn["value"].count(IMAGE) for turn in turns) > 1:
        raise ValueError("several <image> marks for one image")
    messages = []
    for number, turn in enumerate(turns):
        text, content = turn["value"], []
        if has_image and IMAGE in text:
            text, content = text.replace(IMAGE, "").strip(), [{"type": "image"}]
        if any(token in text for token in special):
            raise ValueError("a mark of the model's template in a turn")
        if not text and (number % 2 or not content):
            raise ValueError("an empty turn")
        messages.append(_message(("user", "assistant")[number % 2], text, content))
    return messages


def prompt_ids(tokenizer: Any, question: str, has_image: bool, system: str | None) -> list[int]:
    """Return the ids that a model is asked to continue, an image's mark once; `question` as of `later_question`."""
    messages = [_message("system", system)] if system is not None else []
    for number, text in enumerate(question.split(SEPARATOR)):
        image = [{"type": "image"}] if has_image and not number else []
        messages.append(_message(("user", "assistant")[number % 2], text, image))
    return encode(tokenizer, [(_render(tokenizer, messages, asks=True), [])])[0][0]


def later_question(rounds: Sequence[tuple[str, str]], question: str) -> str:
    """Return `rounds` of questions and answers, and a question after them, as one text for `prompt_ids`."""
    return SEPARATOR.join([*(text for one in rounds for text in one), question])


def encode(tokenizer: Any, texts: Sequence[Text]) -> list[tuple[list[int], list[int]]]:
    """Return the ids of texts and their labels: the ids that reach into one of a text's spans."""
    if not texts:
        return []
    begins = bool(tokenizer.bos_token) and texts[0][0].startswith(tokenizer.bos_token)
    strings = [text for text, _ in texts]
    found = tokenizer(strings, add_special_tokens=not begins, return_offsets_mapping=True)
    encoded = []
    for ids, offsets, (_, spans) in zip(found["input_ids"], found["offset_mapping"], texts, strict=True):
        labels = [
            one if any(start < last and end > first for first, last in spans) else IGNORED
            for one, (start, end) in zip(ids, offsets, strict=True)
        ]
        encoded.append((ids, labels))
    return encoded


def _chat(tokenizer: Any, messages: Sequence[Message]) -> Text:
    """Return a conversation as the chat template writes it, with the spans of the answers and their end marks."""
    text, spans = _render(tokenizer, messages), []
    for number in range(1, len(messages), 2):
        asked = _render(tokenizer, messages[:number], asks=True)
        answered = _render(tokenizer, messages[: number + 1]).rstrip()
        start, answer = len(asked), messages[number]["content"][0]["text"]
        if not answered.startswith(asked):  # LLaVA-OneVision's template begins an answer otherwise than it asks for one
            start = answered.rfind(answer)
        if start < 0 or not text.startswith(answered):
            raise ValueError("an answer that the chat template changes")
        spans.append((start, len(answered)))
    return text, spans


def _plain(tokenizer: Any, messages: Sequence[Message]) -> Text:
    """Return an image, as the chat template writes it, and its caption; the question counts nothing."""
    if len(messages) != 2 or messages[0]["content"][0]["type"] != "image":
        raise ValueError("not an image with a question and a caption")
    text = "X"
    with_image = _render(tokenizer, [_message("user", text, [{"type": "image"}])])
    without = _render(tokenizer, [_message("user", text)])
    start = next(place for place, (one, other) in enumerate(zip(with_image, without, strict=False)) if one != other)
    image, caption = with_image[start : with_image.rindex(text)], messages[1]["content"][0]["text"]
    return f"{image}{caption}\n", [(len(image), len(image) + len(caption) + 1)]


def _message(role: str, text: str, before: Sequence[Message] = ()) -> Message:
    return {"role": role, "content": [*before, *([{"type": "text", "text": text}] if text or not before else [])]}


def _render(tokenizer: Any, messages: Sequence[Message], asks: bool = False) -> str:
    """Return messages as text; with `asks`, up to where the next answer begins."""
    text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asks)
    return text
