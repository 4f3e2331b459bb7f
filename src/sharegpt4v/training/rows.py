"""From LLaVA rows to training samples; a row that cannot be learned from is counted, never skipped silently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError, printable
from sharegpt4v.images.usable import Usable
from sharegpt4v.llava_format.checks import SHOWN, check_row
from sharegpt4v.llava_format.reading import read_array
from sharegpt4v.models.llama_tokenizer import without_mark
from sharegpt4v.models.templates import IGNORED, IMAGE, TEMPLATES, Text, encode_all
from sharegpt4v.training.samples import Tally, Tokens

Row = Mapping[str, Any]
AT_ONCE = 1000  # rows that are tokenised together


def read_rows(
    rows: Path | Sequence[Row], data: Path, what: str, images: Usable | None = None
) -> Iterator[tuple[str, Row]]:
    """Yield the rows with the place each is named by in errors; `what` names rows that are given directly.

    `UserError` for a row that is not LLaVA's, or whose image is no file below `data`, unless `images` says that such a
    row is left out.
    """
    images = images or Usable(data)
    where = str(rows) if isinstance(rows, Path) else what
    number = 0
    for number, row in enumerate(read_array(rows) if isinstance(rows, Path) else rows, start=1):
        place = f"{where}, row {number}"
        check_row(row, place)
        if isinstance(row.get("id"), str):
            place += f" (id {printable(row['id'][:SHOWN])})"
        if not (image := row.get("image")) or images.takes(image, place):
            yield place, row
    if not number:
        raise UserError(f"{where}: no rows in it; expected a JSON array of LLaVA rows")
    images.tell(what, number)


def tokenise(
    rows: Iterable[Row], tokenizer: Any, template: str, longest: int, what: str, tally: Tally
) -> Iterator[Tokens]:
    """Tokenise rows as the official code does, each cut to `longest` tokens, an image's mark counted once.

    A row that ends a run of the official code, or of which it learns nothing, is left out; `tally` counts them by
    reason. An image whose row lacks the mark is dropped, as there. `UserError` when no row is left.
    """
    rest, text_alone = iter(rows), None
    while batch := list(islice(rest, AT_ONCE)):
        tally.read += len(batch)
        kept: list[tuple[Row, Text]] = []
        for row in batch:
            try:
                kept.append((row, TEMPLATES[template](row["conversations"], bool(row.get("image")))))
            except ValueError as error:
                tally.left_out[str(error)] += 1
        encoded = encode_all(tokenizer, [text for _, text in kept])
        for (row, (text, spans)), (ids, labels) in zip(kept, encoded, strict=True):
            image = row.get("image")
            if IMAGE in text and not image:
                text_alone = text_alone or without_mark(tokenizer, IMAGE)
                ids, labels = encode_all(text_alone, [(text, spans)])[0]
            is_read = bool(spans) and spans[-1][1] == len(text) and tokenizer.pad_token_id not in ids
            marks = ids.count(tokenizer.convert_tokens_to_ids(IMAGE)) if image else 0
            if reason := _why_left_out(labels, marks, is_read, longest):
                tally.left_out[reason] += 1
                continue
            tally.cut += len(ids) > longest
            yield Tokens(ids[:longest], labels[:longest], image if marks else None)
    if tally.left_out.total() == tally.read:
        raise UserError(f"{what}: no row has an answer to learn ({tally}); expected answers within {longest:,} tokens")


def _why_left_out(labels: Sequence[int], marks: int, is_read: bool, longest: int) -> str | None:
    """Why the official code learns nothing from a row, or ends at it; None when it learns something.

    A row whose rounds it cannot read to the end is not learned, unless what it read reaches the cut.
    """
    if marks > 1:
        return "several <image> marks for one image"
    read = next((place for place in range(len(labels), 0, -1) if labels[place - 1] != IGNORED), 1)
    if not is_read and read < longest:
        return "an empty turn, a mark such as </s> or ASSISTANT: in a turn, or a last question without an answer"
    if all(label == IGNORED for label in labels[:longest]):
        return f"no answer within {longest:,} tokens"
    return None
