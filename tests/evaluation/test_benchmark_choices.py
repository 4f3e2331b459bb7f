"""The rules of the benchmarks whose questions have options or yes and no, as the official code has them."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark_files import LETTER, SHORT, answer, jsonl
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.benchmarks import (
    mmbench,
    mmbench_cn,
    mme,
    seed_bench,
)
from sharegpt4v.evaluation.scoring import score_file

# --- MME ------------------------------------------------------------------------------------------------------------

NESTED = {"artwork", "celebrity", "landmark", "posters", "scene"}


def mme_folder(folder: Path, images: int = 2) -> list[dict[str, Any]]:
    """Write a release tree with `images` per subtask; return right answers to all questions."""
    answers = []
    for subtask in [*mme.SUBTASKS["MME-perception"], *mme.SUBTASKS["MME-cognition"]]:
        texts = folder / "MME_Benchmark_release_version" / subtask
        texts = texts / "questions_answers_YN" if subtask in NESTED else texts
        texts.mkdir(parents=True)
        for number in range(images):
            first, second = f"Is it {number}?", f"Is it not {number}?"
            (texts / f"{number}.txt").write_text(
                f"{first} Please answer yes or no.\tYes\n{second}  Please answer yes or no.\tNo\n"
            )
            image = f"{subtask}/images/{number}.png" if subtask in NESTED else f"{subtask}/{number}.png"
            answers += [answer(image, "Yes", f"{first}\n{SHORT}"), answer(image, "No", f"{second}\n{SHORT}")]
    rows = [{"question_id": a["question_id"], "image": a["question_id"], "text": a["prompt"]} for a in answers]
    jsonl(folder / "llava_mme.jsonl", rows)
    return answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "yes"), ("no.", "no"), ("NO", "no"), (" yes", "yes"), ("  yes", "other"), ('"yes', "yes"),
        ("eyes", "yes"), ("not", "no"), ("none", "no"), ("know", "no"), ("snow", "no"), ("annoyed", "no"),
        ("I think yes", "other"), ("", "other"), ("n", "other"), ("yes and no", "yes"), ("да", "other"),
    ],
)  # fmt: skip
def test_mme_reads_the_first_four_characters(text: str, expected: str) -> None:
    assert mme.yes_or_no(text) == expected


def test_mme_all_right(tmp_path: Path) -> None:
    score = mme.score(tmp_path, mme_folder(tmp_path))
    assert score.columns == {"MME-perception": 2000, "MME-cognition": 800}
    assert score.n == {"MME-perception": 40, "MME-cognition": 16}
    assert score.stderr == {}  # all images are worth the same, so there is no spread


def test_mme_questions_come_as_in_the_file(tmp_path: Path) -> None:
    mme_folder(tmp_path, images=1)
    question = next(q for q in mme.questions(tmp_path) if str(q.question_id).startswith("scene"))
    assert question.image == tmp_path / "MME_Benchmark_release_version/scene/images/0.png"
    assert (question.prompt, question.max_new_tokens) == (f"Is it 0?\n{SHORT}", 128)
    assert question.image_aspect_ratio == "pad"


def test_mme_half_of_one_image_wrong(tmp_path: Path) -> None:
    answers = mme_folder(tmp_path)
    wrong = next(a for a in answers if a["question_id"] == "count/0.png")
    wrong["text"] = "I know"  # read as neither
    score = mme.score(tmp_path, answers)
    # 3 of 4 questions and 1 of 2 images: 75 + 50 instead of 200
    assert score.parts["count"] == {"score": 125, "accuracy": 75, "accuracy_plus": 50, "questions": 4}
    assert score.columns["MME-perception"] == 1925
    # the two images of count are worth 50 and 200: standard deviation 106.07, over sqrt(2) 75
    assert score.stderr["MME-perception"] == pytest.approx(75)
    assert sum(item["score"] for item in score.items) == 55


def test_mme_scores_the_text_files_of_the_official_tool(tmp_path: Path) -> None:
    for subtask in [*mme.SUBTASKS["MME-perception"], *mme.SUBTASKS["MME-cognition"]]:
        lines = ["0.txt\tIs it 0?\tYes\tyes", "0.txt\tIs it 1?\tNo\tI know"]
        lines += ["1.txt\tA?\tYes\tYes.", "1.txt\tB?\tNo\tsnow"]
        (tmp_path / f"{subtask}.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"MME-perception: 2074 missing of 2,114 answers"):  # by the official number
        score_file("mme", tmp_path, tmp_path, tmp_path / "mme.json")
    mme_folder(tmp_path)
    score_file("mme", tmp_path, tmp_path, tmp_path / "mme.json")
    score = json.loads((tmp_path / "mme.json").read_text())
    assert score["columns"] == {"MME-perception": 1250, "MME-cognition": 500}  # 75 + 50 each
    assert score["parts"]["OCR"] == {"score": 125, "accuracy": 75, "accuracy_plus": 50, "questions": 4}
    assert score["stderr"]["MME-cognition"] == pytest.approx(2 * 75)
    assert len(score["items"]) == 14 * 4 and len(score["answers_sha256"]) == 64

    with pytest.raises(UserError, match=r"a folder; expected an answer file of gqa"):
        score_file("gqa", tmp_path, tmp_path, tmp_path / "gqa.json")
    (tmp_path / "OCR.txt").write_text("0.txt\tIs it 0?\tYes\tyes\n")
    with pytest.raises(UserError, match=r"OCR.txt: 1 lines; expected two for each image"):
        mme.score_folder(tmp_path, tmp_path)
    (tmp_path / "OCR.txt").write_text("0.txt\tIs it 0?\tYes\tyes\n0.txt\tIs it\tMaybe\tyes\n")
    with pytest.raises(UserError, match=r"OCR.txt, line 2: expected file, question, Yes or No, and answer"):
        mme.score_folder(tmp_path, tmp_path)


def test_mme_unreadable_answers_score_nothing_and_one_image_has_no_error(tmp_path: Path) -> None:
    answers = [dict(a, text="maybe") for a in mme_folder(tmp_path, images=1)]
    score = mme.score(tmp_path, answers)
    assert score.columns == {"MME-perception": 0, "MME-cognition": 0}
    assert score.stderr == {}


def test_mme_the_last_of_a_repeated_prediction_counts(tmp_path: Path) -> None:
    answers = mme_folder(tmp_path)
    assert mme.score(tmp_path, [dict(answers[0], text="no"), *answers]).columns["MME-perception"] == 2000


def test_mme_errors(tmp_path: Path) -> None:
    answers = mme_folder(tmp_path)
    broken = tmp_path / "MME_Benchmark_release_version/OCR/0.txt"
    broken.write_text("Is it? Please answer yes or no.\tYes\n")
    with pytest.raises(UserError, match=r"OCR/0.txt: 1 different questions; expected the two"):
        mme.score(tmp_path, answers)
    broken.write_text("Is it? Please answer yes or no.\tMaybe\n")
    with pytest.raises(UserError, match=r"OCR/0.txt, line 1: expected a question, a tab, and Yes or No"):
        mme.score(tmp_path, answers)


# --- MMBench --------------------------------------------------------------------------------------------------------

COLUMNS = [
    "index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "source", "l2-category", "comment",
    "split",
]  # fmt: skip
PICTURE = base64.b64encode(b"a picture that is longer than sixty-four characters once it is encoded").decode()


def mmbench_rows() -> list[dict[str, Any]]:
    """Question 1 in three of four possible rounds, question 2 with two options in both of its rounds."""
    base = {"hint": "", "category": "colour", "l2-category": "attribute", "split": "dev", "image": PICTURE}
    four = [("red", "blue", "green", "pink"), ("pink", "red", "blue", "green"), ("green", "pink", "red", "blue")]
    rows = [
        dict(
            base, index=1 + r * 1_000_000, question="Which?", **dict(zip("ABCD", options, strict=True)), answer="ABC"[r]
        )
        for r, options in enumerate(four)
    ]
    two = dict(base, question="Here?", hint="Look.", C="nan", D="", category="place", image="1")
    return [
        *rows,
        dict(two, index=2, A="yes", B="no", answer="B"),
        dict(two, index=1_000_002, A="no", B="yes", answer="A"),
    ]


def mmbench_file(
    folder: Path, rows: list[dict[str, Any]], columns: list[str] = COLUMNS, name: str = mmbench.TSV
) -> None:
    lines = [columns, *([str(row.get(name, "")) for name in columns] for row in rows)]
    (folder / name).write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def test_mmbench_prompt_and_answer_fields(tmp_path: Path) -> None:
    mmbench_file(tmp_path, mmbench_rows())
    questions = mmbench.questions(tmp_path)
    assert [q.question_id for q in questions] == [1, 1_000_001, 2_000_001, 2, 1_000_002]
    assert questions[3].prompt == f"Look.\nHere?\nA. yes\nB. no\n{LETTER}"
    assert questions[3].stored_prompt == "Look.\nHere?\nA. yes\nB. no"
    assert questions[3].extra == {"round_id": 0, "options": ["yes", "no"], "option_char": ["A", "B"]}
    assert questions[3].image == questions[0].image == base64.b64decode(PICTURE)  # "1" names row 1
    assert questions[0].max_new_tokens == 1024


def test_mmbench_needs_every_round(tmp_path: Path) -> None:
    mmbench_file(tmp_path, mmbench_rows())
    right = {1: "A", 1_000_001: "B.", 2_000_001: "(C)", 2: "B", 1_000_002: "A"}
    score = mmbench.score(tmp_path, [answer(index, text) for index, text in right.items()])
    assert (score.columns, score.n) == ({"MMBench": 100}, {"MMBench": 2})
    one_wrong = mmbench.score(tmp_path, [answer(index, text) for index, text in (right | {2_000_001: "A"}).items()])
    assert one_wrong.columns == {"MMBench": 50}
    assert one_wrong.stderr == {"MMBench": pytest.approx(100 * math.sqrt(0.25 / 2))}
    assert one_wrong.parts["category"] == {"colour": 0, "place": 100}


def test_mmbench_missing_is_wrong_and_extra_is_ignored(tmp_path: Path) -> None:
    mmbench_file(tmp_path, mmbench_rows())
    answers = [answer(1, "A"), answer(1_000_001, "B"), answer(2, "B"), answer(1_000_002, ""), answer(77, "A")]
    score = mmbench.score(tmp_path, answers)
    assert score.columns == {"MMBench": 0}
    complete = score.completeness["MMBench"]
    assert (complete.expected, complete.faults) == (5, {"missing": 1, "unknown": 1})
    assert complete.first == {"missing": "2000001", "unknown": "77"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", "A"), ("A.", "A"), ("(B)", "B"), ("C: dog", "C"), ("#D#", "D"), ("a", None), ("E", None), ("", None),
        ("A cat", "A"),  # a quantifier is not told from a letter
        ("A or B", None),
        ("B one two three", "B"),
        ("B one two three four", None),  # a letter only counts among the last four words
        ("Not A but the answer is B", "B"),
        ("The correct answer is **C**, as A and B are not", "C"),
        ("the ANSWER IS d", "D"),
        ("It is a big dog", "B"),  # by the option's text
        ("the cat or the dog", None),
        ("it is, as far as anyone can tell from here, the dog", None),  # too long for matching by text
        ("Z", "Z"),
        ("Cannot determine the answer", "Z"),
        ("Failed to obtain answer via API A", None),
        ("答案是 B", "B"),
    ],
)  # fmt: skip
def test_mmbench_reads_a_choice(text: str, expected: str | None) -> None:
    assert mmbench.infer_choice(text, {"A": "cat", "B": "dog", "C": "bird", "D": "fish"}) == expected


@given(st.text(max_size=60))
def test_mmbench_reads_only_available_choices(text: str) -> None:
    assert mmbench.infer_choice(text, {"A": "cat", "B": "dog"}) in {"A", "B", "Z", None}


def test_mmbench_keeps_cells_that_spreadsheets_drop(tmp_path: Path) -> None:
    row = dict(mmbench_rows()[0], A="NA", B="N/A", C="none", D="left over")
    mmbench_file(tmp_path, [row])
    assert mmbench.questions(tmp_path)[0].extra["options"] == ["NA", "N/A"]


def test_mmbench_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no {mmbench.TSV}"):
        mmbench.questions(tmp_path)
    mmbench_file(tmp_path, mmbench_rows(), [name for name in COLUMNS if name != "hint"])
    with pytest.raises(UserError, match="line 1: no column hint"):
        mmbench.questions(tmp_path)
    mmbench_file(tmp_path, [dict(mmbench_rows()[0], image="no picture")])
    with pytest.raises(UserError, match="index 1, column image: not base64"):
        mmbench.questions(tmp_path)
    mmbench_file(tmp_path, [dict(mmbench_rows()[0], answer="E")])
    with pytest.raises(UserError, match="index 1, column answer: 'E'"):
        mmbench.score(tmp_path, [])
    mmbench_file(tmp_path, mmbench_rows()[:1] * 2)
    with pytest.raises(UserError, match="line 3, column index: '1'"):
        mmbench.questions(tmp_path)


# --- MMBench-CN -----------------------------------------------------------------------------------------------------


def mmbench_cn_file(folder: Path) -> None:
    """Write one question in its two rounds."""
    folder.mkdir()
    row = {"question": "哪个？", "hint": "看图。", "category": "colour", "l2-category": "attribute", "image": PICTURE}
    first = dict(row, index=1, A="红色", B="蓝色", answer="B")
    second = dict(row, index=1_000_001, A="蓝色", B="红色", answer="A")
    mmbench_file(folder, [first, second], name=mmbench_cn.TSV)


@pytest.mark.parametrize("folder", ["mmbench_cn", "mmbench"])
def test_mmbench_cn_is_found_in_either_folder(tmp_path: Path, folder: str) -> None:
    mmbench_cn_file(tmp_path / folder)
    question = mmbench_cn.questions(tmp_path / "mmbench_cn")[0]
    assert question.prompt == "看图。\n哪个？\nA. 红色\nB. 蓝色\n请直接回答选项字母。"
    assert question.stored_prompt == "看图。\n哪个？\nA. 红色\nB. 蓝色"
    assert (question.max_new_tokens, question.image_aspect_ratio) == (1024, "pad")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("B", "A", 100), ("B.", "(A)", 100), ("答案是 B", "A", 100),
        ("蓝色", "蓝色", 100),  # by the option's text
        ("B", "B", 0),
        ("答案是B", "A", 0),  # no word of its own
        ("B。", "A", 0),  # nor beside a Chinese full stop
    ],
)  # fmt: skip
def test_mmbench_cn_scores_as_mmbench(tmp_path: Path, first: str, second: str, expected: int) -> None:
    mmbench_cn_file(tmp_path / "mmbench_cn")
    score = mmbench_cn.score(tmp_path / "mmbench_cn", [answer(1, first), answer(1_000_001, second)])
    assert (score.columns, score.n) == ({"MMBench-CN": expected}, {"MMBench-CN": 1})


def test_mmbench_cn_names_both_places_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no mmbench_cn/{mmbench_cn.TSV} or mmbench/{mmbench_cn.TSV}; expected"):
        mmbench_cn.questions(tmp_path / "mmbench_cn")


# --- SEED-Bench -----------------------------------------------------------------------------------------------------


def seed_folder(folder: Path) -> None:
    types = {"Scene Understanding": 1, "Instance Identity": 2, "Action Recognition": 10}
    items = [
        {"question_id": "11", "question_type_id": 1, "data_type": "image", "answer": "A"},
        {"question_id": "12", "question_type_id": 1, "data_type": "image", "answer": "B"},
        {"question_id": "13", "question_type_id": 2, "data_type": "image", "answer": "C"},
        {"question_id": "v1", "question_type_id": 10, "data_type": "video", "answer": "D"},
    ]
    (folder / "SEED-Bench.json").write_text(json.dumps({"questions": items, "question_type": types}))


def test_seed_counts_the_exact_letter(tmp_path: Path) -> None:
    seed_folder(tmp_path)
    score = seed_bench.score(tmp_path, [answer(11, "A"), answer(12, "B."), answer("v1", "D"), answer(99, "A")])
    assert score.columns == {"SEED-image": pytest.approx(100 / 3)}
    assert score.n == {"SEED-image": 3}
    assert score.parts == {"dimensions": {"Instance Identity": 0, "Scene Understanding": 50}}
    assert score.completeness["SEED-image"].faults == {"missing": 1, "unknown": 1}


def test_seed_ids_may_be_texts(tmp_path: Path) -> None:
    seed_folder(tmp_path)
    answers = [answer("11", "A"), answer("12", "B"), answer("13", "C")]
    assert seed_bench.score(tmp_path, answers).columns == {"SEED-image": 100}


def test_seed_questions_leave_video_out(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question_id": 11, "image": "SEED-Bench-image/5_6", "text": f"What?\nA. x\n{LETTER}"},
        {"question_id": "v1", "image": "SEED-Bench-video-image/v1.png", "text": "?"},
    ]
    jsonl(tmp_path / "llava-seed-bench.jsonl", rows)
    assert [(q.question_id, q.image) for q in seed_bench.questions(tmp_path)] == [
        (11, tmp_path / "SEED-Bench-image/5_6")
    ]
    jsonl(tmp_path / "share4v-seed-bench-image.jsonl", [dict(rows[0], image="5_6")])
    assert seed_bench.questions(tmp_path)[0].image == tmp_path / "SEED-Bench-image/5_6"


def test_seed_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no SEED-Bench.json; expected the benchmark's official files"):
        seed_bench.score(tmp_path, [])
    (tmp_path / "SEED-Bench.json").write_text(json.dumps({"questions": [{"data_type": 3}], "question_type": {}}))
    with pytest.raises(UserError, match=r"SEED-Bench.json, questions\[0\], field 'data_type': 3; expected a text"):
        seed_bench.score(tmp_path, [])
