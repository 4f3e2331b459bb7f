"""`s4v compare`: equal texts, paired differences with their error, and one line for what cannot be compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evaluation_files import answer_rows, make_evaluation, write_rows
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.cli import main
from sharegpt4v.evaluation.benchmarks import gqa, textvqa

GQA = benchmark_named("gqa")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_evaluation(tmp_path_factory.mktemp("evaluation"), 16)


def compared(tmp_path: Path, *arguments: object) -> list[dict[str, Any]]:
    out = tmp_path / "comparison.json"
    assert main(["compare", *map(str, arguments), "--out", str(out)]) == 0
    return json.loads(out.read_text())["benchmarks"]  # type: ignore[no-any-return]


def graded(evaluation: Path, right: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of GQA of which those at the places `right` are right."""
    rows = answer_rows(GQA, evaluation, "none of these")
    truths = {item["question_id"]: item["answer"] for item in gqa.score(evaluation / GQA.folder, rows).items}
    for place in right:
        rows[place]["text"] = truths[rows[place]["question_id"]]
    return rows


def test_a_difference_by_hand(evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 16 questions A has the first 8 right, B those from 4 to 13: 6 become right, 4 wrong, 6 stay as they are."""
    a = write_rows(tmp_path / "a" / "gqa.jsonl", graded(evaluation, range(8))[:16])
    b = write_rows(tmp_path / "b" / "gqa.jsonl", graded(evaluation, range(4, 14))[:16])
    (found,) = compared(tmp_path, a, b, "--data", evaluation / GQA.folder)
    assert (found["questions"], found["equal"], found["note"]) == (16, 6, "")
    column = found["columns"]["GQA"]
    assert (column["a"], column["b"], column["difference"]) == (50, 62.5, 12.5)
    assert (column["units"], column["better"], column["worse"]) == (16, 6, 4)
    # sum of squares 10 * 100², less 16 * 12.5², over 15, over 16
    assert column["stderr"] == pytest.approx(((100_000 - 2_500) / 15 / 16) ** 0.5)
    rights = [np.isin(np.arange(16), places) * 100.0 for places in (range(8), range(4, 14))]
    assert column["difference"] / column["stderr"] == pytest.approx(stats.ttest_rel(rights[1], rights[0]).statistic)
    head, line = capsys.readouterr().out.splitlines()
    assert head.split("  ") and line.split() == [
        "gqa", "6/16", "GQA", "50.00", "62.50", "+12.50", "±", "20.16", "16", "6", "4",
    ]  # fmt: skip


def test_soft_scores_are_paired_too(evaluation: Path, tmp_path: Path) -> None:
    """TextVQA: the error is that of scipy over the differences of what the official rule gives each answer."""
    entry, rng = benchmark_named("textvqa"), np.random.default_rng(0)
    rows, (annotations,) = answer_rows(entry, evaluation), (evaluation / entry.folder).glob("TextVQA_0.5.1_val.json")
    truths = [row["answers"] for row in json.loads(annotations.read_text())["data"]]
    scores, files = [], []
    for name in ("a", "b"):
        for row, truth in zip(rows, truths, strict=True):
            row["text"] = truth[rng.integers(len(truth))] if rng.random() < 0.6 else "unreadable"
        files.append(write_rows(tmp_path / name / "textvqa.jsonl", rows))
        scores.append(np.array([item["score"] for item in textvqa.score(evaluation / entry.folder, rows).items]))
    (found,) = compared(tmp_path, *files, "--data", evaluation / entry.folder)
    difference = 100 * (scores[1] - scores[0])
    assert found["columns"]["TextVQA"]["difference"] == pytest.approx(difference.mean())
    assert found["columns"]["TextVQA"]["stderr"] == pytest.approx(stats.sem(difference))


def test_folders_give_every_benchmark_that_both_have(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"name: compared\nmini: null\nbenchmarks: {{root: {evaluation}}}\n")
    other = tmp_path / "other"
    shutil.copytree(evaluation / "answers", other)
    (other / "seed.jsonl").unlink()
    rows = answer_rows(benchmark_named("mme"), evaluation)
    write_rows(other / "mme.jsonl", [row | {"text": "Yes"} for row in rows])
    found = {one["benchmark"]: one for one in compared(tmp_path, evaluation / "answers", other, "--config", config)}
    assert "seed" not in found and {"gqa", "mmbench", "scienceqa", "vqav2", "vqav2-test", "mm-vet"} <= found.keys()
    assert all(one["equal"] == (0 if name == "mme" else one["questions"]) for name, one in found.items())
    perception = found["mme"]["columns"]["MME-perception"]
    assert perception["difference"] == pytest.approx(perception["b"] - perception["a"]) and perception["b"] > 0
    assert 2 * found["mme"]["columns"]["MME-cognition"]["units"] + 2 * perception["units"] == found["mme"]["questions"]
    for name in ("vqav2-test", "mm-vet", "llava-bench"):
        assert not found[name]["columns"] and found[name]["note"]
    assert "mm-vet: a judge grades it: s4v judge mm-vet, then s4v score" in capsys.readouterr().out


def test_without_the_official_files_texts_are_still_compared(evaluation: Path, tmp_path: Path) -> None:
    file = evaluation / "answers" / "gqa.jsonl"
    (found,) = compared(tmp_path, file, file, "--data", tmp_path)
    assert found["equal"] == found["questions"] and not found["columns"]
    assert found["note"].startswith(f"not scored: {tmp_path}: no ") and "it comes from" in found["note"]


def test_what_cannot_be_compared_is_said_in_one_line(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, data = evaluation / "answers", ["--data", str(evaluation / GQA.folder)]
    rows = answer_rows(GQA, evaluation)
    fewer = write_rows(tmp_path / "gqa.jsonl", rows[1:])
    unnamed = write_rows(tmp_path / "mine.jsonl", rows)
    nothing = write_rows(tmp_path / "none" / "gqa.jsonl", [])
    cases: list[tuple[list[object], str]] = [
        ([answers / "gqa.jsonl", answers / "mme.jsonl"], "answers of gqa and of mme by their names"),
        ([answers / "gqa.jsonl", answers / "mme.jsonl", "--benchmark", "gqa"], "questions are not in"),
        ([answers / "gqa.jsonl", fewer], f"questions are not in {fewer} (first: '{rows[0]['question_id']} "),
        ([unnamed, unnamed], "named by no benchmark; say which it is by --benchmark"),
        ([answers / "gqa.jsonl", answers], "a file and a folder"),
        ([answers, tmp_path / "away"], "away: no such file or folder"),
        ([answers, tmp_path / "none", "--benchmark", "mme"], "no benchmark that both have"),
        ([answers / "gqa.jsonl", nothing], f"{nothing}: no answers"),
    ]
    for arguments, message in cases:
        assert main(["compare", *map(str, arguments), *data]) == 1
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
    incomplete = [str(tmp_path / "gqa.jsonl")] * 2
    assert main(["compare", *incomplete, *data]) == 1
    assert "1 missing (first: " in capsys.readouterr().err


def test_the_question_of_two_files_is_that_of_id_and_prompt(evaluation: Path, tmp_path: Path) -> None:
    """Rows may come in another order; another project's extra fields do not matter."""
    rows = graded(evaluation, range(5))
    a = write_rows(tmp_path / "a.jsonl", rows)
    b = write_rows(tmp_path / "b.jsonl", [row | {"round_id": 3} for row in reversed(rows)])
    (found,) = compared(tmp_path, a, b, "--benchmark", "gqa", "--data", evaluation / GQA.folder)
    assert found["equal"] == len(rows) == found["columns"]["GQA"]["units"]
    assert found["columns"]["GQA"]["difference"] == found["columns"]["GQA"]["stderr"] == 0
