"""From LLaVA rows to ids and labels, as the official code makes them; a row of which it learns nothing has a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.models.family import Row, Tokens
from sharegpt4v.models.llama_tokenizer import without_mark
from sharegpt4v.models.templates import IGNORED, IMAGE, TEMPLATES, Text, encode_all

AT_ONCE = 1000  # rows that are tokenised together


def encode_rows(rows: Iterable[Row], tokenizer: Any, template: str, longest: int) -> Iterator[Tokens | str]:
    """Yield for each row its tokens, an image's mark counted once, or why it is left out.

    That is a row that ends a run of the official code, or of which it learns nothing within `longest` tokens. An image
    whose row lacks the mark is dropped, as there. A `UserError` for a template of another family.
    """
    if template not in TEMPLATES:
        raise UserError(f"template {template!r}: not one of LLaVA; expected one of {', '.join(TEMPLATES)}")
    rest, text_alone = iter(rows), None
    image_id = tokenizer.convert_tokens_to_ids(IMAGE)
    while batch := list(islice(rest, AT_ONCE)):
        kept: list[tuple[Row, Text]] = []
        for row in batch:
            try:
                kept.append((row, TEMPLATES[template](row["conversations"], bool(row.get("image")))))
            except ValueError as error:
                yield str(error)
        encoded = encode_all(tokenizer, [text for _, text in kept])
        for (row, (text, spans)), (ids, labels) in zip(kept, encoded, strict=True):
            image = row.get("image")
            if IMAGE in text and not image:
                text_alone = text_alone or without_mark(tokenizer, IMAGE)
                ids, labels = encode_all(text_alone, [(text, spans)])[0]
            is_read = bool(spans) and spans[-1][1] == len(text) and tokenizer.pad_token_id not in ids
            marks = ids.count(image_id) if image else 0
            reason = _why_left_out(labels, marks, is_read, longest)
            yield reason or Tokens(ids, labels, image if marks else None)


def _why_left_out(labels: Sequence[int], marks: int, is_read: bool, longest: int) -> str | None:
    """Why the official code learns nothing from a row, or ends at it; None when it learns something.

    A row whose rounds it cannot read to the end is not supervised, unless what it read reaches the cut.
    """
    if marks > 1:
        return "several <image> marks for one image"
    read = next((place for place in range(len(labels), 0, -1) if labels[place - 1] != IGNORED), 1)
    if not is_read and read < longest:
        return "an empty turn, a mark such as </s> or ASSISTANT: in a turn, or a last question without an answer"
    if all(label == IGNORED for label in labels[:longest]):
        return f"no answer within {longest:,} tokens"
    return None
