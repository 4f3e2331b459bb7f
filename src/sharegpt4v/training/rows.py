"""From LLaVA rows to training samples; a row that cannot be learned from is told, never skipped silently."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.training.conversation import IGNORED, IMAGE, Sample, make_sample

Row = Mapping[str, Any]


def read_rows(rows: Path | Sequence[Row], data: Path, what: str) -> list[tuple[str, Row]]:
    """Return the rows with the place each is named by in errors; `what` names rows that are given directly.

    `UserError` for a row that is not LLaVA's, or whose image is no file below `data`.
    """
    where = str(rows) if isinstance(rows, Path) else what
    listed = read_json(rows) if isinstance(rows, Path) else rows
    if not isinstance(listed, Sequence) or not listed:
        raise UserError(f"{where}: no rows in it; expected a JSON array of LLaVA rows")
    found: set[str] = set()
    placed = []
    for number, row in enumerate(listed, start=1):
        place = f"{where}, row {number}"
        if not _is_llava(row):
            raise UserError(f"{place}: expected 'conversations' of turns with 'from' and 'value'")
        if isinstance(row.get("id"), str):
            place += f" (id {row['id']})"
        image = row.get("image")
        if image and image not in found:
            if not (data / image).is_file():
                raise UserError(f"{place}: no image {data / image}; expected a file there, so fetch its source first")
            found.add(image)
        placed.append((place, row))
    return placed


def make_samples(
    rows: Sequence[tuple[str, Row]], tokenizer: Any, recipe: Recipe, image_tokens: int, data: Path, what: str
) -> list[Sample]:
    """Tokenise rows, cut to the recipe's `sequence_length`; print how many were cut.

    A row of whose answers nothing is left by the cut is left out, and counted in that line. `UserError` for a row
    that does not fit the recipe's template, or whose `<image>` marks and image do not agree.
    """
    image_id, longest = tokenizer.convert_tokens_to_ids(IMAGE), recipe.sequence_length
    samples, cut = [], 0
    for place, row in rows:
        try:
            sample = make_sample(row, tokenizer, recipe.template, image_tokens, data, longest + 1)
        except ValueError as error:
            raise UserError(f"{place}: does not fit the template '{recipe.template}' ({error})") from None
        if len(sample.ids) > longest:
            cut += 1
            sample = Sample(sample.ids[:longest], sample.labels[:longest], sample.image)
        _check_image(place, sample.ids.count(image_id), image_tokens, sample, longest)
        if any(label != IGNORED for label in sample.labels):
            samples.append(sample)
    if cut or len(samples) < len(rows):
        print(
            f"{what}: {cut:,} of {len(rows):,} rows cut to {longest:,} tokens, {len(rows) - len(samples):,} left out "
            "because they have no answer to learn (then)",
            file=sys.stderr,
        )
    if not samples:
        raise UserError(f"{what}: no row has an answer to learn; expected answers within {longest:,} tokens")
    return samples


def _is_llava(row: Any) -> bool:
    turns = row.get("conversations") if isinstance(row, Mapping) else None
    return isinstance(turns, list) and all(
        isinstance(turn, Mapping) and isinstance(turn.get("from"), str) and isinstance(turn.get("value"), str)
        for turn in turns
    )


def _check_image(place: str, found: int, image_tokens: int, sample: Sample, longest: int) -> None:
    expected = image_tokens if sample.image else 0
    if found == expected:
        return
    if expected > found and len(sample.ids) == longest:
        raise UserError(f"{place}: its image does not fit into {longest:,} tokens; raise sequence_length")
    marks = found // image_tokens
    raise UserError(f"{place}: {marks} '<image>' for {1 if sample.image else 0} images; expected one for each")
