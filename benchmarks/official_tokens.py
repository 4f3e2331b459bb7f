"""How many conversations get the ids and labels that the official code gives them.

FILE holds a JSON object a line: `template` (v1, plain), `image` (whether the row has one), `conversations`, `ids` (the
image's mark is -200, once) and `labels` (-100: not learned), as ShareGPT4V's `preprocess_multimodal` and `preprocess`
gave them under transformers 4.31 with the vocabulary in FOLDER/tokenizer.model. A line may hold `prompt` in place of
`template` and `conversations`: the text that an evaluation script asks, with its ids. All goes through the code that
training and answering use. One quirk of 4.31 is read as today's tokenizers give it: after `</s>` it cuts `USER` in two.

`benchmarks/official_prompts.jsonl` has the first prompts of each benchmark of the mini preset, with the ids that
ShareGPT4V's own evaluation scripts asked a model for, run unchanged on the same files with Llama's vocabulary.

Example:  python benchmarks/official_tokens.py benchmarks/official_prompts.jsonl --vocabulary vicuna-7b-v1.5
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sharegpt4v.models.family import family_named
from sharegpt4v.models.llama_tokenizer import read_sentencepiece
from sharegpt4v.models.templates import IGNORED, IMAGE, prompt_ids
from sharegpt4v.training.rows import tokenise
from sharegpt4v.training.samples import Tally

OFFICIAL_IMAGE = -200
LONGEST = 2048
END_THEN_USER = ([2, 3308, 1001], [2, 11889])  # </s> US ER, </s> USER in Llama's vocabulary


def main() -> None:
    """Print the counts by template; exit 1 unless all rows are equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the official rows, JSON lines, .gz or not")
    parser.add_argument("--vocabulary", type=Path, required=True, metavar="FOLDER", help="where tokenizer.model is")
    options = parser.parse_args()
    tokenizer = read_sentencepiece(options.vocabulary / "tokenizer.model", IMAGE)
    image_id = tokenizer.convert_tokens_to_ids(IMAGE)
    rows, equal = Counter[str](), Counter[str]()
    for number, row in enumerate(_read(options.file), start=1):
        kind = f"{row.get('template', 'prompt')}, {'with image' if row['image'] else 'text alone'}"
        expected = _as_today(row, image_id)
        found = _ids_and_labels(row, tokenizer)
        if len(row["ids"]) == LONGEST:  # cut, with some tokens in place of those that are one today
            found = (found[0][: len(expected[0])], found[1][: len(expected[1])])
        rows[kind] += 1
        equal[kind] += found == expected
        if found != expected:
            print(f"row {number} ({kind}): {_first_difference(found, expected)}", file=sys.stderr)
    for kind, count in sorted(rows.items()):
        print(f"{kind}: {equal[kind]:,} of {count:,} rows have the official ids and labels")
    print(f"all: {equal.total():,} of {rows.total():,}")
    sys.exit(equal.total() != rows.total() or not rows)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
        yield from map(json.loads, file)


def _ids_and_labels(row: dict[str, Any], tokenizer: Any) -> tuple[list[int], list[int]]:
    if "prompt" in row:
        ids = prompt_ids(tokenizer, row["prompt"], image_tokens=1)
        return ids, [IGNORED] * len(ids)
    read = {"conversations": row["conversations"], "image": "image.jpg" if row["image"] else None}
    (tokens,) = tokenise([read], family_named("llava"), tokenizer, row["template"], LONGEST, "row", Tally())
    return list(tokens.ids), list(tokens.labels)


def _as_today(row: dict[str, Any], image_id: int) -> tuple[list[int], list[int]]:
    """The official ids and labels in today's form."""
    ids: list[int] = []
    labels: list[int] = []
    old, new = END_THEN_USER
    for one, label in zip(row["ids"], row.get("labels") or [IGNORED] * len(row["ids"]), strict=True):
        ids.append(image_id if one == OFFICIAL_IMAGE else one)
        labels.append(label)
        if ids[-len(old) :] == old:
            ids[-len(old) :] = new
            labels.pop()
    return ids, labels


def _first_difference(found: tuple[list[int], list[int]], expected: tuple[list[int], list[int]]) -> str:
    for name, mine, official in zip(("ids", "labels"), found, expected, strict=True):
        for place, (here, there) in enumerate(zip(mine, official, strict=False)):
            if here != there:
                return (
                    f"{name} {mine[max(0, place - 3) : place + 4]}, official {official[max(0, place - 3) : place + 4]}"
                )
        if len(mine) != len(official):
            return f"{len(mine)} {name}, official {len(official)}"
    return "equal"


if __name__ == "__main__":
    main()
