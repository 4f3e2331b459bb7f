"""Figures: the same bytes twice, nothing cut off, every number in words, the paper's where the table has them."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy
import pytest
from PIL import Image

from conftest import PROJECT
from sharegpt4v.corpora.lexicon import CLASSES
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.gains import errors_file
from sharegpt4v.report.curves_figure import LINES, curves_figure, grouped_by_panel
from sharegpt4v.report.dataset_figures import REPETITIONS, captions_figure, datasets_figure
from sharegpt4v.report.substitution_figure import substitution_figure

PAPER = PROJECT / "config" / "paper" / "datasets.csv"
SVG = "{http://www.w3.org/2000/svg}"
SUBSTITUTION = """model,benchmark,before,after,gain,paper_before,paper_after,paper_gain
LLaVA-7B,MME-perception,807.0,1029.8,222.8,807.0,1029.8,222.8
LLaVA-7B,GQA,41.0,40.5,-0.5,,,
LLaVA-1.5-13B,MMBench,67.7,69.0,1.3,67.7,69.0,1.3
"""
ERRORS = "model,benchmark,gain_stderr\nLLaVA-1.5-13B,MMBench,{}\n"
CAPTIONS = "28,10,2,12,1,10,37,1.5,0.1,3"


@pytest.fixture
def substitution(tmp_path: Path) -> Path:
    table = tmp_path / "substitution.csv"
    table.write_text(SUBSTITUTION)
    errors_file(table).write_text(ERRORS.format("0.9"))
    return table


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    """The paper's own data sets, and one that is not in the paper."""
    header, *lines = PAPER.read_text().splitlines()
    numbers = [",".join(line.split(",")[-2:]) for line in lines]
    rows = [f"{line},{number},{CAPTIONS}" for line, number in zip(lines, numbers, strict=True)]
    columns = ["paper_samples", "paper_average_characters", *CLASSES, *REPETITIONS]
    table = tmp_path / "datasets.csv"
    table.write_text("\n".join([f"{header},{','.join(columns)}", *rows, f"mine,x,yes,me,3,10.5,,,{CAPTIONS}"]))
    return table


def told(svg: Path) -> tuple[str, str]:
    """Title and description of an SVG, as a reader of a screen finds them."""
    root = ElementTree.parse(svg).getroot()
    assert root.tag == f"{SVG}svg" and root.get("role") == "img"
    return str(root.findtext(f"{SVG}title")), str(root.findtext(f"{SVG}desc"))


def expect_nothing_cut_off(png: Path) -> None:
    """An edge of the image that is not white has cut something off."""
    with Image.open(png) as image:
        pixels = numpy.asarray(image.convert("L"))
    assert min(edge.min() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])) == 255
    assert pixels.shape[1] == 1920 and pixels.min() < 100


def test_the_same_numbers_give_the_same_bytes_and_others_do_not(substitution: Path, tmp_path: Path) -> None:
    first, again, other = (
        [tmp_path / name / f"figure.{kind}" for kind in ("svg", "png")] for name in ("first", "again", "other")
    )
    substitution_figure(substitution, first)
    substitution_figure(substitution, again)
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in again]
    errors_file(substitution).write_text(ERRORS.format(""))
    substitution_figure(substitution, other)
    assert all(one.read_bytes() != changed.read_bytes() for one, changed in zip(first, other, strict=True))
    assert b"<dc:date>" not in first[0].read_bytes()


def test_substitution_in_words_and_whole(substitution: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "figure.svg", tmp_path / "figure.png"]
    substitution_figure(substitution, outs)
    title, words = told(outs[0])
    assert title.startswith("What better captions gain")
    assert words == (
        "LLaVA-7B, before and after: MME-perception 807.0 to 1029.8 (+222.8; in the paper +222.8), "
        "GQA 41.0 to 40.5 (−0.5). "
        "LLaVA-1.5-13B, before and after: MMBench 67.7 to 69.0 (+1.3 ± 0.9; in the paper +1.3)."
    )
    expect_nothing_cut_off(outs[1])
    with Image.open(outs[1]) as image:
        assert image.info["Title"] == title and "MMBench 67.7 to 69.0" in image.info["Description"]
    with open(substitution, newline="") as file:
        rows = [row | {name: "" for name in row if name.startswith("paper_")} for row in csv.DictReader(file)]
    with open(substitution, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    substitution_figure(substitution, outs, "A toy.")
    title, words = told(outs[0])
    assert title.startswith("A toy. What better captions gain")
    assert words == (
        "LLaVA-7B, before and after: MME-perception 807.0 to 1029.8 (+222.8, as expected), "
        "GQA 41.0 to 40.5 (−0.5, not as expected). "
        "LLaVA-1.5-13B, before and after: MMBench 67.7 to 69.0 (+1.3 ± 0.9, as expected)."
    )
    expect_nothing_cut_off(outs[1])


def test_data_sets_and_captions_in_words_and_whole(compared: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "figure.svg", tmp_path / "figure.png"]
    datasets_figure(compared, outs)
    words = told(outs[0])[1]
    assert "ShareGPT4V: 100,000 samples, 942 characters on average; in the paper 100000 samples, 942" in words
    assert "mine: 3 samples, 10 characters on average; noun 28 %, " in words
    expect_nothing_cut_off(outs[1])
    table = tmp_path / "seed.csv"
    table.write_text(f"source,captions,{','.join([*CLASSES, *REPETITIONS])}\nsam,1200,{CAPTIONS}\n")
    captions_figure(table, outs)
    assert told(outs[0])[0].endswith(": seed") and "sam (1,200): noun 28 %" in told(outs[0])[1]
    expect_nothing_cut_off(outs[1])


def test_a_panel_of_curves_has_few_lines(tmp_path: Path) -> None:
    singles = [f"model-{number}" for number in range(LINES + 1)]
    names = ["aligned 13b", "aligned 7b", "captioner", "pretrained 7b", "a", "a+better", *singles]
    assert grouped_by_panel(names) == [
        ("alignment", ["aligned 13b", "aligned 7b"]),
        ("captioner", ["captioner"]),
        ("pre-training", ["pretrained 7b"]),
        ("fine-tuning: a", ["a", "a+better"]),
        ("fine-tuning", singles[:LINES]),
        ("fine-tuning", singles[LINES:]),
    ]
    rows = [",".join(["percent", *names])]
    rows += [",".join([str(percent), *(f"{5 / percent:.4f}" for _ in names)]) for percent in range(1, 101)]
    table, outs = tmp_path / "curves.csv", [tmp_path / "curves.svg", tmp_path / "curves.png"]
    table.write_text("\n".join(rows))
    curves_figure(table, outs)
    assert "pre-training: pretrained 7b from 5.00 to 0.05." in told(outs[0])[1]
    expect_nothing_cut_off(outs[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "no such table"),
        ("model,benchmark,before\n", "line 1: no column after, gain, paper_gain"),
        (SUBSTITUTION.splitlines()[0], "no rows in it"),
    ],
)
def test_a_figure_without_its_table_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    table = tmp_path / "substitution.csv"
    errors_file(table).write_text(ERRORS.format("0.9"))
    if text is not None:
        table.write_text(text)
    with pytest.raises(UserError, match=expected):
        substitution_figure(table, [tmp_path / "out.svg"])
    assert not (tmp_path / "out.svg").exists()
