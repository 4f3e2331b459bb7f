"""The table of the ablations: the paper's numbers, every one of them, and the directions that they give."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from conftest import PROJECT
from sharegpt4v import ablations, layout
from sharegpt4v.config import Config, load
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.ablation_table import check_names, read_ablations, write_ablations
from sharegpt4v.files import write_json

PAPER = PROJECT / "config/paper/ablations.csv"
MODULES = {
    "mme": {"MME-perception": 1500.0, "MME-cognition": 300.0},
    "mmbench": {"MMBench": 65.0},
    "seed": {"SEED-image": 66.0},
}


def written(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch, notice: str = ""
) -> tuple[list[dict[str, str]], ...]:
    """Write the table of a run in which every model has the same scores; return its rows, and those of the memory."""
    monkeypatch.chdir(folder)
    for study in config.ablations.studies.values():
        for _, model in ablations.variants_of(config, study):
            for name, columns in MODULES.items():
                score = {"benchmark": name, "columns": columns, "stderr": dict.fromkeys(columns, 1.25)}
                write_json(layout.SCORES / model.name / f"{name}.json", score)
    write_ablations(config, PAPER, layout.ABLATION_TABLE, layout.ABLATION_MEMORY, notice)
    tables = []
    for path in (layout.ABLATION_TABLE, layout.ABLATION_MEMORY):
        with path.open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    return tuple(tables)


def test_every_number_of_the_paper_is_beside_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(PROJECT / "config/ablations-7b.yaml")
    rows, memory = written(config, tmp_path, monkeypatch)
    studies = config.ablations.studies
    settings = {
        (name, variant.name): (study.paper, variant.paper)
        for name, study in studies.items()
        for variant in study.variants
    }
    joined = {
        (*settings[row["ablation"], row["variant"]], row.get("column", "memory in GB")): row["paper"]
        for row in [*rows, *memory]
        if row["paper"]
    }
    with PAPER.open(newline="") as file:
        theirs = {(row["ablation"], row["setting"], row["quantity"]): row["value"] for row in csv.DictReader(file)}
    assert joined == theirs
    assert {row["score"] for row in rows if row["column"] == "MMBench"} == {"65.0"}
    assert len(rows) == 3 * sum(len(study.variants) for study in studies.values())
    page = layout.ABLATION_TABLE.with_suffix(".md").read_text()
    assert "| in both stages |  | 1500.0 ± 1.2 (1567.4) |" in page


def test_the_miniature_has_directions_and_no_number_of_the_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, memory = written(load(PROJECT / "config/ablations.yaml"), tmp_path, monkeypatch, "Small.")
    assert not any(row["paper"] for row in [*rows, *memory]) and len(memory) == 5
    of = {(row["ablation"], row["variant"], row["column"]): row["expected"] for row in rows}
    assert of["stages", "in both stages", "MMBench"] == "up" and of["stages", "in neither stage", "MMBench"] == ""
    assert set(of.values()) == {"up", ""}  # nothing in the paper is below its first row
    page = layout.ABLATION_TABLE.with_suffix(".md").read_text()
    assert page.startswith("Small.\n\n## Captions in which stage\n") and "(up)" in page and "1567" not in page


def test_a_name_that_the_paper_does_not_have_is_refused(tmp_path: Path) -> None:
    preset = tmp_path / "my.yaml"
    variant = "{name: both, paper: in both}"
    preset.write_text(
        f"base: {PROJECT}/config/smoke.yaml\nname: my\nablations: {{studies: {{mine: {{title: My own, paper: Table 4,"
        f" model: sharegpt4v-7b, variants: [{variant}]}}}}}}\n"
    )
    with pytest.raises(UserError, match=r"studies.mine: .*has no Table 4, 'in both'; expected one of captions in both"):
        check_names(load(preset), read_ablations(PAPER), PAPER)
