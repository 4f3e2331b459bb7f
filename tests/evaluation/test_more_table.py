"""The second table: columns that the paper does not report, MMStar's gain and leakage; and the first one as it was."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sharegpt4v import lineage
from sharegpt4v.cli import main
from sharegpt4v.config import load
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.benchmarks import mmmu
from sharegpt4v.evaluation.leakage import image_cells
from sharegpt4v.evaluation.table import COLUMNS, MORE_COLUMNS
from sharegpt4v.layout import DEFAULT_CONFIG, of_project
from sharegpt4v.mini.evaluation import mmmu as mini_mmmu

MORE = of_project(Path("config/more.yaml"))


def put(scores: Path, model: str, benchmark: str, column: str, right: list[int], **more: Any) -> None:
    """Write a score file whose items are right or wrong."""
    items = [{"question_id": number, "score": float(one)} for number, one in enumerate(right)]
    about = {"benchmark": benchmark, "split": "val", "scorer": "by rule", "stderr": {column: 1.0}, "parts": {}}
    score = about | {"columns": {column: 100 * sum(right) / len(right)}, "n": {column: len(right)}, "items": items}
    (scores / model).mkdir(parents=True, exist_ok=True)
    (scores / model / f"{benchmark}.json").write_text(json.dumps(score | more))


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    folder = tmp_path / "scores"
    put(folder, "llava-7b", "mmstar", "MMStar", [1, 1, 1, 0])
    put(folder, "llava-7b", "mmstar-text", "MMStar-text", [1, 0, 1, 0])
    put(folder, "base/llm-7b", "mmstar-text", "MMStar-text", [0, 0, 1, 0])
    put(folder, "llava-1.5-13b", "mmstar-text", "MMStar-text", [0, 0, 0, 1])
    put(folder, "base/llm-13b", "mmstar-text", "MMStar-text", [1, 1, 0, 0])
    put(folder, "sharegpt4v-7b", "gqa", "GQA", [1, 1, 0, 0])
    return folder


def test_gain_and_leakage_are_paired_differences(scores: Path) -> None:
    bases = {"llava-7b": "base/llm-7b", "llava-1.5-13b": "base/llm-13b", "sharegpt4v-7b": "base/llm-7b", "other": None}
    found = image_cells(scores, bases)
    seven, thirteen = found["llava-7b"], found["llava-1.5-13b"]
    assert (seven["MMStar-gain"].value, seven["MMStar-leakage"].value) == (25, 25)
    assert seven["MMStar-gain"].stderr == pytest.approx(25)  # of 0, 100, 0, 0 over the root of four
    assert set(thirteen) == {"MMStar-leakage"} and thirteen["MMStar-leakage"].value == 0  # never below
    assert found["sharegpt4v-7b"] == found["other"] == {}


def test_an_unscored_or_another_set_of_questions_gives_no_error(scores: Path) -> None:
    put(scores, "llava-7b", "mmstar", "MMStar", [1, 1, 1])
    put(scores, "base/llm-7b", "mmstar-text", "MMStar-text", [1], columns={}, missing="no MMStar.tsv")
    cells = image_cells(scores, {"llava-7b": "base/llm-7b"})["llava-7b"]
    assert list(cells) == ["MMStar-gain"] and cells["MMStar-gain"].stderr is None


def test_the_tables_are_two_files_and_the_papers_keeps_its_columns(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table.csv"
    assert main(["table", "--scores", str(scores), "--out", str(out)]) == 0
    alone = out.read_bytes(), out.with_suffix(".md").read_text()
    assert "MMStar" not in "".join(map(str, (*alone, capsys.readouterr().out)))
    assert not (tmp_path / "table_more.csv").exists()  # the mini preset has no such columns
    assert main(["table", "--scores", str(scores), "--out", str(out), "--config", str(MORE)]) == 0
    assert (out.read_bytes(), out.with_suffix(".md").read_text()) == alone
    assert out.read_text().splitlines()[0] == ",".join(["model", *COLUMNS])

    with open(tmp_path / "table_more.csv", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert list(rows["llava-7b"]) == ["model", *MORE_COLUMNS]
    assert rows["llava-7b"] == dict.fromkeys(MORE_COLUMNS, "") | {
        "model": "llava-7b", "MMStar": "75.0", "MMStar-text": "50.0", "MMStar-gain": "25.0", "MMStar-leakage": "25.0",
    }  # fmt: skip
    page = (tmp_path / "table_more.md").read_text()
    assert "| 25.0 ± 25.0 |" in page and "in the paper" not in page and "GQA" not in page
    assert "MMStar-gain" in capsys.readouterr().out


def test_a_run_asks_its_language_models_alone_only_where_that_is_wanted() -> None:
    assert lineage.text_baselines(load(DEFAULT_CONFIG)) == []
    assert lineage.text_baselines(load(MORE)) == ["13b", "7b"]
    config = load(MORE)
    alignment = config.alignment.model_copy(update={"train_llm": True})
    assert lineage.text_baselines(config.model_copy(update={"alignment": alignment})) == []


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \*/validation-\*.parquet"):
        mmmu.questions(tmp_path)
    for name, content in mini_mmmu.files(3, 0, 16):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(content)
    assert len(mmmu.questions(tmp_path)) == 3
    path.write_bytes(content[:-20])
    with pytest.raises(UserError, match=r"parquet: not read \(.*\); expected MMMU's columns id, ") as caught:
        mmmu.questions(tmp_path)
    assert "\n" not in str(caught.value)
