"""The figure of the ablations: every number in words, nothing cut off, the paper's numbers where the table has them."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy
import pytest
from PIL import Image

from conftest import PROJECT
from sharegpt4v.config import load
from sharegpt4v.config.ablations import Ablation
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.ablation_table import FIELDS, MEMORY_FIELDS
from sharegpt4v.files import write_csv
from sharegpt4v.report.ablations_figure import ablations_figure

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def studies() -> dict[str, Ablation]:
    return dict(load(PROJECT / "config/ablations-7b.yaml").ablations.studies)


@pytest.fixture
def table(tmp_path: Path, studies: dict[str, Ablation]) -> Path:
    """A score for every variant, 60.0, 61.0 and so on in each study; the paper's are two points above."""
    rows = [
        [name, variant.name, "model", str(1000 * n), column, f"{60 + n}.0", "1.5", f"{62 + n}.0", "up" if n else ""]
        for name, study in studies.items()
        for n, variant in enumerate(study.variants)
        for column in ("MME-perception", "MMBench", "SEED-image")
    ]
    write_csv(tmp_path / "ablations.csv", [FIELDS, *rows])
    blocks = [variant.name for variant in studies["blocks"].variants]
    write_csv(
        tmp_path / "memory.csv", [MEMORY_FIELDS, *([["blocks", name, "model", "51.2", "49.6"] for name in blocks])]
    )
    return tmp_path / "ablations.csv"


def test_every_number_is_in_words_and_nothing_is_cut_off(table: Path, studies: dict[str, Ablation]) -> None:
    outs = [table.with_suffix(".svg"), table.with_suffix(".png")]
    ablations_figure(studies, table, table.with_name("memory.csv"), outs)
    alt = str(ElementTree.parse(outs[0]).getroot().findtext(f"{SVG}desc"))
    assert (
        "Captions in which stage, MMBench: in neither stage 60.0 ± 1.5 (in the paper 62.0), in fine-tuning 61.0" in alt
    )
    assert "Number of pre-training captions, SEED-image: none 60.0 ± 1.5" in alt and "1,200K 67.0 ± 1.5" in alt
    assert "from block 12, 51.2 GB (paper: 49.6) 62.0 ± 1.5" in alt
    with Image.open(outs[1]) as image:
        pixels = numpy.asarray(image.convert("L"))
    assert min(edge.min() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])) == 255
    before = outs[0].read_bytes()
    ablations_figure(studies, table, table.with_name("memory.csv"), outs[:1])
    assert outs[0].read_bytes() == before


def test_without_the_papers_numbers_it_shows_what_is_expected(table: Path, studies: dict[str, Ablation]) -> None:
    with table.open(newline="") as file:
        rows = [row | {"paper": ""} for row in csv.DictReader(file)]
    few = [row for row in rows if row["column"] == "MMBench" and row["ablation"] in ("stages", "number")]
    write_csv(table, [FIELDS, *([row[field] for field in FIELDS] for row in few)])
    out = table.with_suffix(".svg")
    ablations_figure(studies, table, None, [out], "A small world.")
    root = ElementTree.parse(out).getroot()
    assert str(root.findtext(f"{SVG}title")).startswith("A small world. Ablations")
    alt = str(root.findtext(f"{SVG}desc"))
    assert "in the paper" not in alt and "Blocks of the vision tower" not in alt and "in both stages 63.0 ± 1.5" in alt


def test_a_table_without_rows_is_refused(table: Path, studies: dict[str, Ablation]) -> None:
    write_csv(table, [FIELDS])
    with pytest.raises(UserError, match=r"ablations.csv: no rows in it; nothing to draw"):
        ablations_figure(studies, table, None, [table.with_suffix(".svg")])
