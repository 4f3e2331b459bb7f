"""What annotators answered, of the benchmarks whose score files do not say it because there is no single truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from sharegpt4v.errors import MissingFile
from sharegpt4v.evaluation.benchmarks import textvqa, vizwiz, vqav2
from sharegpt4v.evaluation.reading import Row, find, json_list, json_object

Key = tuple[str, str]
"""The id of a question and, where a score file gives it, the question."""

SHOWN = 4  # different answers


def annotators_answers(benchmark: str, data: Path, wanted: Collection[Key]) -> dict[Key, str]:
    """Return the annotators' answers to the questions `wanted`, the most frequent first; none of other benchmarks.

    `data` holds the benchmark's official files; there are none either where these are not at hand.
    """
    reader = READERS.get(benchmark)
    if reader is None or not wanted:
        return {}
    try:
        return {key: _told(answers) for key, answers in reader(data, {key[0] for key in wanted}) if key in wanted}
    except MissingFile:
        return {}


def _told(answers: Iterable[str]) -> str:
    counts = Counter(answers).most_common(SHOWN)
    return ", ".join(f"{answer} ({count} of them)" for answer, count in counts)


Annotated = Iterable[tuple[Key, list[str]]]


def _textvqa(data: Path, ids: Collection[str]) -> Annotated:
    for row in json_object(find(data, textvqa.ANNOTATIONS)).rows("data"):
        if row.text("image_id") in ids:
            yield (row.text("image_id"), row.text("question").lower()), row.texts("answers")


def _vqav2(data: Path, ids: Collection[str]) -> Annotated:
    for row in json_object(find(data, f"v2_{vqav2.SPLIT}_annotations.json")).rows("annotations"):
        if str(row.integer("question_id")) in ids:
            yield (str(row.integer("question_id")), ""), _answers(row)


def _vizwiz(data: Path, ids: Collection[str]) -> Annotated:
    images = {question.image: str(question.question_id) for question in vizwiz.questions(data)}
    for row in json_list(find(data, vizwiz.ANNOTATIONS)):
        identifier = images.get(row.image("image", data / "val"))
        if identifier in ids:
            yield (str(identifier), ""), _answers(row)


def _answers(row: Row) -> list[str]:
    return [answer.text("answer") for answer in row.rows("answers")]


READERS: dict[str, Callable[[Path, Collection[str]], Annotated]] = {
    "textvqa": _textvqa,
    "vqav2": _vqav2,
    "vizwiz": _vizwiz,
}
