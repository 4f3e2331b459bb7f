"""Timings and the comparison of data sets: what is in them, one-line errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from conftest import PROJECT
from sharegpt4v.corpora.statistics import DatasetSource, datasets
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json, write_jsonl
from sharegpt4v.report.curves_figure import curves_figure
from sharegpt4v.report.dvc_view import write_curves
from sharegpt4v.report.timings import collect_timings

PAPER = PROJECT / "config" / "paper" / "datasets.csv"

SUBSTITUTION = """model,benchmark,before,after,gain,paper_before,paper_after,paper_gain
LLaVA-7B,MME-perception,807.0,1029.8,222.8,807.0,1029.8,222.8
LLaVA-7B,GQA,41.0,40.5,-0.5,,,
LLaVA-1.5-13B,MMBench,67.7,69.0,1.3,67.7,69.0,1.3
"""


# Table 1


def llava_row(caption: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nDescribe it."}, {"from": "gpt", "value": caption}]
    return {"id": "1", "image": "coco/train2017/1.jpg", "conversations": turns}


def test_datasets_beside_the_paper(tmp_path: Path) -> None:
    coco, llava = tmp_path / "captions_train2017.json", tmp_path / "detail_23k.json"
    annotations = [{"image_id": 7, "caption": "a cat "}, {"image_id": 7, "caption": "two cats"}]
    write_json(coco, {"images": [{"id": 7}], "annotations": [*annotations, {"image_id": 9, "caption": "é狗."}]})
    write_json(llava, [llava_row("x" * 100), llava_row("y" * 51)])
    out = tmp_path / "results" / "datasets.csv"
    rows = [
        DatasetSource("COCO-Caption", "COCO", True, "humans", coco, "coco", "coco", "coco"),
        DatasetSource("LLaVA-23K", "COCO", False, "GPT-4", llava, "llava", "detail", "coco"),
        DatasetSource("mine", "COCO, others", True, "me", llava, "llava", "mine"),
    ]
    datasets(rows, PAPER, out)
    lines = out.read_text().splitlines()
    assert lines[0].startswith(
        "name,source,visible,captioned_by,samples,average_characters,paper_samples,paper_average_characters,captions,"
    )
    assert lines[1].startswith("COCO-Caption,COCO,yes,humans,2,5.3,118000,52,3,")
    assert lines[2].startswith("LLaVA-23K,COCO,no,GPT-4,2,75.5,23000,609,2,")
    assert lines[3].startswith('mine,"COCO, others",yes,me,2,75.5,,,2,')


def test_the_papers_table() -> None:
    rows = list(csv.DictReader(PAPER.read_text().splitlines()))
    numbers = {row["name"]: (int(row["samples"]), int(row["average_characters"])) for row in rows}
    assert numbers == {
        "COCO-Caption": (118_000, 52),
        "BLIP-LCS": (558_000, 54),
        "LLaVA-23K": (23_000, 609),
        "ShareGPT4V": (100_000, 942),
        "ShareGPT4V-PT": (1_246_000, 826),
    }
    assert [row["name"] for row in rows if row["visible"] == "no"] == ["LLaVA-23K"]


@pytest.mark.parametrize(
    ("format", "text", "expected"),
    [
        ("llava", None, r"captions\.json: cannot be read \(No such file"),
        ("coco", None, r"captions\.json: no such file"),
        ("llava", "", "byte 0: no JSON array; expected one of rows"),
        ("llava", "[]", "no captions in it"),
        ("llava", json.dumps([llava_row("x")])[:-9], "row 1 breaks here"),
        ("llava", json.dumps([llava_row("x")])[:-1], "the file is cut off after row 1"),
        ("llava", '[{"id": 1}]', "row 1, field 'conversations': nothing; expected a list"),
        ("llava", "[1]", "row 1 is no object"),
        ("coco", "[]", "no list 'annotations'"),
        ("coco", '{"annotations": [{"caption": "x"}]}', "annotation 1, field 'image_id': nothing; expected a whole"),
    ],
)
def test_a_wrong_data_set_is_one_line(
    tmp_path: Path, format: Literal["coco", "llava"], text: str, expected: str
) -> None:
    path = tmp_path / "captions.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=expected) as caught:
        datasets([DatasetSource("x", "x", True, "x", path, format, "x", "x")], PAPER, tmp_path / "out.csv")
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


# Timings

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def test_timings_by_stage(tmp_path: Path) -> None:
    logs = tmp_path / "logs" / "benchmarks"
    (logs / "train").mkdir(parents=True)
    (logs / "table.tsv").write_text(HEADER + "0.4218\t0:00:00\t-\t-\t-\t-\t-\t-\t-\t0\n")
    (logs / "train" / "llava-7b.tsv").write_text(HEADER + "100.26\t0:01:40\t512.55\t0\t0\t0\t0\t0\t0\t0\n")
    (logs / "train" / "sharegpt4v-7b.tsv").write_text(HEADER + "200\t0:03:20\t1612.5\t0\t0\t0\t0\t0\t0\t0\n")
    out = tmp_path / "results" / "timings.csv"
    text = collect_timings(logs, out)
    assert out.read_text() == (
        "stage,job,seconds,max_rss_mb\n"
        "table,table,0.4,\n"
        "train,train/llava-7b,100.3,512.5\n"
        "train,train/sharegpt4v-7b,200.0,1612.5\n"
    )
    assert [line.split() for line in text.splitlines()] == [
        ["stage", "jobs", "seconds", "largest", "MiB"],
        ["train", "2", "300.3", "5", "min", "00", "s", "1,612"],
        ["table", "1", "0.4", "0", "s"],
        ["total", "3", "300.7", "5", "min", "01", "s", "1,612"],
    ]


def test_wrong_timings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no timings"):
        collect_timings(tmp_path / "nowhere", tmp_path / "out.csv")
    (tmp_path / "a.tsv").write_text("s\tmax_rss\nlong\t1\n")
    with pytest.raises(UserError, match=r"a\.tsv, line 2: no 's' and 'max_rss'"):
        collect_timings(tmp_path, tmp_path / "out.csv")


def test_curves_of_trainings_of_any_length_have_a_hundred_points(tmp_path: Path) -> None:
    losses = {"short": [3.0, 1.0], "exact": [float(step) for step in range(1, 101)], "long": [2.0, 4.0] * 100}
    for name, values in losses.items():
        write_jsonl(tmp_path / name / "metrics.jsonl", ({"step": i, "loss": v} for i, v in enumerate(values, start=1)))
    write_curves({name: tmp_path / name for name in losses}, tmp_path / "curves.csv")
    with open(tmp_path / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["percent"]) for row in rows] == list(range(1, 101))
    assert [float(row["short"]) for row in rows] == [3.0] * 50 + [1.0] * 50
    assert [float(row["exact"]) for row in rows] == losses["exact"]
    assert [float(row["long"]) for row in rows] == [3.0] * 100
    curves_figure(tmp_path / "curves.csv", [tmp_path / "curves.svg"])
    assert "fine-tuning: short from 3.00 to 1.00, exact from 1.00 to 100.00" in (tmp_path / "curves.svg").read_text()


def test_a_training_without_a_loss_is_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "captioner" / "metrics.jsonl", [{"step": 1}])
    with pytest.raises(UserError, match=r"captioner/metrics\.jsonl: no loss in it"):
        write_curves({"captioner": tmp_path / "captioner"}, tmp_path / "curves.csv")
