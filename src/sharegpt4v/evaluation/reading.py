"""Reading the benchmarks' official files strictly: every fault is one line with file, row, field and what was expected.

The question files of LLaVA (`llava_*`) and of ShareGPT4V (`share4v_*`) differ in name only; both are accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.evaluation.base import SHORT_ANSWER, Answer, Question
from sharegpt4v.files import read_json, read_jsonl, read_text
from sharegpt4v.image_paths import inside

DECODER = json.JSONDecoder()
BLANKS = re.compile(r"\s*")


@dataclass(frozen=True)
class Row:
    """A JSON object and the place it was read from; every access names that place when the value is not right."""

    values: dict[str, Any]
    where: str

    @classmethod
    def of(cls, value: Any, where: str) -> Row:
        """Wrap `value`, which must be a JSON object."""
        if not isinstance(value, dict):
            raise UserError(f"{where}: {_short(value)}; expected a JSON object")
        return cls(value, where)

    def text(self, name: str) -> str:
        """Return a text."""
        return self._get(name, str, "a text")  # type: ignore[no-any-return]

    def image(self, name: str, folder: Path) -> Path:
        """Return a file that is named by its path below `folder`."""
        try:
            return inside(folder, self.text(name))
        except UserError as error:
            raise UserError(f"{self.where}, field '{name}': {error}") from None

    def integer(self, name: str) -> int:
        """Return a whole number."""
        return self._get(name, int, "a whole number")  # type: ignore[no-any-return]

    def flag(self, name: str) -> bool:
        """Return true or false."""
        return self._get(name, bool, "true or false")  # type: ignore[no-any-return]

    def identifier(self, name: str) -> int | str:
        """Return a question's id: a whole number or a text."""
        return self._get(name, (int, str), "a whole number or a text")  # type: ignore[no-any-return]

    def sequence(self, name: str) -> list[Any]:
        """Return a list."""
        return self._get(name, list, "a list")  # type: ignore[no-any-return]

    def row(self, name: str) -> Row:
        """Return the object under `name`."""
        return Row.of(self._get(name, dict, "an object"), f"{self.where}, {name}")

    def rows(self, name: str) -> Iterator[Row]:
        """Yield the objects of the list under `name`."""
        for index, value in enumerate(self.sequence(name)):
            yield Row.of(value, f"{self.where}, {name}[{index}]")

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        values = self.sequence(name)
        if not all(isinstance(value, str) for value in values):
            raise UserError(f"{self.where}, field '{name}': {_short(values)}; expected a list of texts")
        return values

    def _get(self, name: str, kind: type | tuple[type, ...], expected: str) -> Any:
        if name not in self.values:
            raise UserError(f"{self.where}: no field '{name}'; expected {expected}")
        value = self.values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"{self.where}, field '{name}': {_short(value)}; expected {expected}")
        return value


def find(data: Path, *names: str) -> Path:
    """Return the first of `names` that exists in the folder `data`; a `MissingFile` that names them all otherwise."""
    for name in names:
        if (data / name).exists():
            return data / name
    raise MissingFile(f"{data}: no {' or '.join(names)}; expected the benchmark's official files in this folder")


def json_object(path: Path) -> Row:
    """Read a file that holds one JSON object."""
    return Row.of(read_json(path), str(path))


def json_list(path: Path) -> Iterator[Row]:
    """Yield the objects of a file that holds one JSON list."""
    values = read_json(path)
    if not isinstance(values, list):
        raise UserError(f"{path}: {_short(values)}; expected a JSON list")
    for index, value in enumerate(values):
        yield Row.of(value, f"{path}, [{index}]")


def json_lines(path: Path) -> Iterator[Row]:
    """Yield the objects of a JSON-lines file; rows count from 1."""
    for number, value in enumerate(read_jsonl(path), start=1):
        yield Row.of(value, f"{path}, row {number}")


def json_text(value: Any, indent: int | None = None) -> bytes:
    """Return one JSON document as the official scripts write it: escaped to ASCII, blanks after commas and colons."""
    return json.dumps(value, indent=indent).encode()


def question_id(row: Row) -> int | str:
    """Return the id of a question: a whole number or a text."""
    return row.identifier("question_id")


def question_number(row: Row) -> int:
    """Return the id of a question, in files where it is a whole number."""
    return row.integer("question_id")


def question_text(row: Row) -> str:
    """Return the id of a question, in files where it is a text."""
    return row.text("question_id")


def short_questions(path: Path, images: Path, id_of: Callable[[Row], int | str] = question_id) -> list[Question]:
    """Read a question file {question_id, image (a path below `images`), text} whose answers are short."""
    return [
        Question(id_of(row), row.image("image", images), row.text("text"), SHORT_ANSWER) for row in json_lines(path)
    ]


def answer_file(path: Path) -> list[Answer]:
    """Read an answer file: JSON lines, objects one after another as Q-Bench's script writes them, or a JSON list."""
    text = read_text(path, "an answer file")
    if text.lstrip().startswith("["):
        return [row.values for row in json_list(path)]
    answers: list[Answer] = []
    for number, line in enumerate(text.split("\n"), start=1):
        for value in _documents(line, f"{path}, line {number}"):
            answers.append(Row.of(value, f"{path}, row {len(answers) + 1}").values)
    return answers


def _documents(line: str, where: str) -> Iterator[Any]:
    """Yield the JSON documents of a line: none, one, or several one after another."""
    place = BLANKS.match(line).end()  # type: ignore[union-attr]
    while place < len(line):
        try:
            _, end = DECODER.raw_decode(line, place)  # says where the document ends
            value = orjson.loads(line[place:end])  # and this takes no half characters, which could not be written again
        except json.JSONDecodeError as error:  # orjson's is one too
            raise UserError(f"{where}: not JSON ({error.msg})") from None
        except (RecursionError, ValueError):  # `int` refuses more than 4,300 digits
            raise UserError(f"{where}: lists too deep in each other, or a number of too many digits") from None
        yield value
        place = BLANKS.match(line, end).end()  # type: ignore[union-attr]


def answer_rows(answers: Sequence[Answer]) -> list[Row]:
    """Wrap answer rows; each must have a `question_id` and a `text`."""
    rows = [Row.of(answer, f"answers, row {number}") for number, answer in enumerate(answers, start=1)]
    for row in rows:
        row.identifier("question_id")
        row.text("text")
    return rows


def require_some(count: int, where: Path, what: str) -> None:
    """Refuse an empty file, over which no mean can be taken."""
    if count == 0:
        raise UserError(f"{where}: no {what}; expected at least one")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
