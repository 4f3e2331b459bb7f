"""The rules of the benchmarks about quality, science and free answers, as the official code has them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from benchmark_files import LETTER, SHORT, answer, jsonl
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Completeness
from sharegpt4v.evaluation.benchmarks import (
    qbench,
    scienceqa,
    vqav2,
)
from sharegpt4v.models.templates import prompt_text

# --- Q-Bench --------------------------------------------------------------------------------------------------------

CANDIDATES = ["Sharp", "Blurry", "Dark scene"]


def qbench_folder(folder: Path) -> None:
    rows = [
        {"img_path": "7.jpg", "question": "How is it?", "candidates": CANDIDATES, "correct_ans": "Blurry"},
        {"img_path": "8.jpg", "question": "Is it dark?", "candidates": ["Yes", "No"], "correct_ans": "No"},
    ]
    (folder / "llvisionqa_dev.json").write_text(json.dumps(rows))


def test_qbench_is_asked_in_its_own_conversation(tmp_path: Path) -> None:
    qbench_folder(tmp_path)
    first, second = qbench.questions(tmp_path)
    assert first.image == tmp_path / "images_llvisionqa/7.jpg"
    assert (first.question_id, second.question_id) == (0, 1)
    assert (first.max_new_tokens, first.image_aspect_ratio) == (1024, "square")
    assert prompt_text(first.prompt, True, first.system) == (
        "A chat between a curious human and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the human's questions. "
        "USER: <image>\nHow is it?\nChoose between one of the options as follows:\n"
        "A. Sharp\nB. Blurry\nC. Dark scene\n ASSISTANT:"
    )


@pytest.mark.parametrize(
    ("text", "truth", "expected"),
    [
        ("B", "Blurry", True), ("B. Blurry", "Blurry", True), ("Blurry", "Blurry", True),
        ("Because it is", "Blurry", True),  # only the first character counts
        ("A", "Blurry", False), ("D", "Blurry", False), ("b", "Blurry", False), ("(B)", "Blurry", False),
        ("blurry", "Blurry", False), ("", "Blurry", False), (" B", "Blurry", False),
        ("Blurry", "Sharp", False), ("Sharp", "Sharp", True), ("Sharp it is", "Sharp", True),
        ("Sharp.", "Sharp", False), ("Sharp\n", "Sharp", False),
        ("Dark scene", "Dark scene", True),  # as a whole; "D" has no candidate
        ("Dark", "Dark scene", False), ("C", "Dark scene", True), ("@", "Sharp", False),
        ("The answer is B", "Blurry", False), ("模糊", "Blurry", False),
    ],
)  # fmt: skip
def test_qbench_reads_a_letter_a_word_or_the_whole(text: str, truth: str, expected: bool) -> None:
    assert qbench.is_right(text, CANDIDATES, truth) is expected


def qbench_answers(folder: Path, *texts: str) -> list[dict[str, Any]]:
    """Answer the first questions as `s4v answer` does."""
    questions = qbench.questions(folder)
    return [answer(q.question_id, text, q.prompt, **q.extra) for q, text in zip(questions, texts, strict=False)]


def test_qbench_score(tmp_path: Path) -> None:
    qbench_folder(tmp_path)
    score = qbench.score(tmp_path, [*qbench_answers(tmp_path, "A"), *qbench_answers(tmp_path, "B", "")])
    assert (score.columns, score.n) == ({"QBench": 50}, {"QBench": 2})
    assert score.stderr == {"QBench": pytest.approx(100 * math.sqrt(0.25 / 2))}
    assert score.items[1] == {"question_id": 1, "prediction": "", "answer": "No", "score": 0}


@pytest.fixture
def alike(tmp_path: Path) -> Path:
    """Three questions of Q-Bench, of which the first two have the same prompt."""
    question = {"question": "Is it dark?", "candidates": ["Yes", "No"]}
    rows = [
        question | {"img_path": "1.jpg", "correct_ans": "Yes"},
        question | {"img_path": "2.jpg", "correct_ans": "No"},
        question | {"img_path": "3.jpg", "correct_ans": "No", "candidates": ["No", "Yes"]},
    ]
    (tmp_path / qbench.FILE).write_text(json.dumps(rows))
    return tmp_path


def test_qbench_reads_the_official_rows_in_any_order(alike: Path) -> None:
    rows = json.loads((alike / qbench.FILE).read_text())
    official = [row | {"response": row["correct_ans"]} for row in rows]
    for answers in (official, official[::-1], [row | {"question_id": 0} for row in official]):
        score = qbench.score(alike, answers)
        assert (score.columns, score.completeness["QBench"]) == ({"QBench": 100}, Completeness(3))
        assert qbench.submission(alike, answers).content.splitlines()[0] == json.dumps(official[0]).encode()


def test_qbench_tells_equal_prompts_apart_by_the_image_or_an_id_that_fits(alike: Path) -> None:
    prompts = [question.prompt for question in qbench.questions(alike)]
    assert prompts[0] == prompts[1] != prompts[2]

    def scored(*answers: dict[str, Any]) -> list[int]:
        return [item["question_id"] for item in qbench.score(alike, answers).items]

    assert scored(answer(1, "A", prompts[1])) == [1]
    assert scored(answer(0, "A", prompts[2])) == scored(answer("q7", "A", f"<image>\n{prompts[2].strip()}")) == [2]
    assert scored(answer(7, "A", prompts[0], img_path="2.jpg")) == [1]
    assert scored(answer(0, "A", prompts[0], image="/photos/2.jpg")) == [1]
    with pytest.raises(
        UserError, match=r"answers, row 1: 2 questions of llvisionqa_dev.json have this prompt; expected"
    ):
        scored(answer(7, "A", prompts[0]))
    with pytest.raises(
        UserError, match=r"answers, row 1: 3 questions of llvisionqa_dev.json have this prompt; expected"
    ):
        scored({"question": "Is it dark?", "text": "A"})
    none = answer(0, "A", prompts[2], img_path="1.jpg")  # that image has another question
    assert qbench.score(alike, [answer(1, "A", prompts[1]), none]).completeness["QBench"].faults == {
        "missing": 2, "unknown": 1,
    }  # fmt: skip


def test_qbench_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no llvisionqa_dev.json; expected"):
        qbench.questions(tmp_path)
    qbench_folder(tmp_path)
    assert qbench.score(tmp_path, qbench_answers(tmp_path, "B")).completeness["QBench"].faults == {"missing": 1}
    with pytest.raises(UserError, match=r"Q-Bench: no answer to a question of .*; expected one for each"):
        qbench.score(tmp_path, [answer(0, "B", "Is it raining?")])
    with pytest.raises(UserError, match="answers, row 1: no field 'question'; expected a text"):
        qbench.score(tmp_path, [{"question_id": 0, "response": "B"}])
    path = tmp_path / "llvisionqa_dev.json"
    path.write_text('[{"img_path": "7.jpg", "question": "?", "candidates": "Yes"}]')
    with pytest.raises(UserError, match=r"dev.json, \[0\], field 'candidates': 'Yes'; expected a list"):
        qbench.questions(tmp_path)
    path.write_text('[{"img_path": "7.jpg", "question": "?", "candidates": ["Yes"]}]')
    with pytest.raises(UserError, match=r"dev.json, \[0\]: no field 'correct_ans'; expected a text"):
        qbench.score(tmp_path, [answer(0, "A", "?")])
    path.write_text("[]")
    with pytest.raises(UserError, match=r"dev.json: no questions; expected at least one"):
        qbench.score(tmp_path, [])


# --- ScienceQA ------------------------------------------------------------------------------------------------------


def scienceqa_folder(folder: Path) -> None:
    problems = {name: {"choices": ["x", "y", "z"], "answer": 1} for name in ("3", "4", "5")}
    (folder / "problems.json").write_text(json.dumps(problems))
    (folder / "pid_splits.json").write_text(json.dumps({"test": ["3", "4", "5"], "train": []}))
    question = "Context: c\nWhat?\nA. x\nB. y\nC. z"
    rows = [
        {"id": "3", "image": "3/image.png", "conversations": [{"from": "human", "value": f"<image>\n{question}"}]},
        {"id": "4", "conversations": [{"from": "human", "value": question}]},
    ]
    (folder / "llava_test_CQM-A.json").write_text(json.dumps(rows))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", "B"), ("B. y", "B"), ("The answer is B.", "B"), ("The answer is Because", "B"), ("The answer is B!", "B"),
        ("B.", None), ("(B)", None), ("b", None), ("B) y", None), ("B.y", None), ("The answer is B", None),
        ("The answer is B\n", None), ("", None), ("AB", None), ("The answer is B. The answer is B.", None),
        ("F", None), ("The answer is F.", "F"), ("Б", None),
    ],
)  # fmt: skip
def test_scienceqa_reads_a_letter(text: str, expected: str | None) -> None:
    assert scienceqa.letter_of(text) == expected


def test_scienceqa_prompts(tmp_path: Path) -> None:
    scienceqa_folder(tmp_path)
    with_image, without = scienceqa.questions(tmp_path)
    assert with_image.prompt == without.prompt == f"Context: c\nWhat?\nA. x\nB. y\nC. z\n{LETTER}"
    assert with_image.stored_prompt == f"<image>\n{with_image.prompt}"
    assert without.stored_prompt == without.prompt
    assert with_image.image == tmp_path / "images/test/3/image.png"
    assert without.image is None
    assert with_image.image_aspect_ratio == "square"


def test_scienceqa_column_is_over_answers_with_an_image(tmp_path: Path) -> None:
    scienceqa_folder(tmp_path)
    answers = [answer("3", "E", "<image>\nq"), answer("4", "B", "q")]  # question 5 has no prediction; there is no E
    score = scienceqa.score(tmp_path, answers)
    assert (score.columns, score.n) == ({"SQA-image": 0}, {"SQA-image": 1})
    assert score.parts == {"all questions": pytest.approx(100 / 3), "questions": 3, "missing": 1}
    assert score.completeness["SQA-image"] == Completeness(1)  # of question 5 nothing says that it has an image
    with pytest.raises(UserError, match="no answer to a question with an image"):
        scienceqa.score(tmp_path, answers[1:])


# --- VQAv2 ----------------------------------------------------------------------------------------------------------


def vqav2_folder(folder: Path, answers: dict[int, list[str]]) -> None:
    rows = [{"question_id": i, "image": f"COCO_val2014_{i:012d}.jpg", "text": f"What?\n{SHORT}"} for i in answers]
    jsonl(folder / "share4v_vqav2_mscoco_val2014.jsonl", rows)
    annotations = [
        {
            "question_id": i,
            "image_id": i,
            "question_type": "what",
            "answer_type": "other",
            "answers": [{"answer": a, "answer_id": n} for n, a in enumerate(texts, start=1)],
        }
        for i, texts in [*answers.items(), (999, ["not asked"] * 10)]
    ]
    (folder / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": annotations}))


def test_vqav2_score(tmp_path: Path) -> None:
    mixed = ["The two dogs"] * 2 + ["two dogs"] + ["cats"] * 7
    vqav2_folder(tmp_path, {1: ["yes"] * 10, 2: mixed, 3: ["yes"] * 10})
    answers = [answer(1, "Yes"), answer(2, "nothing"), answer(2, "2 dogs."), answer(3, " yes\n")]
    raw = vqav2.score_raw(tmp_path, answers)
    # a unanimous "yes" rejects "Yes"; three agree with "2 dogs"; line ends and blanks around are taken off
    assert [item["score"] for item in raw.items] == [0, pytest.approx(0.9), 1]
    assert raw.columns == {"VQA-v2": pytest.approx(190 / 3)}
    assert raw.parts["answer_type"] == {"other": pytest.approx(190 / 3)}
    assert raw.stderr["VQA-v2"] == pytest.approx(100 * stdev([0, 0.9, 1]) / math.sqrt(3))
    # what LLaVA uploads is "yes"
    submitted = vqav2.score(tmp_path, answers)
    assert [item["score"] for item in submitted.items] == [1, pytest.approx(0.9), 1]
    assert (raw.scorer, submitted.scorer) == ("VQA vqaEval on raw answers", "")
    assert submitted.completeness["VQA-v2"].faults == {"repeated": 1}


def test_vqav2_question(tmp_path: Path) -> None:
    vqav2_folder(tmp_path, {1: ["yes"] * 10})
    assert vqav2.questions(tmp_path)[0].image == tmp_path / "val2014/COCO_val2014_000000000001.jpg"


def test_vqav2_missing_is_empty_and_unknown_is_left_out(tmp_path: Path) -> None:
    vqav2_folder(tmp_path, {1: ["yes"] * 10, 2: ["no"] * 10})
    score = vqav2.score(tmp_path, [answer(1, "yes"), answer(3, "no")])
    assert score.columns == {"VQA-v2": 50}
    assert score.completeness["VQA-v2"].faults == {"missing": 1, "unknown": 1}
    with pytest.raises(UserError, match="answers, row 1, field 'question_id': '1'; expected a whole number"):
        vqav2.score(tmp_path, [answer("1", "yes")])
