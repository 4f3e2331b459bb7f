"""The files for the evaluation servers, and what happens where a benchmark's official files are not at hand."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from conftest import PROJECT
from sharegpt4v.catalogues.benchmarks import Benchmark, read_catalogue
from sharegpt4v.cli import main
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.mini.evaluation import write_benchmarks

CATALOGUE = read_catalogue()
SUBMITTED = [name for name, benchmark in CATALOGUE.items() if benchmark.submission]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official folders of all benchmarks in the synthetic world, few questions each."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_benchmarks(folder / "eval.zip", 16, seed=0, pixels=48)
    with zipfile.ZipFile(folder / "eval.zip") as archive:
        archive.extractall(folder)
    return folder


def answer_file(path: Path, benchmark: Benchmark, data: Path, text: Callable[[int], str]) -> Path:
    """Answers to all questions, `text` of the place of each."""
    rows = [
        {"question_id": one.question_id, "prompt": one.stored_prompt or one.prompt, "text": text(place)}
        for place, one in enumerate(module_of(benchmark).questions(data))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def submit(name: str, evaluation: Path, tmp_path: Path, text: Callable[[int], str]) -> bytes:
    data = evaluation / CATALOGUE[name].folder
    file, out = answer_file(tmp_path / "answers.jsonl", CATALOGUE[name], data, text), tmp_path / "out"
    assert main(["submission", name, "--data", str(data), "--answers", str(file), "--out", str(out)]) == 0
    return out.read_bytes()


def sheet_rows(content: bytes, tmp_path: Path) -> list[tuple[Any, ...]]:
    path = tmp_path / "sheet.xlsx"
    path.write_bytes(content)
    return [tuple(row) for row in openpyxl.load_workbook(path).active.iter_rows(values_only=True)]


@pytest.mark.parametrize("name", ["mmbench", "mmbench-cn"])
def test_mmbench_is_a_sheet_with_the_prediction_before_the_answer(name: str, evaluation: Path, tmp_path: Path) -> None:
    texts = ["A", "=1+1", "图", "", "B. no"]
    content = submit(name, evaluation, tmp_path, lambda place: texts[place % 5])
    header, *rows = sheet_rows(content, tmp_path)
    assert header == ("index", "question", "A", "B", "C", "D", "prediction", "answer", "split")
    assert [row[6] for row in rows[:5]] == ["A", "=1+1", "图", None, "B. no"]
    assert all(isinstance(row[0], int) and row[7] in "ABCD" and row[8] == "dev" for row in rows)
    assert any(row[5] is None for row in rows)  # two options leave two cells empty
    assert submit(name, evaluation, tmp_path, lambda place: texts[place % 5]) == content


def test_a_row_of_mmbench_without_prediction_stays_empty(evaluation: Path, tmp_path: Path) -> None:
    data, file = evaluation / "mmbench", tmp_path / "answers.jsonl"
    file.write_text('{"question_id": 1, "text": "A"}\n')
    arguments = ["--data", str(data), "--answers", str(file), "--out", str(tmp_path / "out")]
    assert main(["submission", "mmbench", *arguments]) == 1 and not (tmp_path / "out").exists()
    assert main(["submission", "mmbench", *arguments, "--partial"]) == 0
    assert [row[6] for row in sheet_rows((tmp_path / "out").read_bytes(), tmp_path)[1:4]] == ["A", None, None]


def test_gqa(evaluation: Path, tmp_path: Path) -> None:
    rows = json.loads(submit("gqa", evaluation, tmp_path, lambda place: "Yes." if place else " A dog"))
    asked = json.loads((evaluation / "gqa/data/testdev_balanced_questions.json").read_bytes())
    assert [row["questionId"] for row in rows] == list(asked)
    assert [row["prediction"] for row in rows[:3]] == [" a dog", "yes", "yes"]


def test_seed(evaluation: Path, tmp_path: Path) -> None:
    lines = submit("seed", evaluation, tmp_path, lambda place: "ABCD"[place % 4]).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    annotated = json.loads((evaluation / "seed_bench/SEED-Bench.json").read_bytes())["questions"]
    assert [row["question_id"] for row in rows] == [row["question_id"] for row in annotated]
    assert rows[1] == {"question_id": annotated[1]["question_id"], "prediction": "B"}


def test_mm_vet(evaluation: Path, tmp_path: Path) -> None:
    found = json.loads(submit("mm-vet", evaluation, tmp_path, lambda place: f"It is {place}."))
    assert found == {f"v1_{place}": f"It is {place}." for place in range(len(found))} and len(found) > 2


def test_qbench(evaluation: Path, tmp_path: Path) -> None:
    lines = submit("qbench", evaluation, tmp_path, lambda place: "}{ok").decode().splitlines()
    asked = json.loads((evaluation / "qbench/llvisionqa_dev.json").read_bytes())
    assert [json.loads(line) for line in lines] == [row | {"response": "}{ok"} for row in asked]


def test_vqav2_lists_the_whole_test_split_with_blanks_for_what_was_not_asked(evaluation: Path, tmp_path: Path) -> None:
    rows = json.loads(submit("vqav2-test", evaluation, tmp_path, lambda place: "The Two dogs,"))
    names = ("llava_vqav2_mscoco_test2015.jsonl", "llava_vqav2_mscoco_test-dev2015.jsonl")
    every, asked = (
        [json.loads(line)["question_id"] for line in (evaluation / "vqav2" / name).read_text().splitlines()]
        for name in names
    )
    assert [row["question_id"] for row in rows] == every and set(asked) < set(every)
    assert {row["answer"] for row in rows if row["question_id"] in asked} == {"2 dogs"}
    assert {row["answer"] for row in rows if row["question_id"] not in asked} == {""}


def test_vizwiz(evaluation: Path, tmp_path: Path) -> None:
    rows = json.loads(submit("vizwiz-test", evaluation, tmp_path, lambda place: "Unanswerable."))
    assert rows == [{"image": f"VizWiz_test_{n:08d}.jpg", "answer": "unanswerable"} for n in range(len(rows))]


def test_what_no_server_takes_and_what_only_a_server_scores(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text("")
    assert main(["submission", "mme", "--answers", str(file), "--out", str(tmp_path / "out")]) == 1
    assert "no evaluation server takes it" in capsys.readouterr().err
    assert main(["score", "vqav2-test", "--answers", str(file), "--out", str(tmp_path / "out")]) == 1
    assert "the server alone has the answers; s4v submission vqav2-test" in capsys.readouterr().err


def config_without(tmp_path: Path, evaluation: Path, names: list[str], missing: list[str]) -> list[str]:
    """A config of the given benchmarks whose folder lacks the files of some; returns the options that name it."""
    root = tmp_path / "eval"
    shutil.copytree(evaluation, root)
    for path in missing:
        (root / path).unlink()
    config = tmp_path / "config.yaml"
    base = PROJECT / "config/config.yaml"
    config.write_text(f"base: {base}\nbenchmarks: {{root: {root}, names: {json.dumps(names)}}}\n")
    return ["--config", str(config)]


def test_a_column_without_its_official_files_is_empty_and_the_run_says_what_to_get(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    annotations = "vqav2/v2_mscoco_val2014_annotations.json"
    config = config_without(
        tmp_path, evaluation, ["gqa", "vqav2", "mm-vet"], [annotations, "mm-vet/mm-vet_evaluator.py"]
    )
    for name in ("gqa", "vqav2", "mm-vet"):
        data = tmp_path / "eval" / CATALOGUE[name].folder
        answer_file(tmp_path / f"results/answers/m/{name}.jsonl", CATALOGUE[name], data, lambda place: "yes")
    assert main(["judge", "all", "--answers", "results/answers/m", "--out", "results/judged/m", *config]) == 0
    assert main(["score", "all", "--answers", "results/answers/m", "--out", "results/scores/m", *config]) == 0
    said = capsys.readouterr().err
    assert f"vqav2: not scored; {tmp_path}/eval/vqav2: no v2_mscoco_val2014_annotations.json; expected" in said
    assert "it comes from https://visualqa.org/download.html" in said
    assert "mm-vet: not judged; " in said and "no mm-vet_evaluator.py" in said

    scores = {
        name: json.loads(Path(f"results/scores/m/{name}.json").read_bytes()) for name in ("gqa", "vqav2", "mm-vet")
    }
    assert set(scores["gqa"]["columns"]) == {"GQA"} and "missing" not in scores["gqa"]
    assert scores["vqav2"]["columns"] == scores["mm-vet"]["columns"] == {}
    assert "visualqa.org" in scores["vqav2"]["missing"] and "MM-Vet/releases" in scores["mm-vet"]["missing"]

    # One benchmark by its name, though, has to be there.
    alone = ["--answers", "results/answers/m/vqav2.jsonl", "--out", "vqav2.json", *config]
    assert main(["score", "vqav2", *alone]) == 1
    assert not Path("vqav2.json").exists()
