"""The rows of a caption corpus in LLaVA's form: an image, a short question, a caption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

import orjson

from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.llava_format.checks import check_annotation, check_row


def caption_row(image: str, caption: str, question: str) -> dict[str, Any]:
    """Return one row of two turns; its id is the image's stem, as in the published files."""
    return {
        "id": PurePosixPath(image).stem,
        "image": image,
        "conversations": [
            {"from": "human", "value": f"<image>\n{question}"},
            {"from": "gpt", "value": caption},
        ],
    }


def caption_of(row: Any, place: str) -> tuple[str, str]:
    """Return image and caption (the last turn) of a row; a `UserError` names the `place` of one that has none."""
    turns = check_row(row, place)["conversations"]
    if not row.get("image") or not turns or turns[-1]["from"] != "gpt":
        raise UserError(f"{place}: expected a LLaVA row with an 'image' and a last turn of 'gpt'")
    return row["image"], turns[-1]["value"]


def coco_captions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield image id and caption of every annotation in a file of COCO's captions."""
    document = read_json(path)
    annotations = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(annotations, list):
        raise UserError(f"{path}: no list 'annotations'; expected COCO's captions, such as captions_train2017.json")
    for number, row in enumerate(annotations, start=1):
        check_annotation(row, f"{path}, annotation {number}")
        yield row["image_id"], row["caption"]


def source_of(image: str) -> str:
    """Return the source of an image, which is the first folder of its path below data/."""
    return image.partition("/")[0]


def read_questions(path: Path) -> tuple[str, ...]:
    """Return the questions of a text file, one per line; none, or no file, is a `UserError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected questions, one per line") from None
    questions = tuple(line.strip() for line in lines if line.strip())
    if not questions:
        raise UserError(f"{path}: no questions in it; expected one per line")
    return questions


def choose_question(questions: Sequence[str], image: str, seed: int) -> str:
    """Return the question for an image; it depends on its arguments alone."""
    return questions[int(hash_fraction(seed, "question", image) * len(questions))]


def write_array(file: IO[bytes], rows: Iterable[Any]) -> int:
    """Write rows as one JSON array, a row per line, as a stream; return their number."""
    count = 0
    for row in rows:
        file.write(b",\n" if count else b"[\n")
        file.write(orjson.dumps(row))
        count += 1
    file.write(b"\n]\n" if count else b"[]\n")
    return count
