"""Hostile answers, judge's replies and annotations: a score of finite numbers comes of them, or a refusal of one line.

test_benchmark_damage.py walks all files through encodings and folders; here they are changed at random.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import changed_bytes, changed_json
from evaluation_files import CATALOGUE, make_evaluation, official_files
from harness import Outcomes, many_cases
from sharegpt4v.catalogues.benchmarks import Benchmark
from sharegpt4v.evaluation.joining import Limits
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.reading import answer_file
from sharegpt4v.evaluation.scoring import score_file
from sharegpt4v.files import read_json

LARGEST = {"MME-perception": 2000.0, "MME-cognition": 800.0}  # of all other columns: 100
NONE_REFUSED = Limits(incomplete=10**9, failed=1)
DEEP = b"[" * 100_000
STRANGE_FILES = {
    "deep": DEEP,
    "deep and closed": DEEP + b"]" * 100_000,
    "a deep row": b'{"question_id": ' + DEEP + b"]" * 100_000 + b"}",
    "a number of 10,000 digits": b'[{"question_id": ' + b"9" * 10_000 + b"}]",
    "a row with one": b'{"question_id": ' + b"9" * 10_000 + b', "text": "a"}',
    "beyond a double": b'{"question_id": 1e999, "text": -1e999}',
    "not a number": b'{"question_id": NaN, "text": Infinity}',
    "half a character": b'{"question_id": "\\ud800", "text": "\\udfff"}',
    "zero bytes": b"\0" * 100,
    "nothing": b"",
    "only blanks": b" \n\t\r\n",
    "an open text": b'{"question_id": "',
    "one line of a million letters": b'"' + b"a" * 10**6 + b'"',
}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_evaluation(tmp_path_factory.mktemp("evaluation"), questions=4)


def files_of(entry: Benchmark, evaluation: Path) -> list[Path]:
    """The answers, the replies and the text files of a benchmark."""
    own = [evaluation / "answers" / f"{entry.name}.jsonl", evaluation / "replies" / f"{entry.name}.json"]
    return [path for path in own if path.exists()] + official_files(entry.folder, evaluation)


def use(entry: Benchmark, evaluation: Path, out: Path) -> None:
    """Read the questions, score the answers and write a submission: all numbers of a score are in its range."""
    data, answers = evaluation / entry.folder, evaluation / "answers" / f"{entry.name}.jsonl"
    module_of(entry).questions(data)
    if entry.submission:
        assert isinstance(module_of(entry).submission(data, answer_file(answers)).content, bytes)
    if entry.scoring == "server":
        return
    replies = evaluation / "replies" / f"{entry.name}.json" if entry.scoring == "judge" else None
    score_file(entry.name, data, answers, out, replies, limits=NONE_REFUSED)
    score = read_json(out)
    for column, value in score["columns"].items():
        if entry.name == "llava-bench":  # a ratio of what the judge gives, to which its scale is no limit
            assert math.isfinite(value)
        else:
            assert 0 <= value <= LARGEST.get(column, 100.0), (column, value)
    assert all(math.isfinite(error) and error >= 0 for error in score["stderr"].values()), score["stderr"]
    assert all(math.isfinite(item["score"]) for item in score["items"])


@many_cases
@given(data=st.data())
def test_any_change(data: st.DataObject, evaluation: Path, tmp_path: Path, outcomes: Outcomes) -> None:
    entry = CATALOGUE[data.draw(st.sampled_from(sorted(CATALOGUE)))]
    file = data.draw(st.sampled_from(files_of(entry, evaluation)))
    content = file.read_bytes()
    file.write_bytes(changed(data, file, content))
    try:
        outcomes.of(lambda: use(entry, evaluation, tmp_path / "score.json"))
    finally:
        file.write_bytes(content)


def changed(data: st.DataObject, file: Path, content: bytes) -> bytes:
    """Change a value of a JSON file, a row of JSON lines or a cell of a table; or bytes, whatever the file is."""
    if data.draw(st.integers(0, 3)) == 0:
        return changed_bytes(data, content)
    by_line = file.suffix == ".jsonl" or file.name.startswith("coco_pope_")  # POPE's own have a document per line
    if file.suffix == ".json" and not by_line:
        return dumped(changed_json(data, json.loads(content)))
    lines = content.splitlines()
    place = data.draw(st.integers(0, max(0, len(lines) - 1)))
    if by_line:
        lines[place] = dumped(changed_json(data, json.loads(lines[place])))
    else:
        cells = lines[place].split(b"\t") if lines else [b""]
        cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(st.sampled_from(CELLS))
        lines[place : place + 1] = [b"\t".join(cells)] * data.draw(st.integers(0, 2))
    return b"\n".join(lines)


CELLS = [b"", b"nan", b"-1", b"1e999", b"9" * 5000, "²".encode(), b'"', b"\xff", b"\x1b[2J", b"a\tb", b"A", b"../../x"]


def dumped(value: Any) -> bytes:
    """As Python's own scripts write it, NaN and half characters included."""
    return json.dumps(value).encode()


@pytest.mark.parametrize("what", STRANGE_FILES)
def test_files_that_no_program_writes(what: str, evaluation: Path, tmp_path: Path, outcomes: Outcomes) -> None:
    for entry in CATALOGUE.values():
        for file in files_of(entry, evaluation):
            content = file.read_bytes()
            for strange in (STRANGE_FILES[what], content + b"\n" + STRANGE_FILES[what]):
                file.write_bytes(strange)
                try:
                    outcomes.of(partial(use, entry, evaluation, tmp_path / "score.json"))
                finally:
                    file.write_bytes(content)


def test_a_row_with_any_values_is_read_or_refused(tmp_path: Path, outcomes: Outcomes) -> None:
    @many_cases
    @given(st.binary(max_size=200) | st.text('[]{}",:0123456789eE+-. \n\\ud\t', max_size=80).map(str.encode))
    def reads(content: bytes) -> None:
        path = tmp_path / "answers.jsonl"
        path.write_bytes(content)
        rows = outcomes.of(lambda: answer_file(path))
        if rows is not None:
            orjson.dumps(rows)  # and can be written again

    reads()


@pytest.mark.parametrize("reply", ["1e308 1e308", "-1e308 1e308", "1e-320 1e308", "0 0", "-1 -1", "1e999 nan", "-5 10"])
def test_judges_that_give_absurd_numbers(reply: str, evaluation: Path, tmp_path: Path, outcomes: Outcomes) -> None:
    for name, replies in (("llava-bench", [reply] * 12), ("mm-vet", {f"v1_{n}": [[reply]] for n in range(4)})):
        file = evaluation / "replies" / f"{name}.json"
        content = file.read_bytes()
        rows = len(answer_file(evaluation / "answers" / f"{name}.jsonl"))
        file.write_text(json.dumps(replies[:rows] if isinstance(replies, list) else replies))
        try:
            outcomes.of(partial(use, CATALOGUE[name], evaluation, tmp_path / "score.json"))
        finally:
            file.write_bytes(content)
