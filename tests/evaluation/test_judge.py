"""What a judge is asked, how its replies are read, and what they add up to."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from judged_files import PREFIX, answers, jsonl, vet, wild  # noqa: F401  (fixtures)
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Completeness
from sharegpt4v.evaluation.benchmarks import llava_bench, mm_vet
from sharegpt4v.evaluation.benchmarks.llava_bench_verdicts import read_pair


def test_llava_bench_asks_the_question_and_crops_the_image(wild: Path) -> None:
    questions = llava_bench.questions(wild)
    assert [(q.question_id, q.prompt, q.max_new_tokens) for q in questions][1] == (1, "What is 1?", 1024)
    assert questions[1].image == wild / "images/002.jpg" and questions[1].image_aspect_ratio == "square"


def test_llava_bench_is_found_in_resources_too(wild: Path) -> None:
    names = [path.name for path in wild.iterdir()]
    (wild / "resources").mkdir()
    for name in names:
        (wild / name).rename(wild / "resources" / name)
    assert llava_bench.questions(wild)[0].image == wild / "resources/images/001.jpg"
    assert len(llava_bench.messages(wild, answers(["a", "b", "c"]))) == 3


def test_llava_bench_message(wild: Path) -> None:
    assert llava_bench.messages(wild, answers(["a", "b\n", ""]))[1] == (
        "[Context]\nOne.\nTwo.\n\n"
        "[Question]\nWhat is 1?\n\n"
        "[Assistant 1]\nIt is 1.\n\n[End of Assistant 1]\n\n"
        "[Assistant 2]\nb\n\n\n[End of Assistant 2]\n\n"
        "[System]\nRate.\nBriefly.\n\n"
    )
    rules = llava_bench.RULES
    assert rules.system == "You are a helpful and precise assistant for checking the quality of the answer."
    assert (rules.max_tokens, [one.temperature for one in rules.tries]) == (1024, [0.2])


def test_mm_vet_asks_the_question_and_crops_the_image(vet: Path) -> None:
    question = mm_vet.questions(vet)[2]
    assert (question.question_id, question.prompt, question.max_new_tokens) == (2, "Q2?", 1024)
    assert question.image == vet / "images/v1_2.png" and question.image_aspect_ratio == "square"


def test_mm_vet_message(vet: Path) -> None:
    messages = mm_vet.messages(vet, answers(["1", "a dog", "red | green", ""]))
    assert messages == {
        "v1_0": f"{PREFIX}\nQ0? | 1  <AND>  2 | 1 | ",
        "v1_1": f"{PREFIX}\nQ1? | cat <OR> dog | a dog | ",
        "v1_2": f"{PREFIX}\nQ2? | blue | red | green | ",
        "v1_3": f"{PREFIX}\nQ3? | STOP |  | ",
    }
    rules = mm_vet.RULES
    assert (rules.system, rules.max_tokens) == (None, 3)
    assert [one.temperature for one in rules.tries] == [0, 0, 0.5, 1, 1.5, 2]
    again = "\nPredict the correctness of the answer (digit): "
    assert [one.closing for one in rules.tries] == ["", *[again] * 5]


def test_a_prompt_of_ones_own_is_not_called_official(wild: Path, vet: Path) -> None:
    assert llava_bench.judge_prompt(wild).text == "Rate.\nBriefly." and not llava_bench.judge_prompt(wild).official
    assert mm_vet.judge_prompt(vet).text == PREFIX and not mm_vet.judge_prompt(vet).official
    assert [len(one) for one in (llava_bench.PUBLISHED_RULE, mm_vet.PUBLISHED_PROMPT)] == [64, 64]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("8 9\nBoth are good.", (8, 9)), ("8,9", (8, 9)), ("8 -3", (8, -3)), ("8.5 7\r\nSo.", (8.5, 7)),
        ("8, 9", None), (" 8 9", None), ("8 9 ", None), ("8\t9", None), ("\n8 9", None), ("8/10 7/10", None),
        ("8  9", None), ("8", None), ("", None), ("8 9 10", None), ("eight nine", None), ("nan 9", None),
        ("8 inf", None),
    ],
)  # fmt: skip
def test_llava_bench_reads_the_first_line(reply: str, expected: tuple[float, float] | None) -> None:
    assert read_pair(reply) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("0.5", 0.5), ("1", 1), ("0.0 because", 0), ("0.7\n", 0.7), ("1.0\n\nGood", None), (" 0.5", None),
        ("1.1", None), ("-0.1", None), ("nan", None), ("", None), ("0.5.", None), (".5", 0.5), ("The", None),
    ],
)  # fmt: skip
def test_mm_vet_reads_up_to_the_first_blank(reply: str, expected: float | None) -> None:
    assert mm_vet.read_grade(reply) == expected


def test_llava_bench_rounds_the_means_and_then_the_ratio(wild: Path) -> None:
    score = llava_bench.score(wild, answers(["a", "b", "c"]), ["8 6\nGood.", "9, 7", "9 7"])
    # (8 - 1 + 9) / 3 = 5.333 and (6 - 1 + 7) / 3 = 4: 75.0047 per cent
    assert score.columns == {"LLaVA-Bench-Wild": 75.0} and score.n == {"LLaVA-Bench-Wild": 3}
    assert score.parts["all"] == {"relative": 75.0, "reference": 53.3, "model": 40.0, "questions": 3}
    assert score.parts["conv"] == {"relative": 75.0, "reference": 80.0, "model": 60.0, "questions": 1}
    assert score.parts["detail"]["relative"] == 100.0  # -1 for both
    assert score.completeness["LLaVA-Bench-Wild"] == Completeness(3, verdicts=3, failed=1)
    assert [item["failed"] for item in score.items] == [0, 1, 0]
    assert [item["score"] for item in score.items] == [0.6, 0.0, 0.7]
    # residuals second - 0.75 first are 0, -0.25, 0.25: deviation 0.25, over sqrt(3) and 5.333, times 100
    assert score.stderr["LLaVA-Bench-Wild"] == pytest.approx(25 / math.sqrt(3) / (16 / 3))


def test_mm_vet_means_over_runs_and_by_capability(vet: Path) -> None:
    replies = {
        "v1_0": [["1.0"], ["0.5"]],
        "v1_1": [["I say", "0.2"], ["0.2"]],
        "v1_2": [["no"] * 6, ["a", "b", "c", "d", "0.9"]],
        "v1_3": [["0.4"], ["0.4"]],
    }
    score = mm_vet.score(vet, answers(["a"] * 4), replies)
    # (1 + 0.2 + 0 + 0.4) / 4 = 40 per cent and (0.5 + 0.2 + 0.9 + 0.4) / 4 = 50
    assert score.columns == {"MM-Vet": 45.0} and score.n == {"MM-Vet": 4}
    assert score.parts == {
        "runs": [40.0, 50.0],
        "standard deviation of runs": 5.0,
        "capabilities": {"math": 57.5, "ocr": 57.5, "rec": 32.5},
        "integrations": {"math_ocr": 57.5, "rec": 32.5},
    }
    assert score.completeness["MM-Vet"] == Completeness(4, verdicts=8, failed=1)
    # means over runs 0.75, 0.2, 0.45, 0.4: squared distances from 0.45 are 0.09, 0.0625, 0, 0.0025
    assert score.stderr["MM-Vet"] == pytest.approx(100 * math.sqrt(0.155 / 3 / 4))


def test_mm_vet_does_not_read_the_sixth_reply(vet: Path) -> None:
    replies = {f"v1_{n}": [["no"] * 5 + ["1.0"]] for n in range(4)}
    score = mm_vet.score(vet, answers(["a"] * 4), replies)
    assert score.columns == {"MM-Vet": 0.0} and score.completeness["MM-Vet"].failed == 4


def test_llava_bench_errors(wild: Path) -> None:
    rows = answers(["a", "b", "c"])
    assert llava_bench.score(wild, rows[:2], ["8 6"] * 3).completeness["LLaVA-Bench-Wild"].faults == {"missing": 1}
    shuffled = llava_bench.messages(wild, [rows[1], rows[0], rows[2]])
    assert shuffled == llava_bench.messages(wild, rows)
    with pytest.raises(UserError, match="judge's replies: 2 for 3 questions"):
        llava_bench.score(wild, rows, ["8 6"] * 2)
    with pytest.raises(UserError, match="expected a JSON list, or the review file"):
        llava_bench.score(wild, rows, {"0": "8 6"})
    with pytest.raises(UserError, match="judge's replies, question 2: expected a text, or a list with one for each"):
        llava_bench.score(wild, rows, ["8 6", 8, "8 6"])
    with pytest.raises(UserError, match="judge's replies, question 3: 1 runs; expected as many for all"):
        llava_bench.score(wild, rows, [["8 6", "8 6"], ["8 6", "8 6"], "8 6"])
    review = [{"question_id": n, "content": "8 6", "tuple": [8, 6]} for n in (0, 2, 1)]
    with pytest.raises(UserError, match="judge's replies, row 2: question_id 2; expected 1, as rows belong"):
        llava_bench.score(wild, rows, review)
    with pytest.raises(UserError, match="mean of 0"):
        llava_bench.score(wild, rows, ["0 6"] * 3)
    jsonl(wild / "context.jsonl", [{"image": "001.jpg", "caption": "A cat."}])
    with pytest.raises(UserError, match=r"questions.jsonl, row 2: no caption of 002.jpg"):
        llava_bench.messages(wild, rows)
    (wild / "rule.json").unlink()
    with pytest.raises(UserError, match=r"no rule.json or resources/rule.json"):
        llava_bench.messages(wild, rows)


def test_mm_vet_errors(vet: Path) -> None:
    rows, replies = answers(["a"] * 4), {f"v1_{n}": [["0.5"]] for n in range(4)}
    complete = mm_vet.score(vet, rows[:3], replies).completeness["MM-Vet"]
    assert (complete.faults, complete.first) == ({"missing": 1}, {"missing": "v1_3"})
    with pytest.raises(UserError, match=r"judge's replies: no field 'v1_3'"):
        mm_vet.score(vet, rows, dict(list(replies.items())[:3]))
    with pytest.raises(UserError, match=r"judge's replies, v1_1: 2 runs; expected as many for all"):
        mm_vet.score(vet, rows, replies | {"v1_1": [["0.5"], ["0.5"]]})
    with pytest.raises(UserError, match=r"judge's replies, v1_1, run 1: 2 replies without a grade"):
        mm_vet.score(vet, rows, replies | {"v1_1": [["no", "no"]]})
    with pytest.raises(UserError, match=r"judge's replies, v1_1, run 1: expected a list of texts"):
        mm_vet.score(vet, rows, replies | {"v1_1": ["0.5"]})
    (vet / "mm-vet_evaluator.py").write_text("promt = 'Grade.'")
    with pytest.raises(UserError, match=r"evaluator.py: no text is assigned to 'prompt'"):
        mm_vet.messages(vet, rows)
