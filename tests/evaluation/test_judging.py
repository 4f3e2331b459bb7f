"""Asking a judge: recorded replies, what goes over the wire, kills, failed verdicts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from chats import counts
from conftest import PROJECT, kill_at_the_eighth
from judged_files import PREFIX, answers, jsonl, settings_for, vet, wild  # noqa: F401  (fixtures)
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.cli import main
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.benchmarks import llava_bench, mm_vet
from sharegpt4v.evaluation.judging import judge
from sharegpt4v.evaluation.modules import judged_module_of, module_of
from sharegpt4v.files import read_json
from sharegpt4v.mini import judge as mini_judge
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from sharegpt4v.mini.evaluation import llava_bench as mini_llava_bench
from sharegpt4v.mini.evaluation import mm_vet as mini_mm_vet

FOLDERS = {"llava-bench": "llava-bench-in-the-wild", "mm-vet": "mm-vet"}


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
    every.write_text(f"base: {PROJECT / 'config/config.yaml'}\njudge: {{largest_failed_fraction: 1}}\n")
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
from judged_files import settings_for
from sharegpt4v.evaluation.judging import judge
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
        arguments = [PROJECT / "tests", data, file, out, tmp_path / "work", url]
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
    preset = {"base": str(PROJECT / "config/config.yaml")}
    (tmp_path / "mine.json").write_text(json.dumps(preset | {"benchmarks": {"names": ["mm-vet", "llava-bench"]}}))
    config = ["--config", "mine.json"]
    assert main(["judge", "all", "--answers", "results/answers/tiny", "--out", "results/judged/tiny", *config]) == 0
    assert main(["score", "all", "--answers", "results/answers/tiny", "--out", "results/scores/tiny", *config]) == 0
    assert {path.stem for path in (tmp_path / "results/scores/tiny").iterdir()} == set(FOLDERS)
    assert read_json("results/scores/tiny/mm-vet.json")["parts"]["judge"]["model"] == "mini-judge"
