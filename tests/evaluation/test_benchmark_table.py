"""Score files, the results table, the substitution table and the paper's numbers: exact bytes, empty cells, errors."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from sharegpt4v.catalogues.benchmarks import CATALOGUE, read_catalogue
from sharegpt4v.config import load
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.benchmarks import mme
from sharegpt4v.evaluation.expected import expected_of
from sharegpt4v.evaluation.gains import Pair, gain_errors, write_substitution
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.reading import Row
from sharegpt4v.evaluation.scoring import score_file
from sharegpt4v.evaluation.table import COLUMNS, IMAGE_COLUMNS, MORE_COLUMNS, terminal_text, write_cells, write_table
from sharegpt4v.evaluation.table_page import write_page

PAPER = CATALOGUE.parent / "paper"


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Two models: one with two benchmarks, one with MMBench alone."""
    folder = tmp_path / "scores"

    def put(model: str, benchmark: str, columns: Any, stderr: Any, items: Any = (), **more: Any) -> None:
        (folder / model).mkdir(parents=True, exist_ok=True)
        score = {
            "benchmark": benchmark, "split": "test" if benchmark == "mme" else "dev", "scorer": "by rule",
            "columns": columns, "n": dict.fromkeys(columns, 4), "stderr": stderr, "parts": {},
            "items": [{"question_id": number, "score": score} for number, score in enumerate(items)],
            "answers_sha256": "a1", "model_sha256": "b2", "code": "c3", **more,
        }  # fmt: skip
        (folder / model / f"{benchmark}.json").write_text(json.dumps(score))

    put("base", "mme", {"MME-perception": 1510.666, "MME-cognition": 0}, {"MME-perception": 20.04})
    complete = {"expected": 400, "missing": 3, "repeated": 0, "unknown": 1, "verdicts": 0, "failed": 0, "first": {}}
    more = {"completeness": {"MMBench": complete}}
    put("base", "mmbench", {"MMBench": 64.26}, {"MMBench": 1.4}, [0, 0, 1, 1], **more)
    put("better, longer", "mmbench", {"MMBench": 66.84}, {"MMBench": 1.36}, [1, 0, 1, 1])
    return folder


def test_table_bytes(scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    write_table(["base", "better, longer", "none"], scores, out)
    assert out.read_bytes() == (
        b"model,LLaVA-Bench-Wild,MME-perception,MME-cognition,MMBench,MMBench-CN,SEED-image,MM-Vet,QBench,SQA-image,"
        b"VQA-v2,VizWiz,GQA,TextVQA\n"
        b"base,,1510.7,0.0,64.3,,,,,,,,,\n"
        b'"better, longer",,,,66.8,,,,,,,,,\n'
        b"none,,,,,,,,,,,,,\n"
    )
    first = out.read_bytes()
    write_table(["base", "better, longer", "none"], scores, out)
    assert out.read_bytes() == first


def test_the_page_sets_a_model_beside_the_paper(scores: Path, tmp_path: Path) -> None:
    paper, out = tmp_path / "paper.csv", tmp_path / "table.md"
    paper.write_text("model,benchmark,value,source\nB-7B,MMBench,67.2,zoo\nB-7B,MME-perception,1510.7,zoo\n")
    judge = {"model": "grader", "official": False}
    judge |= {"temperatures": [0.2], "prompt_sha256": "0123456789"}
    complete = {"expected": 218, "verdicts": 1090, "failed": 2}
    vet = {"columns": {"MM-Vet": 30}, "stderr": {}, "split": "v1", "scorer": "MM-Vet evaluator"}
    vet |= {"completeness": {"MM-Vet": complete}, "parts": {"judge": judge, "runs": [30, 30, 30, 30, 30]}}
    (scores / "base" / "mm-vet.json").write_text(json.dumps(vet))
    get = "data/gqa: no questions; it comes from the moon"
    empty = {"benchmark": "gqa", "columns": {}, "stderr": {}, "split": "testdev", "parts": {}, "missing": get}
    (scores / "base" / "gqa.json").write_text(json.dumps(empty))
    write_page({"base": "B-7B", "better, longer": None, "none": None}, scores, paper, out)
    table, bold, splits, scorers, verdicts, missing = out.read_text().split("\n\n")
    lines = table.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| base", "| B-7B in the paper", "| difference", "| better, longer", "| none",
    ]  # fmt: skip
    assert len({line.count("|") for line in lines}) == 1
    assert "| 1510.7 ± 20.0 | 0.0 | 64.3 ± 1.4 [3 missing, 1 unknown] |" in lines[2]
    assert "| 30.0 [2 failed] |" in lines[2]
    assert "| 1510.7 |  | 67.2 |" in lines[3]
    assert "| -0.0 |  | **-2.9** |" in lines[4]
    assert "outside two standard errors, or the interval" in bold
    assert splits == "Splits: MME-perception test; MME-cognition test; MMBench dev; MM-Vet v1."
    assert scorers.startswith("Scorers: MME-perception by rule; ") and scorers.endswith("MM-Vet MM-Vet evaluator.")
    assert verdicts == (
        "- base, MM-Vet: judged by grader, 5 times, temperature 0.2, prompt 01234567 (not the official one)"
    )
    assert missing == f"- gqa is empty: {get}\n"

    paper.write_text("model,value\n")
    with pytest.raises(UserError, match=r"paper.csv, line 1: columns \['model', 'value'\]; expected model, benchmark"):
        write_page({"base": "B-7B"}, scores, paper, out)


def test_a_page_of_the_miniature_begins_with_the_notice_and_has_no_number_of_the_paper(
    scores: Path, tmp_path: Path
) -> None:
    paper, out = tmp_path / "paper.csv", tmp_path / "table.md"
    paper.write_text("model,benchmark,value,source\nB-7B,MMBench,67.2,zoo\n")
    write_page({"base": "B-7B"}, scores, paper, out, "A toy.", expected="Up, in <every> column.")
    page = out.read_text()
    assert page.startswith("A toy.\n\nUp, in &lt;every&gt; column.\n\n| model |") and "| base |" in page
    assert "67.2" not in page and "difference" not in page and "**" not in page

    table = tmp_path / "substitution.csv"
    pairs = [Pair("LLaVA-1.5-7B", "base", "better, longer"), Pair("mini", "base", "base")]
    pairs.append(Pair("back", "better, longer", "base"))
    write_substitution(pairs, scores, PAPER / "substitution.csv", table, "A toy.", "Up, in every column.")
    assert table.read_text().splitlines()[1] == "LLaVA-1.5-7B,MMBench,64.3,66.8,2.5,,,"
    lines = table.with_suffix(".md").read_text().splitlines()
    assert lines[:4] == ["A toy.", "", "Up, in every column.", ""]
    assert lines[4] == "| model | column | before | after | gain | direction |"
    assert lines[6] == "| LLaVA-1.5-7B | MMBench | 64.3 | 66.8 | +2.5 ± 25.0 | ▲ as expected |"
    assert lines[9] == "| mini | MMBench | 64.3 | 64.3 | +0.0 ± 0.0 | = no change |"
    assert lines[10] == "| back | MMBench | 66.8 | 64.3 | -2.5 ± 25.0 | ▼ not as expected |"


def test_pages_of_real_images_have_the_papers_numbers_and_no_marks(scores: Path, tmp_path: Path) -> None:
    paper, out = tmp_path / "paper.csv", tmp_path / "table.md"
    paper.write_text("model,benchmark,value,source\nB-7B,MMBench,67.2,zoo\n")
    write_page({"base": "B-7B"}, scores, paper, out, expected="Up.")
    assert "67.2" in out.read_text() and "| difference |" in out.read_text() and "Up." not in out.read_text()
    write_substitution([Pair("LLaVA-1.5-7B", "base", "better, longer")], scores, PAPER / "substitution.csv",
                       tmp_path / "gains.csv", expected="Up.")  # fmt: skip
    page = (tmp_path / "gains.md").read_text()
    assert "| MMBench | 64.3 | 66.8 | +2.5 ± 25.0 | +1.0 |" in page
    assert "gain in the paper" in page and "expected" not in page and "▲" not in page and "Up." not in page


def test_the_direction_is_expected_of_the_pairs_of_the_miniature_alone() -> None:
    mini, real = (load(PROJECT / f"config/{name}.yaml") for name in ("config", "substitution-llava"))
    line = expected_of(mini)
    assert all(f"{pair.after} above {pair.before}" in line for pair in mini.substitution) and mini.substitution
    assert real.substitution and expected_of(real) == ""
    assert expected_of(mini.model_copy(update={"substitution": []})) == ""


def test_terminal_table_has_a_line_per_column(scores: Path) -> None:
    lines = terminal_text(["base", "better, longer"], scores).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == list(COLUMNS)
    cells = [cell.strip() for cell in lines[4].split("  ") if cell]
    assert cells == ["MMBench", "64.3 ± 1.4 [3 missing, 1 unknown]", "66.8 ± 1.4"]
    assert max(len(line) for line in lines) <= 80


def test_substitution_bytes(scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "substitution.csv"
    pairs = [Pair("LLaVA-1.5-7B", "base", "better, longer"), Pair("mini", "base", "base")]
    write_substitution(pairs, scores, PAPER / "substitution.csv", out)
    assert out.read_bytes() == (
        b"model,benchmark,before,after,gain,paper_before,paper_after,paper_gain\n"
        b"LLaVA-1.5-7B,MMBench,64.3,66.8,2.5,64.3,65.3,1.0\n"
        b"mini,MME-perception,1510.7,1510.7,0.0,,,\n"
        b"mini,MME-cognition,0.0,0.0,0.0,,,\n"
        b"mini,MMBench,64.3,64.3,0.0,,,\n"
    )
    # One of four questions more: differences 100, 0, 0, 0, whose standard deviation is 50.
    assert (tmp_path / "substitution_errors.csv").read_bytes() == (
        b"model,benchmark,gain_stderr\n"
        b"LLaVA-1.5-7B,MMBench,25.0\nmini,MME-perception,\nmini,MME-cognition,\nmini,MMBench,0.0\n"
    )
    page = (tmp_path / "substitution.md").read_text().splitlines()
    assert page[2] == "| LLaVA-1.5-7B | MMBench | 64.3 | 66.8 | +2.5 ± 25.0 | +1.0 |"


def rows(benchmark: str, columns: list[str], items: list[dict[str, Any]]) -> list[Row]:
    return [Row({"benchmark": benchmark, "columns": dict.fromkeys(columns, 0), "items": items}, "a score file")]


def test_the_error_of_a_gain_is_that_of_the_differences() -> None:
    """Two models that are right and wrong alike but for one question differ by that alone, however hard they are."""

    def graded(values: Any, **more: Any) -> Any:
        return rows("gqa", ["GQA"], [{"question_id": str(n), "score": v} | more for n, v in enumerate(values)])

    assert gain_errors(graded([0, 1, 0, 1]), graded([0, 1, 0, 1])) == {"GQA": 0}
    assert gain_errors(graded([0, 1, 0, 1]), graded([1, 0, 1, 0])) == {"GQA": pytest.approx(100 * 2 / math.sqrt(12))}
    assert gain_errors(graded([0, 1]), graded([0, 1, 1])) == {}  # not the same questions
    assert gain_errors(graded([1]), graded([1])) == {}
    assert gain_errors([], graded([1, 1])) == {}


def test_the_unit_of_mme_is_an_image_and_errors_of_subtasks_add_up() -> None:
    def answered(*images: Any) -> Any:
        names = [name for group in mme.SUBTASKS.values() for name in group]
        items = [
            {"question_id": f"{name}/{image}.txt", "question": str(number), "score": score}
            for name in names for image, pair in enumerate(images) for number, score in enumerate(pair)
        ]  # fmt: skip
        return rows("mme", list(mme.SUBTASKS), items)

    # An image with both right is worth 200, with one right 50: differences 150 and 0 in each of 10 and 4 subtasks.
    errors = gain_errors(answered((1, 0), (0, 0)), answered((1, 1), (0, 0)))
    each = 150 / math.sqrt(2) / math.sqrt(2)
    assert errors == {
        "MME-perception": pytest.approx(each * math.sqrt(10)), "MME-cognition": pytest.approx(each * 2),
    }  # fmt: skip


def test_of_scienceqa_only_questions_with_an_image_count() -> None:
    items = [{"question_id": str(n), "with_image": n < 3, "score": float(n == 1)} for n in range(9)]
    none = [item | {"score": 0.0} for item in items]
    errors = gain_errors(rows("scienceqa", ["SQA-image"], none), rows("scienceqa", ["SQA-image"], items))
    assert errors == {"SQA-image": pytest.approx(100 / 3)}


def test_cells_hold_all_that_is_known(scores: Path, tmp_path: Path) -> None:
    write_cells(["base", "none"], scores, tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text() == (
        "model,benchmark,value,stderr,low,high,n,missing,repeated,unknown,failed,split,scorer,judge,answers_sha256,"
        "model_sha256,code\n"
        "base,MMBench,64.26,1.4,,,4,3,0,1,0,dev,by rule,,a1,b2,c3\n"
        "base,MME-perception,1510.666,20.04,,,4,0,0,0,0,test,by rule,,a1,b2,c3\n"
        "base,MME-cognition,0,,,,4,0,0,0,0,test,by rule,,a1,b2,c3\n"
    )


def test_table_refuses_what_is_no_score(scores: Path, tmp_path: Path) -> None:
    path = scores / "base" / "mmbench.json"
    path.write_text(json.dumps({"columns": {"MMBench": "64"}, "stderr": {}}))
    with pytest.raises(UserError, match=r"mmbench.json, columns: 'MMBench': '64'; expected numbers"):
        write_table(["base"], scores, tmp_path / "table.csv")
    path.write_text(json.dumps({"stderr": {}}))
    with pytest.raises(UserError, match=r"mmbench.json: no field 'columns'; expected an object"):
        write_table(["base"], scores, tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


def test_score_file(tmp_path: Path) -> None:
    types = {"Scene Understanding": 1}
    items = [{"question_id": str(n), "question_type_id": 1, "data_type": "image", "answer": "A"} for n in range(4)]
    (tmp_path / "SEED-Bench.json").write_text(json.dumps({"questions": items, "question_type": types}))
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"question_id": n, "text": "AAAB"[n]}) + "\n" for n in range(4)))
    score_file("seed", tmp_path, answers, tmp_path / "scores/tiny/seed.json")
    score = json.loads((tmp_path / "scores/tiny/seed.json").read_text())
    assert (score["columns"], score["n"]) == ({"SEED-image": 75}, {"SEED-image": 4})
    assert score["stderr"]["SEED-image"] == pytest.approx(21.65, abs=0.01)
    assert [item["score"] for item in score["items"]] == [1, 1, 1, 0]
    write_table(["tiny"], tmp_path / "scores", tmp_path / "table.csv")
    assert "tiny,,,,,,75.0,,,,,,,\n" in (tmp_path / "table.csv").read_text()

    answers.write_text('{"question_id": 1, "text": null}\n')
    with pytest.raises(UserError, match=r"answers.jsonl: answers, row 1, field 'text': None; expected a text"):
        score_file("seed", tmp_path, answers, tmp_path / "other.json")
    answers.write_text('{"question_id": 1, "te')
    with pytest.raises(UserError, match=r"answers.jsonl, line 1: not JSON"):
        score_file("seed", tmp_path, answers, tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()


def test_every_benchmark_of_the_catalogue_has_its_module_and_columns() -> None:
    columns: list[str] = []
    for benchmark in read_catalogue().values():
        module = module_of(benchmark)
        assert benchmark.scoring in {"local", "judge", "server"}
        assert callable(module.questions) and hasattr(module, "score") == (benchmark.scoring != "server")
        assert hasattr(module, "submission") == bool(benchmark.submission)
        assert benchmark.scorer and "https://" in benchmark.source
        assert bool(benchmark.columns) == (benchmark.scoring != "server")
        columns += benchmark.columns
    assert set(columns) == {*COLUMNS, *MORE_COLUMNS} - set(IMAGE_COLUMNS) and len(columns) == len(set(columns))
    assert len(COLUMNS) == 13


def test_catalogue_errors(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.tsv"
    lines = CATALOGUE.read_text().splitlines()
    mme = next(line for line in lines if line.startswith("mme\t"))
    path.write_text(lines[0] + "\n" + mme.replace("2374", "many") + "\n")
    with pytest.raises(UserError, match=r"benchmarks.tsv, line 2: expected 11 fields, questions a whole number"):
        read_catalogue(path)
    path.write_text(lines[0] + "\n" + mme.replace("\tpaper\t", "\tmore or less\t") + "\n")
    with pytest.raises(UserError, match=r"benchmarks.tsv, line 2: table 'more or less'; expected one of paper, more"):
        read_catalogue(path)
    path.write_text("name\n")
    with pytest.raises(UserError, match=r"benchmarks.tsv, line 1: columns \['name'\]; expected name, module"):
        read_catalogue(path)


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_papers_numbers() -> None:
    results = {(row["model"], row["benchmark"]): float(row["value"]) for row in rows_of(PAPER / "results.csv")}
    assert len(results) == len(rows_of(PAPER / "results.csv"))
    assert {column for _, column in results} == set(COLUMNS)
    seven = [results["ShareGPT4V-7B", column] for column in COLUMNS]
    assert seven == [72.6, 1567.4, 376.4, 68.8, 62.2, 69.7, 37.6, 63.4, 68.4, 80.6, 57.2, 63.3, 60.4]
    # "1943.8, 95.6 above Qwen-VL-Chat"
    total = results["ShareGPT4V-7B", "MME-perception"] + results["ShareGPT4V-7B", "MME-cognition"]
    peer = results["Qwen-VL-Chat-7B", "MME-perception"] + results["Qwen-VL-Chat-7B", "MME-cognition"]
    assert (round(total, 1), round(total - peer, 1)) == (1943.8, 95.6)


def test_the_papers_substitution_gains() -> None:
    rows = {(row["model"], row["benchmark"]): row for row in rows_of(PAPER / "substitution.csv")}
    models = ("LLaVA-7B", "LLaVA-1.5-13B", "Qwen-VL-Chat-7B")

    def gains(column: str) -> list[float]:
        return [
            round(float(rows[model, column]["after"]) - float(rows[model, column]["before"]), 1) for model in models
        ]

    assert gains("MME-perception") == [222.8, 22.0, 22.3]  # the gains of the paper's abstract
    assert gains("MMBench") == [2.7, 1.3, 1.5]
    assert rows["LLaVA-7B", "QBench"]["after"] == rows["LLaVA-7B", "GQA"]["before"] == ""


def test_the_papers_ablations() -> None:
    rows = rows_of(PAPER / "ablations.csv")
    final = {row["quantity"]: row["value"] for row in rows if row["setting"] == "tuned from block 12"}
    assert final == {"memory in GB": "56.7", "MME-perception": "1567.4", "MMBench": "68.8", "SEED-image": "69.7"}
    assert {row["ablation"] for row in rows} == {"Table 4", "Table 5", "Table 6", "Figure 6"}
