"""The same answers get the same scores here as from the official scripts; their numbers are in golden/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from official_cases import RUNS, WILD, replies_of, write_cases
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.cli import main
from sharegpt4v.evaluation.benchmarks import llava_bench
from sharegpt4v.evaluation.benchmarks.llava_bench_verdicts import read_pair
from sharegpt4v.evaluation.reading import answer_file
from sharegpt4v.files import read_json

OFFICIAL = json.loads((PROJECT / "tests/golden" / "official_scores.json").read_text())
WILD_FOLDER = "llava-bench-in-the-wild"
ALL_VERDICTS = "judge: {largest_failed_fraction: 1}\n"  # a third of them cannot be read


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    write_cases(folder)
    base = PROJECT / "config/config.yaml"
    (folder / "config.yaml").write_text(f"base: {base}\n{ALL_VERDICTS}")
    return folder


def score(name: str, cases: Path, out: Path, *options: str) -> dict[str, Any]:
    data = cases / benchmark_named(name).folder
    where = ["--data", str(data), "--answers", str(data / "answers.jsonl"), "--config", str(cases / "config.yaml")]
    assert main(["score", name, *where, "--out", str(out), *options]) == 0
    found: dict[str, Any] = read_json(out)
    return found


@pytest.mark.parametrize(
    ("name", "options", "scorer"),
    [
        ("vqav2", (), "LLaVA m4c, then VQA vqaEval"),
        ("vqav2", ("--raw-answers",), "VQA vqaEval on raw answers"),
        ("vizwiz", (), "LLaVA m4c, then VizWiz API"),
        ("textvqa", (), "LLaVA m4c_evaluator"),
        ("qbench", (), "ShareGPT4V qbench_eval"),
    ],
)
def test_a_score_is_that_of_the_official_scripts(
    name: str, options: tuple[str, ...], scorer: str, cases: Path, tmp_path: Path
) -> None:
    found = score(name, cases, tmp_path / "score.json", *options)
    official = OFFICIAL[f"{name} raw" if options else name]
    (value,) = found["columns"].values()
    assert value == pytest.approx(official["overall"], abs=0.006 if name == "textvqa" else 1e-5)  # it prints 73.13
    for kind in set(official) - {"overall"}:
        assert found["parts"][kind] == pytest.approx(official[kind], abs=1e-5)
    assert found["scorer"] == scorer


def test_the_config_too_can_ask_for_raw_answers(cases: Path, tmp_path: Path) -> None:
    config = tmp_path / "raw.yaml"
    config.write_text(f"base: {cases / 'config.yaml'}\nbenchmarks: {{raw_answers: true}}\n")
    found = score("vqav2", cases, tmp_path / "score.json", "--config", str(config))
    assert found["columns"]["VQA-v2"] == pytest.approx(OFFICIAL["vqav2 raw"]["overall"], abs=1e-5)


def test_llava_bench_is_the_mean_of_the_official_numbers_of_its_runs(cases: Path, tmp_path: Path) -> None:
    runs = [replies_of(run) for run in range(RUNS)]
    replies = tmp_path / "replies.json"
    replies.write_text(json.dumps([list(of_question) for of_question in zip(*runs, strict=True)]))
    found = score("llava-bench", cases, tmp_path / "score.json", "--judge-replies", str(replies))
    official = OFFICIAL["llava-bench"]["runs"]
    assert found["parts"]["runs"] == [run["all"][0] for run in official]
    assert found["columns"] == {"LLaVA-Bench-Wild": round(sum(run["all"][0] for run in official) / RUNS, 1)}
    for category in ("conv", "detail", "complex"):
        means = [round(sum(run[category][place] for run in official) / RUNS, 1) for place in range(3)]
        assert [found["parts"][category][name] for name in ("relative", "reference", "model")] == means


def test_the_review_file_of_the_official_script_is_read(cases: Path, tmp_path: Path) -> None:
    """It holds one run, a row per question with the reply and the numbers that were read out of it."""
    rows = []
    for number, reply in enumerate(replies_of(0)):
        pair = read_pair(reply) or (-1, -1)
        rows.append({"id": number + 1, "question_id": number, "content": reply, "tuple": list(pair)})
    review = tmp_path / "review.jsonl"
    review.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = score("llava-bench", cases, tmp_path / "score.json", "--judge-replies", str(review))
    assert found["columns"]["LLaVA-Bench-Wild"] == OFFICIAL["llava-bench"]["runs"][0]["all"][0]
    assert found["completeness"]["LLaVA-Bench-Wild"]["failed"] == sum(row["tuple"] == [-1, -1] for row in rows)
    one_text_each = llava_bench.score(
        cases / WILD_FOLDER, answer_file(cases / WILD_FOLDER / "answers.jsonl"), replies_of(0)
    )
    assert one_text_each.columns == found["columns"] and one_text_each.n == {"LLaVA-Bench-Wild": WILD}
