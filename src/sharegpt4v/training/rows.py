"""From LLaVA rows to training samples; a row that cannot be learned from is told, never skipped silently."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sharegpt4v.config.training import Recipe
from sharegpt4v.corpora.reading import read_array
from sharegpt4v.errors import UserError
from sharegpt4v.images.usable import Usable
from sharegpt4v.training.conversation import IGNORED, IMAGE, TEMPLATES, encode_all
from sharegpt4v.training.samples import Tokens

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
        if not _is_llava(row):
            raise UserError(f"{place}: expected 'conversations' of turns with 'from' and 'value'")
        if isinstance(row.get("id"), str):
            place += f" (id {row['id']})"
        if not (image := row.get("image")) or images.takes(image, place):
            yield place, row
    if not number:
        raise UserError(f"{where}: no rows in it; expected a JSON array of LLaVA rows")
    images.tell(what, number)


def tokenise(
    rows: Iterable[tuple[str, Row]], tokenizer: Any, recipe: Recipe, image_tokens: int, what: str
) -> Iterator[Tokens]:
    """Tokenise rows, cut to the recipe's `sequence_length`; print how many were cut.

    A row of whose answers nothing is left by the cut is left out, and counted in that line. `UserError` for a row
    that does not fit the recipe's template, or whose `<image>` marks and image do not agree.
    """
    image_id, longest = tokenizer.convert_tokens_to_ids(IMAGE), recipe.sequence_length
    count = made = cut = 0
    rest = iter(rows)
    while batch := list(islice(rest, AT_ONCE)):
        count += len(batch)
        texts = [_text(place, row, recipe.template) for place, row in batch]
        for (place, row), (ids, labels) in zip(batch, encode_all(tokenizer, texts, image_tokens=1), strict=True):
            image = row.get("image")
            _check_image(place, ids, image_id, image, image_tokens, longest)
            length = len(ids) + (image_tokens - 1 if image else 0)
            cut += length > longest
            if any(label != IGNORED for label in labels[: len(ids) - max(0, length - longest)]):
                made += 1
                yield Tokens(ids, labels, image, min(length, longest))
    if cut or made < count:
        print(
            f"{what}: {cut:,} of {count:,} rows cut to {longest:,} tokens, {count - made:,} left out "
            "because they have no answer to learn (then)",
            file=sys.stderr,
        )
    if not made:
        raise UserError(f"{what}: no row has an answer to learn; expected answers within {longest:,} tokens")


def _is_llava(row: Any) -> bool:
    turns = row.get("conversations") if isinstance(row, Mapping) else None
    return isinstance(turns, list) and all(
        isinstance(turn, Mapping) and isinstance(turn.get("from"), str) and isinstance(turn.get("value"), str)
        for turn in turns
    )


def _text(place: str, row: Row, template: str) -> tuple[str, list[tuple[int, int]]]:
    try:
        return TEMPLATES[template](row["conversations"])
    except ValueError as error:
        raise UserError(f"{place}: does not fit the template '{template}' ({error})") from None


def _check_image(
    place: str, ids: Sequence[int], image_id: int, image: str | None, image_tokens: int, longest: int
) -> None:
    marks, expected = ids.count(image_id), 1 if image else 0
    if marks != expected:
        raise UserError(f"{place}: {marks} '<image>' for {expected} images; expected one for each")
    if image and ids.index(image_id) + image_tokens > longest:
        raise UserError(f"{place}: its image does not fit into {longest:,} tokens; raise sequence_length")
