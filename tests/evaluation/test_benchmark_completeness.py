"""What is missing, repeated, unknown or failed is counted and shown, and above a limit refused."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from evaluation_files import CATALOGUE, answer_rows, make_evaluation, write_rows
from sharegpt4v.cli import main
from sharegpt4v.evaluation.base import Completeness, interval_at_the_ends
from sharegpt4v.evaluation.joining import count
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.files import read_json
from sharegpt4v.mini import judge as mini_judge
from sharegpt4v.mini.endpoint import serve

SCORED = [name for name, entry in CATALOGUE.items() if entry.scoring != "server"]
OF_PAPER = [name for name in SCORED if CATALOGUE[name].table == "paper"]
SUBMITTED = [name for name, entry in CATALOGUE.items() if entry.submission]
BASE = PROJECT / "config/config.yaml"
QUESTIONS = 40


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_evaluation(tmp_path_factory.mktemp("evaluation"), QUESTIONS)


def config(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "config.yaml"
    path.write_text(f"base: {BASE}\n{text}\n")
    return ["--config", str(path)]


def score(name: str, evaluation: Path, answers: Path, out: Path, *options: str) -> int:
    entry = CATALOGUE[name]
    command = ["score", name, "--data", str(evaluation / entry.folder), "--answers", str(answers), "--out", str(out)]
    judged = ["--judge-replies", str(evaluation / "replies" / f"{name}.json")] if entry.scoring == "judge" else []
    return main([*command, *judged, *options])


def spoilt(name: str, evaluation: Path) -> list[dict[str, Any]]:
    """Complete answers but for the first, which is missing; the second comes twice, and one is to no question."""
    rows = answer_rows(CATALOGUE[name], evaluation)
    stray = (
        "count/nowhere.jpg" if name == "mme" else 987654321 if isinstance(rows[0]["question_id"], int) else "nowhere"
    )
    prompt = "Is it raining?" if name == "qbench" else rows[1]["prompt"]
    return [*rows[1:], rows[1], rows[1] | {"question_id": stray, "prompt": prompt}]


@pytest.mark.parametrize("name", SCORED)
def test_complete_answers_have_no_faults(name: str, evaluation: Path, tmp_path: Path) -> None:
    assert score(name, evaluation, evaluation / "answers" / f"{name}.jsonl", tmp_path / "score.json") == 0
    found = read_json(tmp_path / "score.json")["completeness"]
    assert list(found) == list(CATALOGUE[name].columns)
    for column in found.values():
        assert column == asdict(Completeness(column["expected"], verdicts=column["verdicts"]))
        assert column["expected"] > 0 and (column["verdicts"] > 0) == (CATALOGUE[name].scoring == "judge")


@pytest.mark.parametrize("name", SCORED)
def test_faults_are_counted_below_the_limit_and_refused_above(
    name: str, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, out = write_rows(tmp_path / "answers.jsonl", spoilt(name, evaluation)), tmp_path / "score.json"
    assert score(name, evaluation, answers, out) == 1 and not out.exists()
    told = capsys.readouterr().err
    assert "1 missing (first: " in told and "1 repeated (first: " in told and "expected at most 1 %" in told
    assert "benchmarks.largest_incomplete_fraction" in told and told.count("\n") == 1

    assert (
        score(name, evaluation, answers, out, *config(tmp_path, "benchmarks: {largest_incomplete_fraction: 0.5}")) == 0
    )
    faults = [{kind: one[kind] for kind in ("missing", "repeated", "unknown")} for one in completeness(out).values()]
    assert faults[0] == {"missing": 1, "repeated": 1, "unknown": 1}
    assert all(one == {"missing": 0, "repeated": 0, "unknown": 0} for one in faults[1:])  # MME's other column


def completeness(file: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read_json(file)["completeness"]
    return found


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_empty_answer_file_is_refused(
    name: str, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text("\n")
    if CATALOGUE[name].scoring != "server":
        assert score(name, evaluation, answers, tmp_path / "out") == 1
        assert "answers.jsonl: no answers; expected one for each question" in capsys.readouterr().err
    if CATALOGUE[name].submission:
        assert submit(name, evaluation, answers, tmp_path / "out", "--partial") == 1
        assert "answers.jsonl: no answers; expected one for each question" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def submit(name: str, evaluation: Path, answers: Path, out: Path, *options: str) -> int:
    data = evaluation / CATALOGUE[name].folder
    return main(["submission", name, "--data", str(data), "--answers", str(answers), "--out", str(out), *options])


@pytest.mark.parametrize("name", SUBMITTED)
def test_an_incomplete_submission_wants_to_be_meant(
    name: str, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, out = write_rows(tmp_path / "answers.jsonl", spoilt(name, evaluation)), tmp_path / "out"
    assert submit(name, evaluation, answers, out) == 1 and not out.exists()
    told = capsys.readouterr().err
    assert "1 missing (first: " in told and "--partial" in told and told.count("\n") == 1
    assert submit(name, evaluation, answers, out, "--partial") == 0 and out.stat().st_size > 0
    assert "1 missing (first: " in capsys.readouterr().err
    assert "nowhere" not in out.read_text(errors="replace") and "987654321" not in out.read_text(errors="replace")
    assert submit(name, evaluation, evaluation / "answers" / f"{name}.jsonl", out) == 0


def test_unreadable_verdicts_are_refused_above_the_limit(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Left in the mean as -1, 54 of 60 of them once came to 1718.2 of 100."""
    folder, out = tmp_path / "evaluation", tmp_path / "score.json"
    shutil.copytree(evaluation, folder)
    answers = folder / "answers/llava-bench.jsonl"
    bad = QUESTIONS * 9 // 10
    (folder / "replies/llava-bench.json").write_text(json.dumps(["Both are good."] * bad + ["8 6"] * (QUESTIONS - bad)))
    assert score("llava-bench", folder, answers, out) == 1 and not out.exists()
    told = capsys.readouterr().err
    assert f"LLaVA-Bench-Wild: {bad} of {QUESTIONS} verdicts cannot be read; expected at most 1 %" in told
    assert "judge.largest_failed_fraction" in told
    assert score("llava-bench", folder, answers, out, *config(tmp_path, "judge: {largest_failed_fraction: 1}")) == 0
    assert completeness(out)["LLaVA-Bench-Wild"]["failed"] == bad
    (folder / "replies/mm-vet.json").write_text(json.dumps({f"v1_{n}": [["no"] * 6] for n in range(QUESTIONS)}))
    assert score("mm-vet", folder, folder / "answers/mm-vet.jsonl", out) == 1
    assert f"MM-Vet: {QUESTIONS} of {QUESTIONS} verdicts cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["llava-bench", "mm-vet"])
def test_incomplete_answers_are_not_judged_for_money(
    name: str, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answers = write_rows(tmp_path / "answers.jsonl", spoilt(name, evaluation))
    asked: list[str] = []

    def grade(image: bytes | None, prompt: str) -> str:
        asked.append(prompt)
        return mini_judge.grade(image, prompt)

    with serve(grade) as url:
        options = config(tmp_path, f"judge: {{base_url: '{url}'}}")
        data = str(evaluation / CATALOGUE[name].folder)
        command = ["judge", name, "--data", data, "--answers", str(answers), "--out", str(tmp_path / "out")]
        assert main([*command, *options]) == 1
    assert "1 missing (first: " in capsys.readouterr().err and not asked


def test_what_a_cell_lacks_stands_beside_it_in_every_table(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answers = write_rows(tmp_path / "answers.jsonl", spoilt("gqa", evaluation))
    limits = "benchmarks: {largest_incomplete_fraction: 0.5}"
    out = tmp_path / "results/scores/sharegpt4v-7b/gqa.json"
    assert score("gqa", evaluation, answers, out, *config(tmp_path, limits)) == 0
    assert main(["table"]) == 0 and main(["stage", "cells"]) == 0
    shown = "[1 missing, 1 repeated, 1 unknown]"
    assert capsys.readouterr().out.count(shown) == 2  # by s4v score, and in the table
    assert shown in Path("results/table.md").read_text()
    (cell,) = csv.DictReader(Path("results/scores.csv").read_text().splitlines())
    assert [cell[name] for name in ("missing", "repeated", "unknown", "failed")] == ["1", "1", "1", "0"]


def test_a_benchmark_without_its_images_is_neither_answered_nor_scored(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its question file is there, so that only the answers can say why they are empty."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "eval"
    shutil.copytree(evaluation, root)
    (root / "mm-vet/images/v1_3.jpg").unlink()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    options = config(tmp_path, f"benchmarks: {{root: {root}, names: [mm-vet]}}")
    assert main(["answer", "all", "--model", "model", "--name", "m", *options]) == 0
    assert main(["judge", "all", "--answers", "results/answers/m", "--out", "results/judged/m", *options]) == 0
    assert main(["score", "all", "--answers", "results/answers/m", "--out", "results/scores/m", *options]) == 0
    assert main(["submission", "all", "--answers", "results/answers/m", "--out", "out", *options]) == 0
    found = read_json("results/scores/m/mm-vet.json")
    assert found["columns"] == {} and "v1_3.jpg" in found["missing"] and "MM-Vet/releases" in found["missing"]
    assert "mm-vet: not scored; " in capsys.readouterr().err
    alone = ["--answers", "results/answers/m/mm-vet.jsonl", "--out", "alone.json", *options]
    assert main(["score", "mm-vet", "--judge-replies", "results/judged/m/mm-vet.json", *alone]) == 1


def test_questions_that_are_there_twice_want_two_answers() -> None:
    assert count("aab", "aab").faults == {}
    assert count("aab", "ab") == Completeness(3, missing=1, first={"missing": "a"})
    assert count("ab", "aabxyx", "y") == Completeness(2, 0, 1, 2, first={"repeated": "a", "unknown": "x"})


# --- shares of nothing and of everything ----------------------------------------------------------------------------


def test_wilsons_interval_at_the_ends() -> None:
    """The upper end of none of n is z^2 / (n + z^2), with z of 95 %."""
    square = 1.959963984540054**2
    low, high = interval_at_the_ends([0.0] * 200) or (None, None)
    assert low == 0 and high == pytest.approx(100 * square / (200 + square)) and f"{high:.1f}" == "1.9"
    assert interval_at_the_ends([1] * 9) == (pytest.approx(100 - 100 * square / (9 + square)), 100)  # type: ignore[comparison-overlap]  # approx
    assert interval_at_the_ends([1]) is not None
    assert interval_at_the_ends([0.3, 0.3]) is interval_at_the_ends([0, 1]) is None


@pytest.mark.parametrize("name", [name for name in OF_PAPER if name not in ("mme", "llava-bench")])
def test_none_right_has_an_interval_and_no_error(
    name: str, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = evaluation
    if name == "mm-vet":
        folder = tmp_path / "evaluation"
        shutil.copytree(evaluation, folder)
        (folder / "replies/mm-vet.json").write_text(json.dumps({f"v1_{n}": [["0.0"]] for n in range(QUESTIONS)}))
    answers = write_rows(tmp_path / "answers.jsonl", answer_rows(CATALOGUE[name], evaluation, "~"))
    out = tmp_path / f"results/scores/sharegpt4v-7b/{name}.json"
    assert score(name, folder, answers, out) == 0
    found = read_json(out)
    (column,) = found["columns"]
    assert found["columns"][column] == 0 and found["stderr"] == {} and column in COLUMNS
    low, high = found["interval"][column]
    n, square = found["n"][column], 1.959963984540054**2
    assert low == 0 and high == pytest.approx(100 * square / (n + square))
    capsys.readouterr()
    assert main(["table"]) == 0 and main(["stage", "cells"]) == 0
    assert f"0.0 (0.0–{high:.1f})" in capsys.readouterr().out
    assert f"| 0.0 (0.0–{high:.1f}) |" in Path("results/table.md").read_text()
    (cell,) = csv.DictReader(Path("results/scores.csv").read_text().splitlines())
    assert (cell["stderr"], float(cell["low"]), float(cell["high"])) == ("", 0, high)


def test_mme_without_spread_has_no_error(evaluation: Path, tmp_path: Path) -> None:
    """A sum of ten subtasks is no share; but that it is ± 0.0 is not known either."""
    answers = write_rows(tmp_path / "answers.jsonl", answer_rows(CATALOGUE["mme"], evaluation, "~"))
    assert score("mme", evaluation, answers, tmp_path / "score.json") == 0
    found = read_json(tmp_path / "score.json")
    assert (found["columns"]["MME-perception"], found["stderr"], found["interval"]) == (0, {}, {})
