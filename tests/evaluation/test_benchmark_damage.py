"""Every file that a benchmark reads, damaged as files are: a byte-order mark is read, all else is one clear line.

The official files of the synthetic world, answer files and judge's replies, each as a folder, in UTF-16 and in Latin-1.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evaluation_files import CATALOGUE, make_evaluation, official_files
from sharegpt4v.catalogues.benchmarks import Benchmark
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.benchmarks import mme
from sharegpt4v.evaluation.joining import Limits
from sharegpt4v.evaluation.modules import judged_module_of, module_of
from sharegpt4v.evaluation.reading import answer_file
from sharegpt4v.evaluation.scoring import score_file
from sharegpt4v.files import read_json
from sharegpt4v.mini.evaluation import FOLDERS

NOT_UTF8 = "not UTF-8; expected the text in that encoding, so save the file as UTF-8"


def latin_1(text: str) -> bytes:
    """With an accent on its first letter, so that it is not ASCII."""
    place = next(place for place, sign in enumerate(text) if sign.isalpha())
    return (text[:place] + "é" + text[place + 1 :]).encode("latin-1", errors="replace")


DAMAGES: dict[str, tuple[Callable[[str], bytes] | None, str]] = {
    "a folder": (None, "folder"),
    "UTF-16": (lambda text: text.encode("utf-16"), NOT_UTF8),
    "UTF-16 without its mark": (lambda text: text.encode("utf-16-le"), NOT_UTF8),
    "Latin-1": (latin_1, NOT_UTF8),
}


@contextmanager
def damaged(path: Path, damage: Callable[[str], bytes] | None) -> Iterator[None]:
    """Put a damaged file, or a folder, in the place of a file."""
    content = path.read_bytes()
    path.unlink()
    if damage is None:
        path.mkdir()
    else:
        path.write_bytes(damage(content.decode()))
    try:
        yield
    finally:
        if damage is None:
            path.rmdir()
        path.write_bytes(content)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_evaluation(tmp_path_factory.mktemp("evaluation"), questions=4)


def used(entry: Benchmark, evaluation: Path, out: Path) -> Any:
    """Do all that reads a file of a benchmark: ask, answer, judge, score and submit; return what came of it."""
    data, answers = evaluation / entry.folder, evaluation / "answers" / f"{entry.name}.jsonl"
    made: list[Any] = [len(module_of(entry).questions(data))]
    if entry.scoring != "server":
        replies = evaluation / "replies" / f"{entry.name}.json" if entry.scoring == "judge" else None
        if replies:
            made.append(judged_module_of(entry).messages(data, answer_file(answers)))
        score_file(entry.name, data, answers, out, replies, limits=Limits(failed=1))
        score = read_json(out)
        made.append({name: score[name] for name in ("columns", "completeness", "items")})
    if entry.submission:
        made.append(module_of(entry).submission(data, answer_file(answers)))
    return made


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "mmmu"])  # whose files are no texts
def test_every_official_file(folder: str, evaluation: Path, tmp_path: Path) -> None:
    entries = [entry for entry in CATALOGUE.values() if entry.folder == folder]
    files = official_files(folder, evaluation)
    assert files and entries

    def use_all() -> Any:
        return [used(entry, evaluation, tmp_path / "score.json") for entry in entries]

    whole = use_all()
    for file in files:
        with damaged(file, lambda text: text.encode("utf-8-sig")):
            assert use_all() == whole, file
        for name, (damage, expected) in DAMAGES.items():
            with damaged(file, damage), pytest.raises(UserError) as caught:
                use_all()
            told = str(caught.value)
            assert str(file) in told and expected in told and "\n" not in told, (file, name, told)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("kind", ["answers", "replies"])
def test_answers_and_replies(name: str, kind: str, evaluation: Path, tmp_path: Path) -> None:
    entry = CATALOGUE[name]
    file = evaluation / kind / f"{name}.{'jsonl' if kind == 'answers' else 'json'}"
    if kind == "replies" and entry.scoring != "judge":
        return
    whole = used(entry, evaluation, tmp_path / "score.json")
    with damaged(file, lambda text: text.encode("utf-8-sig")):
        assert used(entry, evaluation, tmp_path / "score.json") == whole
    for what, (damage, expected) in DAMAGES.items():
        if (name, kind, what) == ("mme", "answers", "a folder"):
            expected = "no existence.txt"  # it may be the folder of the official tool's files
        with damaged(file, damage), pytest.raises(UserError) as caught:
            used(entry, evaluation, tmp_path / "score.json")
        told = str(caught.value)
        assert str(file) in told and expected in told and "\n" not in told, (what, told)


def test_the_text_files_of_mmes_official_tool(evaluation: Path, tmp_path: Path) -> None:
    lines = "0.txt\tIs it é?\tYes\tyes\n0.txt\tIs it 1?\tNo\tyes\n"
    for subtask in mme.EVERY_SUBTASK:
        (tmp_path / f"{subtask}.txt").write_text(lines, encoding="utf-8")
    file = tmp_path / "OCR.txt"

    def scored() -> Any:
        return mme.score_folder(evaluation / "MME", tmp_path)

    whole = scored()
    with damaged(file, lambda text: text.encode("utf-8-sig")):
        assert scored() == whole
    for name, (damage, expected) in DAMAGES.items():
        with damaged(file, damage), pytest.raises(UserError) as caught:
            scored()
        told = str(caught.value)
        assert str(file) in told and expected in told and "\n" not in told, (name, told)


def test_answers_are_read_in_every_form_that_they_come_in(tmp_path: Path) -> None:
    rows = [{"question_id": 1, "text": "a}{b"}, {"question_id": 2, "text": "[é]\n"}]
    forms = [
        "".join(json.dumps(row) + "\n" for row in rows),
        "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        "".join(map(json.dumps, rows)),
        json.dumps(rows, indent=2),
    ]
    for number, text in enumerate(forms):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(text, encoding="utf-8", newline="")
        assert answer_file(path) == rows
    path.write_text('{"question_id": 1}\n{"question_id": 2}{"quest')
    with pytest.raises(UserError, match=r"3.jsonl, line 2: not JSON"):
        answer_file(path)
    path.write_text('{"question_id": 1}\n[2]\n')
    with pytest.raises(UserError, match=r"3.jsonl, row 2: \[2\]; expected a JSON object"):
        answer_file(path)
    shutil.rmtree(tmp_path)
    with pytest.raises(UserError, match=r"3.jsonl: no such file"):
        answer_file(path)
