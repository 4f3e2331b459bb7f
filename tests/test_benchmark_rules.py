"""Each benchmark on a few hand-made items in its official files: prompts, reading of answers, scores, errors."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Completeness
from sharegpt4v.evaluation.benchmarks import (
    gqa,
    mmbench,
    mmbench_cn,
    mme,
    qbench,
    scienceqa,
    seed_bench,
    textvqa,
    vizwiz,
    vqav2,
)
from sharegpt4v.evaluation.scoring import score_file
from sharegpt4v.models.templates import prompt_text

SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def answer(question_id: object, text: str, prompt: str = "", **extra: object) -> dict[str, Any]:
    return {"question_id": question_id, "prompt": prompt, "text": text, **extra}


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
