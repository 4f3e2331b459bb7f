"""The benchmarks that the paper does not report score as their official scripts do; their numbers are in golden/."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from official_more_cases import lines, write_more_cases
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.evaluation.base import Score, error_of, mean
from sharegpt4v.evaluation.benchmarks import chartqa, hallusion_bench, mmmu, mmstar, pope
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.reading import answer_file

OFFICIAL = json.loads((PROJECT / "tests/golden/official_more_scores.json").read_text())


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    write_more_cases(folder)
    return folder


def score(name: str, cases: Path) -> Score:
    entry = benchmark_named(name)
    data = cases / entry.folder
    found = module_of(entry).score(data, answer_file(data / "answers.jsonl"))
    (column,) = entry.columns
    assert found.completeness[column].faults == {} and found.stderr[column] > 0
    return found


def test_mmstar(cases: Path) -> None:
    found, official = score("mmstar", cases), OFFICIAL["mmstar"]
    assert found.columns["MMStar"] == pytest.approx(100 * official["final score"])
    parts = found.parts["category"] | {f"({name})": value for name, value in found.parts["l2_category"].items()}
    for name, value in parts.items():
        (wanted,) = (share for key, share in official.items() if key == name or ("(" in name and key.endswith(name)))
        assert value == pytest.approx(100 * wanted), name
    assert score("mmstar-text", cases).columns == {"MMStar-text": found.columns["MMStar"]}


def test_pope_joins_its_labels_by_image_and_text(cases: Path, tmp_path: Path) -> None:
    found = score("pope", cases)
    for name, numbers in OFFICIAL["pope"].items():
        assert {key: found.parts[name][key] for key in numbers} == pytest.approx(numbers)
    assert found.columns["POPE"] == pytest.approx(100 * mean([one["f1"] for one in OFFICIAL["pope"].values()]))

    data = cases / "pope"
    folder = tmp_path / "pope"
    for path in data.glob("coco/*.json"):  # in another order, and with a label that is not asked for
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        random.Random(0).shuffle(rows)
        lines(folder / "coco" / path.name, [{**rows[0], "text": "Is there more?"}, *rows])
    (folder / pope.FILE).write_text((data / pope.FILE).read_text())
    answers = answer_file(data / "answers.jsonl")
    assert pope.score(folder, answers[::-1]).columns == found.columns
    lines(folder / "coco/coco_pope_random.json", rows[1:])
    assert pope.score(folder, answers).parts["unlabelled"] > 0


@pytest.mark.parametrize(("name", "column"), [("ai2d", "AI2D"), ("realworldqa", "RealWorldQA")])
def test_multiple_choice(name: str, column: str, cases: Path) -> None:
    found = score(name, cases)
    assert "".join(item["prediction"] or "-" for item in found.items) == OFFICIAL[name]["letters"]
    assert found.columns[column] == pytest.approx(OFFICIAL[name]["overall"])


def test_ocrbench(cases: Path) -> None:
    found, official = score("ocrbench", cases), OFFICIAL["ocrbench"]
    assert found.columns["OCRBench"] == pytest.approx(official["Final Score Norm"])
    assert found.parts["category"]["Doc-oriented VQA"] == pytest.approx(official["Doc-oriented VQA"])  # of a hundred


def test_chartqa(cases: Path) -> None:
    found = score("chartqa", cases)
    assert found.parts == pytest.approx(OFFICIAL["chartqa"])
    assert found.columns["ChartQA"] == pytest.approx(mean(list(OFFICIAL["chartqa"].values())))
    assert not chartqa.is_equal("12", "12%") and chartqa.is_equal("11.4", "12") and not chartqa.is_equal("11.39", "12")


def test_hallusion_bench(cases: Path) -> None:
    found, official = score("hallusion-bench", cases), OFFICIAL["hallusion-bench"]
    assert {name: found.parts[name] for name in ("aAcc", "fAcc", "qAcc")} == pytest.approx(official["Overall"])
    for name in ("VD", "VS"):
        assert found.parts[name] == pytest.approx(official[name])
    assert found.columns["HallusionBench"] == pytest.approx(mean(list(official["Overall"].values())))


def test_mmmu(cases: Path) -> None:
    found = score("mmmu", cases)
    assert found.parts["subject"] == pytest.approx(OFFICIAL["mmmu"])
    options = {"A": "a house", "B": "a boat"}
    assert mmmu.read_choice("I do not know", options) is None  # the official script guesses
    row = next(item for item in found.items if item["prediction"] in options)
    guessed = mmmu.score(cases / "mmmu", [{"question_id": row["question_id"], "text": "no idea"}])
    assert {item["score"] for item in guessed.items} == {0, 0.25}


@pytest.mark.parametrize("name", ["pope", "chartqa", "hallusion-bench"])
def test_contributions_add_up_to_the_column_and_give_its_error(name: str, cases: Path) -> None:
    found, module = score(name, cases), {"pope": pope, "chartqa": chartqa, "hallusion-bench": hallusion_bench}[name]
    for column, groups in module.contributions(found.items).items():
        assert sum(mean(list(group.values())) for group in groups) == pytest.approx(found.columns[column])
        assert error_of(groups) == found.stderr[column]


def test_the_error_of_pope_is_that_of_drawing_images_again(cases: Path) -> None:
    """The bootstrap over images agrees with the delta method."""
    found = score("pope", cases)
    by_image: dict[str, list[Any]] = {}
    for item in found.items:
        by_image.setdefault(item["image"], []).append(item)
    drawn, images = random.Random(1), list(by_image)
    values = []
    for _ in range(400):
        items = [item for image in drawn.choices(images, k=len(images)) for item in by_image[image]]
        f1 = []
        for name in pope.SETS:
            pairs = [(item["answer"], item["prediction"]) for item in items if item["set"] == name]
            hits = pairs.count(("yes", "yes"))
            f1.append(200 * hits / (2 * hits + pairs.count(("no", "yes")) + pairs.count(("yes", "no"))))
        values.append(mean(f1))
    centre = mean(values)
    spread = (sum((value - centre) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    assert found.stderr["POPE"] == pytest.approx(spread, rel=0.15)


def test_what_counts_as_the_letter_in_mmstar() -> None:
    right = ["A", "a.", "(A) x", "Option A", "the answer is a", "A\ndog", " (a", "An apple", "option\nA", "answer"]
    assert all(mmstar.is_right(text, "A") for text in right)
    wrong = ["", "B", "[A]", "Option: A", "the answer is (A)", "The correct answer is A", "((A", "- A"]
    assert not any(mmstar.is_right(text, "A") for text in wrong)
