"""MMMU in the synthetic world: multiple choice and open questions in three subjects, a Parquet file for each."""

from __future__ import annotations

import io
from collections.abc import Iterator
from random import Random
from typing import Any

from sharegpt4v.evaluation.benchmarks.mmmu import CHOICE
from sharegpt4v.mini.evaluation.asking import picture, scene_about
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CHOICE as WHICH

SUBJECTS = {"Art": ("artwork", "colour"), "Geography": ("landmark", "scene"), "Math": ("count", "position")}
OPEN_IN = 6  # every sixth question is open, of those that have one right answer


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the file of each subject, `questions` questions in all."""
    rows: dict[str, list[dict[str, Any]]] = {subject: [] for subject in SUBJECTS}
    for number in range(questions):
        subject = list(SUBJECTS)[number % len(SUBJECTS)]
        rows[subject].append(_row(subject, len(rows[subject]), seed, pixels))
    for subject, of_subject in rows.items():
        if of_subject:
            yield f"{subject}/validation-00000-of-00001.parquet", _parquet(of_subject)


def _row(subject: str, number: int, seed: int, pixels: int) -> dict[str, Any]:
    random = Random(f"{seed}/eval/mmmu/{subject}/{number}")
    is_open = number % OPEN_IN == OPEN_IN - 1
    aspect = SUBJECTS[subject][number % 2]
    scene, asked = scene_about(aspect, random, "open" if is_open else "choice")
    options, letter = asked.options(random)
    return {
        "id": f"validation_{subject}_{number + 1}",
        "question": f"<image 1> {asked.question if is_open else WHICH}",
        "options": repr([] if is_open else options),
        "image_1": {"bytes": picture(scene, random, pixels), "path": f"{subject}_{number + 1}_1.png"},
        "image_2": None,
        "answer": asked.answer if is_open else letter,
        "question_type": "open" if is_open else CHOICE,
    }


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    texts = ("id", "question", "options", "answer", "question_type")
    fields = [(name, pa.string()) for name in texts] + [("image_1", image), ("image_2", image)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), buffer)
    return buffer.getvalue()
