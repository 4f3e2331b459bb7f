"""Questions on which the models' verdicts differ: the image, the question, the truth, and every model's answer.

They are drawn by a hash of the question among all on which at least two models of the table got different verdicts.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sharegpt4v import layout
from sharegpt4v.catalogues.benchmarks import Benchmark, benchmark_named
from sharegpt4v.config import Config
from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.errors import MissingFile
from sharegpt4v.evaluation.base import Item, Question
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.reading import Row, answer_file, json_object
from sharegpt4v.report.pictures import Picture, Pictures
from sharegpt4v.report.truths import Key, annotators_answers

SHOWN = 2  # questions of each benchmark


@dataclass(frozen=True)
class Given:
    """What a model answered: its text as it is, what the scorer read in it, the verdict in words and from 0 to 1."""

    model: str
    text: str
    read_as: str
    verdict: str
    score: float


@dataclass(frozen=True)
class Difference:
    """A question with the answers to it; `truth` is empty where the benchmark's files say none."""

    question: str
    picture: Picture
    truth: str
    answers: Sequence[Given]


@dataclass(frozen=True)
class Compared:
    """A benchmark: of `questions` that all models answered, the verdicts of `differing` differ, and some are shown."""

    benchmark: str
    columns: str
    models: Sequence[str]
    questions: int
    differing: int
    shown: Sequence[Difference]


def differences(config: Config, pictures: Pictures) -> list[Compared]:
    """Return what differs, benchmark by benchmark; none where fewer than two models have scores."""
    models = [model.name for model in config.models]
    compared = (_compared(config, benchmark_named(name), models, pictures) for name in config.benchmarks.scored)
    return [one for one in compared if one is not None]


def _compared(config: Config, entry: Benchmark, models: Sequence[str], pictures: Pictures) -> Compared | None:
    items = {name: found for name in models if (found := _items(layout.SCORES / name / f"{entry.name}.json"))}
    if len(items) < 2:
        return None
    first, *others = items.values()
    common = [key for key in first if all(key in other for other in others)]
    differing = [key for key in common if len({of_model[key]["score"] for of_model in items.values()}) > 1]
    drawn = heapq.nsmallest(
        SHOWN, differing, key=lambda key: hash_fraction(config.seed, "report", f"{entry.name} {key}")
    )
    data = layout.benchmark_folder(config, entry.name)
    asked, truths = _questions(entry, data), annotators_answers(entry.name, data, drawn)
    rows = {name: _Answers(layout.ANSWERS / name / f"{entry.name}.jsonl") for name in items} if drawn else {}
    shown = [
        _difference(entry, key, {name: found[key] for name, found in items.items()}, asked, truths, rows, pictures)
        for key in drawn
    ]
    return Compared(entry.name, ", ".join(entry.columns), list(items), len(common), len(differing), shown)


def _items(score_file: Path) -> dict[Key, Item]:
    """The verdicts of a model on a benchmark, by question."""
    if not score_file.exists():
        return {}
    items = json_object(score_file).sequence("items")
    return {(str(item["question_id"]), str(item.get("question", ""))): item for item in items}


def _questions(entry: Benchmark, data: Path) -> dict[str, list[Question]]:
    """The questions of a benchmark by `_short` id; none where its files are not at hand."""
    found: dict[str, list[Question]] = {}
    try:
        for question in module_of(entry).questions(data):
            found.setdefault(_short(question.question_id), []).append(question)
    except MissingFile:
        return {}
    return found


class _Answers:
    """The answers of a model to a benchmark by `_short` id, as prompt and text."""

    def __init__(self, path: Path) -> None:
        self.found: dict[str, list[tuple[str, str]]] = {}
        for number, row in enumerate(answer_file(path) if path.is_file() else (), start=1):
            answer = Row(row, f"{path}, row {number}")
            text = answer.text("response" if "response" in row else "text")
            self.found.setdefault(_short(row.get("question_id", "")), []).append((str(row.get("prompt", "")), text))

    def to(self, key: Key) -> str:
        """The text of the answer to a question; empty where there is none."""
        found = self.found.get(_short(key[0]), [])
        return next((text for prompt, text in found if _asks(prompt, key[1])), found[0][1] if found else "")


def _difference(
    entry: Benchmark,
    key: Key,
    items: Mapping[str, Item],
    asked: Mapping[str, list[Question]],
    truths: Mapping[Key, str],
    answers: Mapping[str, _Answers],
    pictures: Pictures,
) -> Difference:
    of_id = asked.get(_short(key[0]), [])
    question = next((one for one in of_id if _asks(one.prompt, key[1])), of_id[0] if of_id else None)
    image = question.image if question else None
    alt = f"the image of question {key[0]} of {entry.name}"
    picture = Picture(alt, problem="no image with this question") if image is None else pictures.of_image(image, alt)
    given = [
        Given(name, answers[name].to(key), _read_as(item), _verdict(entry, item), item["score"])
        for name, item in items.items()
    ]
    truth = truths.get(key) or _truth(next(iter(items.values())))
    return Difference(question.prompt if question else key[1] or f"question {key[0]}", picture, truth, given)


def _short(question_id: object) -> str:
    """An id without what only one of question file and scorer writes: MM-Vet's version, folder and ending in MME's."""
    text = str(question_id).removeprefix("v1_")
    path = PurePosixPath(text)
    return f"{path.parts[0]}/{path.stem}" if "/" in text else text


def _asks(prompt: str, question: str) -> bool:
    """Whether a prompt asks the question that a verdict names, if it names one."""
    lines = [line.strip().lower() for line in prompt.split("\n")]
    return not question or any(line and question.lower().startswith(line) for line in lines)


def _truth(item: Item) -> str:
    truth = item.get("answer")
    if isinstance(truth, int | float):
        return f"the reference answer, which the judge graded {truth:g}"
    return _joined(truth)


def _read_as(item: Item) -> str:
    return _joined(item.get("prediction"))


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join("nothing" if one is None else str(one) for one in value)
    return "" if value is None else str(value)


def _verdict(entry: Benchmark, item: Item) -> str:
    score = float(item["score"])
    if entry.scoring == "judge":
        return f"{100 * score:.0f} % by the judge"
    return {0.0: "wrong", 1.0: "right"}.get(score, f"{100 * score:.0f} %")
