"""The benchmarks that a judge grades: what it is asked, how its replies are read, what they add up to, and the asking.

The client is tested against the real server of the mini preset over loopback HTTP.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chats import chat_settings
from conftest import kill_at_the_eighth
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.cli import main
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Completeness
from sharegpt4v.evaluation.benchmarks import llava_bench, mm_vet
from sharegpt4v.evaluation.benchmarks.llava_bench_verdicts import read_pair
from sharegpt4v.evaluation.judging import judge
from sharegpt4v.evaluation.modules import judged_module_of, module_of
from sharegpt4v.files import read_json
from sharegpt4v.mini import judge as mini_judge
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from sharegpt4v.mini.evaluation import llava_bench as mini_llava_bench
from sharegpt4v.mini.evaluation import mm_vet as mini_mm_vet

PREFIX = "Grade.\n\nQuestion | Ground truth | Prediction | Correctness\n--- | --- | --- | ---\nWhat? | a | a | 1.0\n"
FOLDERS = {"llava-bench": "llava-bench-in-the-wild", "mm-vet": "mm-vet"}


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(texts: list[str], model: str = "tiny") -> list[dict[str, Any]]:
    return [{"question_id": n, "prompt": "", "text": text, "model_id": model} for n, text in enumerate(texts)]


@pytest.fixture
def wild(tmp_path: Path) -> Path:
    """LLaVA-Bench with one question of each category, the last two on one image."""
    folder = tmp_path / "llava-bench-in-the-wild"
    categories = ("conv", "detail", "complex")
    images = ("001.jpg", "002.jpg", "002.jpg")
    asked = zip(images, categories, strict=True)
    jsonl(
        folder / "questions.jsonl",
        [
            {"question_id": n, "image": image, "category": category, "text": f"What is {n}?"}
            for n, (image, category) in enumerate(asked)
        ],
    )
    contexts: list[dict[str, Any]] = [
        {"image": "002.jpg", "caption": ["One.", "Two."]},
        {"image": "001.jpg", "caption": "A cat."},
    ]
    jsonl(folder / "context.jsonl", contexts)
    references = [{"question_id": n, "text": f"It is {n}.", "answer_id": f"r{n}"} for n in range(3)]
    jsonl(folder / "answers_gpt4.jsonl", references)
    rules = {f"llava_bench_{name}": {"role": "Assistant", "prompt": "Rate.\nBriefly."} for name in categories}
    (folder / "rule.json").write_text(json.dumps(rules | {"default": {"role": "Assistant", "prompt": "No."}}))
    return folder


@pytest.fixture
def vet(tmp_path: Path) -> Path:
    """MM-Vet with four questions."""
    folder = tmp_path / "mm-vet"
    (folder / "images").mkdir(parents=True)
    truths = ["1 <AND> 2", "cat<OR>dog", "blue", "STOP"]
    capabilities = [["math", "ocr"], ["rec"], ["rec"], ["ocr", "math"]]
    pairs = zip(truths, capabilities, strict=True)
    items = {f"v1_{n}": {"question": f"Q{n}?", "answer": t, "capability": c} for n, (t, c) in enumerate(pairs)}
    (folder / "mm-vet.json").write_text(json.dumps(items))
    rows = [{"question_id": n, "image": f"v1_{n}.png", "text": f"Q{n}?", "category": "conv"} for n in range(4)]
    jsonl(folder / "llava-mm-vet.jsonl", rows)
    (folder / "mm-vet_evaluator.py").write_text(f'import openai\n\nprompt = """{PREFIX}"""\nraise SystemExit\n')
    return folder


# --- what is asked --------------------------------------------------------------------------------------------------


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


# --- how replies are read -------------------------------------------------------------------------------------------


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


# --- what they add up to --------------------------------------------------------------------------------------------


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


# --- recorded replies -----------------------------------------------------------------------------------------------


def score_verb(name: str, data: Path, file: Path, replies: Path | None, out: Path, *options: str) -> int:
    command = ["score", name, "--data", str(data), "--answers", str(file), "--out", str(out), *options]
    return main([*command, *([] if replies is None else ["--judge-replies", str(replies)])])


def test_recorded_replies_are_scored_without_a_judge_or_its_prompt(wild: Path, vet: Path, tmp_path: Path) -> None:
    (wild / "rule.json").unlink()
    (vet / "mm-vet_evaluator.py").unlink()
    replies = tmp_path / "replies.json"
    replies.write_text(json.dumps(["8 6", "8 4", "4 5"]))
    three = jsonl(tmp_path / "three.jsonl", answers(["a", "b", "c"]))
    assert score_verb("llava-bench", wild, three, replies, tmp_path / "wild.json") == 0
    score = read_json(tmp_path / "wild.json")
    assert score["columns"] == {"LLaVA-Bench-Wild": 75.0} and score["scoring"] == "judge"
    assert list(score["parts"]["judge"]) == ["replies_sha256"]  # no more is known of them
    replies.write_text(json.dumps({f"v1_{n}": [[str(n / 4)]] for n in range(4)}))
    four = jsonl(tmp_path / "four.jsonl", answers(["a"] * 4))
    assert score_verb("mm-vet", vet, four, replies, tmp_path / "vet.json") == 0
    assert read_json(tmp_path / "vet.json")["columns"] == {"MM-Vet": 37.5}


def test_scores_want_replies_where_a_judge_grades_and_nowhere_else(
    wild: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jsonl(tmp_path / "three.jsonl", answers(["a", "b", "c"]))
    assert score_verb("llava-bench", wild, file, None, tmp_path / "out.json") == 1
    assert "its scoring is 'judge'; expected --judge-replies" in capsys.readouterr().err
    assert score_verb("mme", wild, file, file, tmp_path / "out.json") == 1
    assert "its scoring is 'local'; expected no judge's replies" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


# --- asking the judge -----------------------------------------------------------------------------------------------


def settings_for(url: str, **changes: object) -> ChatSettings:
    return chat_settings(url, "mini-judge", **{"concurrency": 4, "back_off_seconds": 0.001, "attempts": 2, **changes})


def counts(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/health") as reply:
        received: dict[str, int] = json.load(reply)
    return received


def mini_folder(folder: Path, name: str, questions: int) -> Path:
    module = {"llava-bench": mini_llava_bench, "mm-vet": mini_mm_vet}[name]
    for member, content in module.files(questions, 0, 48):
        path = folder / FOLDERS[name] / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / FOLDERS[name]


def test_replies_are_written_with_how_they_came_about_and_repeated_in_the_score(wild: Path, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "three.jsonl", answers(["It is 0.", "It is 1.", "No"]))
    out = tmp_path / "judged/llava-bench.json"
    with serve(lambda image, prompt: "10, 9" if "No" in prompt else "8 6") as url:
        judge("llava-bench", wild, file, out, tmp_path / "work", settings_for(url))
    assert read_json(out) == [["8 6"], ["8 6"], ["10, 9"]]
    every = tmp_path / "every.yaml"
    every.write_text(
        f"base: {Path(__file__).parents[1] / 'config/config.yaml'}\njudge: {{largest_failed_fraction: 1}}\n"
    )
    assert score_verb("llava-bench", wild, file, out, tmp_path / "score.json", "--config", str(every)) == 0
    said = read_json(tmp_path / "score.json")["parts"]["judge"]
    assert said == read_json(tmp_path / "judged/llava-bench.provenance.json")
    assert (said["model"], said["temperatures"], said["official"], said["runs"]) == ("mini-judge", [0.2], False, 1)
    assert said["prompt_sha256"] == llava_bench.judge_prompt(wild).sha256


def test_replies_to_other_answers_are_refused(wild: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = jsonl(tmp_path / "three.jsonl", answers(["a", "b", "c"]))
    with serve(lambda image, prompt: "8 6") as url:
        judge("llava-bench", wild, file, tmp_path / "replies.json", tmp_path / "work", settings_for(url))
    jsonl(file, answers(["a", "b", "d"]))
    assert score_verb("llava-bench", wild, file, tmp_path / "replies.json", tmp_path / "out.json") == 1
    assert "not about this content of" in capsys.readouterr().err


def test_what_goes_over_the_wire(wild: Path, vet: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(image: bytes | None, prompt: str) -> str:
        assert image is None
        seen.append(prompt)
        return "8 6" if "[Context]" in prompt else "0.5"

    with serve(answer) as url:
        for name, data, count in (("llava-bench", wild, 3), ("mm-vet", vet, 4)):
            file = jsonl(tmp_path / f"{name}.jsonl", answers(["a"] * count))
            judge(name, data, file, tmp_path / f"{name}.json", tmp_path / "work", settings_for(url))
    rows = llava_bench.messages(wild, answers(["a"] * 3)).values()
    assert set(seen) == {f"{llava_bench.RULES.system}\n{row}" for row in rows} | set(
        mm_vet.messages(vet, answers(["a"] * 4)).values()
    )


def test_mm_vet_is_asked_again_until_there_is_a_grade(vet: Path, tmp_path: Path) -> None:
    asked: Counter[str] = Counter()

    def answer(image: bytes | None, prompt: str) -> str:
        question = next(n for n in range(4) if f"\nQ{n}? " in prompt)
        asked[f"Q{question}"] += 1
        number = asked[f"Q{question}"]
        return {0: "1.0", 1: "0.5" if mm_vet.AGAIN in prompt else "well", 2: "0.3" if number == 5 else "?", 3: "?"}[
            question
        ]

    file, out = jsonl(tmp_path / "four.jsonl", answers(["a"] * 4)), tmp_path / "replies.json"
    with serve(answer) as url:
        judge("mm-vet", vet, file, out, tmp_path / "work", settings_for(url))
        assert asked == {"Q0": 1, "Q1": 2, "Q2": 5, "Q3": 6}
        judge("mm-vet", vet, file, out, tmp_path / "work", settings_for(url))
        assert asked.total() == 14  # nothing is asked twice
        judge("mm-vet", vet, file, out, tmp_path / "work", settings_for(url), runs=2)
        assert asked["Q0"] == 2
    replies = read_json(out)
    assert replies["v1_0"] == [["1.0"], ["1.0"]] and replies["v1_2"][0] == ["?", "?", "?", "?", "0.3"]
    assert mm_vet.score(vet, answers(["a"] * 4), replies).parts["runs"] == [45.0, 37.5]


def test_the_parameter_that_an_endpoint_wants_is_learnt_once_and_nothing_paid_twice(vet: Path, tmp_path: Path) -> None:
    """Newer models refuse max_tokens. What the first refusal says holds for all tries and runs."""
    file, out = jsonl(tmp_path / "four.jsonl", answers(["a"] * 4)), tmp_path / "replies.json"
    bodies = []

    def grade(image: bytes | None, prompt: str) -> str:
        bodies.append(prompt)
        return "0.5" if prompt.endswith(mm_vet.AGAIN) else "The grade is 0.5"

    with serve(grade, refuses_max_tokens=True) as url:
        judge("mm-vet", vet, file, out, tmp_path / "work", settings_for(url, concurrency=1), runs=2)
        assert counts(url) == {"status": "ok", "received": 17, "served": 16}
        judge("mm-vet", vet, file, out, tmp_path / "work", settings_for(url), runs=2)
        assert counts(url)["received"] == 17
    assert len(bodies) == 16 and read_json(out)["v1_0"] == [["The grade is 0.5", "0.5"]] * 2


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_judge import judge, settings_for
data, answers, out, work = map(Path, sys.argv[2:6])
judge("mm-vet", data, answers, out, work, settings_for(sys.argv[6], concurrency=1))
"""


def test_after_kill_9_nothing_is_asked_twice_and_the_file_is_the_same(tmp_path: Path) -> None:
    data = mini_folder(tmp_path, "mm-vet", 12)
    texts = [f"The image shows a red circle {n}" for n in range(12)]
    file, out = jsonl(tmp_path / "answers.jsonl", answers(texts)), tmp_path / "replies.json"
    child: list[subprocess.Popen[bytes]] = []
    started = threading.Event()
    with serve(mini_judge.grade, kill_at_the_eighth(child, started)) as url:
        arguments = [Path(__file__).parent, data, file, out, tmp_path / "work", url]
        child.append(subprocess.Popen([sys.executable, "-c", CHILD, *map(str, arguments)]))
        started.set()
        assert child[0].wait() == -signal.SIGKILL
        assert counts(url)["served"] == 7 and not out.exists()
        judge("mm-vet", data, file, out, tmp_path / "work", settings_for(url))
        replies = read_json(out)
        asked = sum(len(run) for runs in replies.values() for run in runs)
        assert counts(url)["served"] == asked
        again = tmp_path / "again.json"
        judge("mm-vet", data, file, again, tmp_path / "elsewhere", settings_for(url))
    assert again.read_bytes() == out.read_bytes()


def test_a_verdict_that_does_not_come_is_told_and_the_rest_is_kept(wild: Path, tmp_path: Path) -> None:
    file, out = jsonl(tmp_path / "three.jsonl", answers(["a", "b", "c"])), tmp_path / "replies.json"
    bad_day = True
    order = lambda number, image, prompt: Fault(status=500) if bad_day and "is 1?" in prompt else None  # noqa: E731
    with serve(lambda image, prompt: "8 6", order) as url:
        with pytest.raises(UserError, match=r"llava-bench: 1 of 3 answers have no verdict \(500") as caught:
            judge("llava-bench", wild, file, out, tmp_path / "work", settings_for(url))
        assert "\n" not in str(caught.value) and not out.exists()
        bad_day = False
        judge("llava-bench", wild, file, out, tmp_path / "work", settings_for(url))
        assert counts(url)["served"] == 3
    with pytest.raises(UserError, match="mme: no judge grades it"):
        judge("mme", wild, file, out, tmp_path / "work", settings_for("http://127.0.0.1:9/v1"))


def test_a_refused_verdict_is_no_reply(wild: Path, tmp_path: Path) -> None:
    file, out = jsonl(tmp_path / "three.jsonl", answers(["a", "b", "c"])), tmp_path / "replies.json"
    refuse = lambda number, image, prompt: (  # noqa: E731
        Fault(status=400, code="content_filter", message="content policy") if "is 1?" in prompt else None
    )
    with serve(lambda image, prompt: "8 6", refuse) as url:
        judge("llava-bench", wild, file, out, tmp_path / "work", settings_for(url))
    assert read_json(out) == [["8 6"], [""], ["8 6"]]


# --- the synthetic world ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("questions", [1, 40])
def test_the_mini_judge_gives_the_truth_the_maximum_and_one_answer_for_all_little(
    name: str, questions: int, tmp_path: Path
) -> None:
    data = mini_folder(tmp_path, name, questions)
    entry = benchmark_named(name)
    asked = module_of(entry).questions(data)
    assert len(asked) == questions and all(isinstance(q.image, Path) and q.image.is_file() for q in asked)
    if name == "llava-bench":
        truths = [json.loads(line)["text"] for line in (data / "answers_gpt4.jsonl").read_text().splitlines()]
    else:
        truths = [row["answer"] for row in read_json(data / "mm-vet.json").values()]

    def column(texts: list[str], what: str) -> float:
        rows = answers(texts, what)
        file, out = jsonl(tmp_path / f"{what}.jsonl", rows), tmp_path / f"{what}.json"
        with serve(mini_judge.grade) as url:
            judge(name, data, file, out, tmp_path / "work", settings_for(url))
        return judged_module_of(entry).score(data, rows, read_json(out)).columns[entry.columns[0]]

    assert column(truths, "truth") == 100.0
    if questions > 1:
        for answer in ("A", "yes", "red"):
            assert column([answer] * questions, answer) <= 45.0


def test_the_mini_judge_now_and_then_talks_and_grades_when_asked_again() -> None:
    rows = [f"{PREFIX}\nWhat? | red <AND> circle | a red square {n} | " for n in range(400)]
    replies = Counter(mini_judge.grade(None, row) for row in rows)
    assert set(replies) == {"0.5", f"{mini_judge.TALK} 0.5"} and 5 <= replies[f"{mini_judge.TALK} 0.5"] <= 50
    assert {mini_judge.grade(None, row + mm_vet.AGAIN) for row in rows} == {"0.5"}
    assert mini_judge.grade(None, "Hello") == mini_judge.NOT_A_TASK


def test_all_judged_benchmarks_of_a_config_are_judged_and_scored_from_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FOLDERS:
        mini_folder(tmp_path / "data/eval", name, 3)
        jsonl(tmp_path / f"results/answers/tiny/{name}.jsonl", answers(["red", "blue", "a large circle"]))
    preset = {"base": str(Path(__file__).parents[1] / "config/config.yaml")}
    (tmp_path / "mine.json").write_text(json.dumps(preset | {"benchmarks": {"names": ["mm-vet", "llava-bench"]}}))
    config = ["--config", "mine.json"]
    assert main(["judge", "all", "--answers", "results/answers/tiny", "--out", "results/judged/tiny", *config]) == 0
    assert main(["score", "all", "--answers", "results/answers/tiny", "--out", "results/scores/tiny", *config]) == 0
    assert {path.stem for path in (tmp_path / "results/scores/tiny").iterdir()} == set(FOLDERS)
    assert read_json("results/scores/tiny/mm-vet.json")["parts"]["judge"]["model"] == "mini-judge"
