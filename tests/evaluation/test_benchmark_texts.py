"""The rules of the benchmarks with short texts as answers, as the official code has them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from benchmark_files import SHORT, answer, jsonl
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.benchmarks import (
    gqa,
    textvqa,
    vizwiz,
)

# --- VizWiz ---------------------------------------------------------------------------------------------------------

MAY_REFUSE = "When the provided information is insufficient, respond with 'Unanswerable'."


def vizwiz_folder(folder: Path, answers: list[tuple[str, list[str]]], prefix: str = "llava") -> None:
    """Write a question for each (answer type, ten answers); the annotations stand in another order."""
    names = [f"VizWiz_val_{number:08d}.jpg" for number in range(len(answers))]
    text = f"What is it?\n{MAY_REFUSE}\n{SHORT}"
    jsonl(folder / f"{prefix}_val.jsonl", [{"question_id": n, "image": i, "text": text} for n, i in enumerate(names)])
    annotated = [
        {
            "image": name,
            "question": "What is it?",
            "answers": [{"answer": one, "answer_confidence": "yes"} for one in texts],
            "answer_type": kind,
            "answerable": 1,
        }
        for name, (kind, texts) in zip(names, answers, strict=True)
    ]
    (folder / "val.json").write_text(json.dumps(annotated[::-1]))


@pytest.mark.parametrize("prefix", ["llava", "share4v"])
def test_vizwiz_question(tmp_path: Path, prefix: str) -> None:
    vizwiz_folder(tmp_path, [("other", ["can"] * 10)], prefix)
    question = vizwiz.questions(tmp_path)[0]
    assert question.image == tmp_path / "val/VizWiz_val_00000000.jpg"
    assert question.prompt == f"What is it?\n{MAY_REFUSE}\n{SHORT}"
    assert (question.question_id, question.max_new_tokens, question.image_aspect_ratio) == (0, 128, "pad")


@pytest.mark.parametrize(
    ("text", "truths", "expected"),
    [
        ("Unanswerable", ["unanswerable"] * 10, 1),
        ("Unanswerable.", ["unanswerable"] * 3 + ["can"] * 7, 0.9),
        ("A can", ["can"] * 2 + ["bottle"] * 8, 0.6),
        ("can", ["can"] + ["bottle"] * 9, 0.3),
        ("two dogs", ["2 dogs"] * 10, 1),
        ("two", ["two"] * 10, 0),  # the prediction becomes "2", what people said stays
        ("yes", ["Yes"] * 10, 0),
        ("Yes", ["yes"] * 10, 1),  # normalised where all agree too, unlike VQAv2
        ("joe's", ["joe's"] * 10, 0),  # it is uploaded as "joe 's"
        ("joe's", ["joe 's"] * 10, 1),
        ("", ["unanswerable"] * 10, 0),
        ("罐", ["罐"] * 10, 1),
    ],
)  # fmt: skip
def test_vizwiz_normalises_the_prediction_alone(tmp_path: Path, text: str, truths: Any, expected: float) -> None:
    vizwiz_folder(tmp_path, [("other", truths)])
    assert vizwiz.score(tmp_path, [answer(0, text)]).columns == {"VizWiz": pytest.approx(100 * expected)}


def test_vizwiz_score(tmp_path: Path) -> None:
    vizwiz_folder(tmp_path, [("other", ["can"] * 10), ("number", ["2"] * 3 + ["3"] * 7), ("other", ["cup"] * 10)])
    answers = [answer(0, "cup"), answer(0, "can"), answer(1, "2"), answer(2, "can"), answer(9, "not asked")]
    score = vizwiz.score(tmp_path, answers)
    assert [item["score"] for item in score.items] == [1, pytest.approx(0.9), 0]
    assert (score.columns, score.n) == ({"VizWiz": pytest.approx(190 / 3)}, {"VizWiz": 3})  # type: ignore[comparison-overlap]  # approx
    assert score.parts == {"answer_type": {"number": pytest.approx(90), "other": 50}}
    assert score.stderr["VizWiz"] == pytest.approx(100 * stdev([1, 0.9, 0]) / math.sqrt(3))


def test_vizwiz_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no share4v_val.jsonl or llava_val.jsonl or val.json; expected"):
        vizwiz.questions(tmp_path)
    vizwiz_folder(tmp_path, [("other", ["can"] * 10), ("other", [])])
    with pytest.raises(UserError, match=r"val.json: no answers for image VizWiz_val_00000001.jpg; expected"):
        vizwiz.score(tmp_path, [answer(0, "can"), answer(1, "can")])
    (tmp_path / "val.json").write_text("[]")
    with pytest.raises(UserError, match=r"val.json: no annotation for image VizWiz_val_00000000.jpg; expected one"):
        vizwiz.score(tmp_path, [answer(0, "can"), answer(1, "can")])


# --- GQA ------------------------------------------------------------------------------------------------------------


def gqa_folder(folder: Path) -> None:
    def question(truth: str, structural: str, group: str | None, balanced: bool = True) -> dict[str, Any]:
        return {
            "question": "Is the dog red?",
            "answer": truth,
            "isBalanced": balanced,
            "semantic": [
                {"operation": "select", "argument": "dog (1)", "dependencies": []},
                {"operation": "exist", "argument": "?", "dependencies": [0]},
            ],
            "types": {"structural": structural, "semantic": "attr", "detailed": "x"},
            "groups": {"global": group, "local": None},
        }

    questions = {
        "1": question("yes", "verify", None),
        "2": question("red", "query", "color"),
        "3": question("blue", "query", "color"),
        "4": question("red", "query", "color", balanced=False),
    }
    (folder / "data").mkdir()
    (folder / "images").mkdir()
    (folder / "data/testdev_balanced_questions.json").write_text(json.dumps(questions))
    rows = [{"question_id": i, "image": "n1.jpg", "text": f"Is the dog red?\n{SHORT}"} for i in questions]
    jsonl(folder / "llava_gqa_testdev_balanced.jsonl", rows)


def test_gqa_score(tmp_path: Path) -> None:
    gqa_folder(tmp_path)
    score = gqa.score(tmp_path, [answer("1", "Yes."), answer("2", "red"), answer("3", "a blue"), answer("5", "x")])
    assert (score.columns, score.n) == ({"GQA": pytest.approx(200 / 3)}, {"GQA": 3})  # type: ignore[comparison-overlap]  # approx
    assert (score.parts["binary"], score.parts["open"]) == (100, 50)
    assert score.parts["words"] == {"4": pytest.approx(200 / 3)}
    assert score.parts["steps"] == {"1": pytest.approx(200 / 3)}
    # group color: red 1 of 1, blue 0 of 1: chi-square 0 + 1
    assert score.parts["distribution"] == pytest.approx(0.01)
    assert gqa.questions(tmp_path)[0].image == tmp_path / "images/n1.jpg"


@pytest.mark.parametrize("text", ["yes ", "yes!", "", "yes, it is"])
def test_gqa_normalises_nothing_else(tmp_path: Path, text: str) -> None:
    gqa_folder(tmp_path)
    assert gqa.score(tmp_path, [answer("1", text), answer("2", "x"), answer("3", "x")]).columns == {"GQA": 0}


def test_gqa_errors(tmp_path: Path) -> None:
    gqa_folder(tmp_path)
    score = gqa.score(tmp_path, [answer("1", "yes"), answer("4", "red")])  # of which 4 is not balanced
    assert (score.columns["GQA"], score.completeness["GQA"].faults) == (pytest.approx(100 / 3), {"missing": 2})  # type: ignore[comparison-overlap]  # approx
    path = tmp_path / "data/testdev_balanced_questions.json"
    path.write_text('{"1": {"isBalanced": "yes"}}')
    with pytest.raises(UserError, match=r"questions.json, 1, field 'isBalanced': 'yes'; expected true or false"):
        gqa.score(tmp_path, [])
    path.write_text('{"1": ')
    with pytest.raises(UserError, match="not JSON"):
        gqa.score(tmp_path, [])


# --- TextVQA --------------------------------------------------------------------------------------------------------


def textvqa_folder(folder: Path) -> None:
    answers = ["Joe's"] * 3 + ["the 2 Joes"] * 7
    data = [
        {"image_id": "abc", "question": "Whose Bar?", "answers": answers},
        {"image_id": "abc", "question": "what number?", "answers": ["one"] * 10},
    ]
    (folder / textvqa.ANNOTATIONS).write_text(json.dumps({"data": data}))


def ocr_prompt(question: str, tokens: str = "JOE, BAR") -> str:
    return f"{question}\nReference OCR token: {tokens}\n{SHORT}"


def test_textvqa_score(tmp_path: Path) -> None:
    textvqa_folder(tmp_path)
    answers = [answer("abc", "joe's", ocr_prompt("Whose Bar?")), answer("abc", "1.", ocr_prompt("What Number?", ""))]
    score = textvqa.score(tmp_path, answers)
    assert [item["score"] for item in score.items] == [pytest.approx(0.9), 1]
    assert score.columns == {"TextVQA": pytest.approx(95)}
    assert score.stderr == {"TextVQA": pytest.approx(5)}
    alone = textvqa.score(tmp_path, [*answers[:1], answer("abc", "x", ocr_prompt("Who?"))])
    assert alone.columns == {"TextVQA": pytest.approx(90)}
    assert alone.completeness["TextVQA"].faults == {"missing": 1, "unknown": 1}
    assert alone.completeness["TextVQA"].first == {"missing": "abc what number?", "unknown": "abc who?"}


@pytest.mark.parametrize(
    "prompt",
    [
        ocr_prompt("Whose bar?"),
        f"Reference OCR token: X\nWhose bar?\n{SHORT}",
        f"Whose bar?\n{SHORT}",
        "OCR tokens: X. Question: Whose bar? Short answer:",
    ],
)
def test_textvqa_finds_the_question_in_every_official_prompt(tmp_path: Path, prompt: Any) -> None:
    textvqa_folder(tmp_path)
    assert textvqa.score(tmp_path, [answer("abc", "nobody", prompt)]).columns == {"TextVQA": 0}


def test_textvqa_errors(tmp_path: Path) -> None:
    textvqa_folder(tmp_path)
    with pytest.raises(UserError, match="answers, row 1, field 'prompt': 1 lines"):
        textvqa.score(tmp_path, [answer("abc", "x", "Whose bar?")])
    with pytest.raises(UserError, match="no answer to a question"):
        textvqa.score(tmp_path, [])
    (tmp_path / textvqa.ANNOTATIONS).write_text(
        json.dumps({"data": [{"image_id": "abc", "question": "q", "answers": ["x"] * 9}]})
    )
    with pytest.raises(UserError, match=r"data\[0\], field 'answers': 9 answers; expected ten"):
        textvqa.score(tmp_path, [])
