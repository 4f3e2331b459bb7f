"""A run takes published models: as rows of the table, as what a fine-tuning starts from, as captioner, as projector."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import BIN, ENVIRONMENT, PROJECT, copy_of, planned_jobs, run
from sharegpt4v import layout, lineage
from sharegpt4v.config import load
from sharegpt4v.config.base_models import PublishedModel
from sharegpt4v.errors import UserError


def preset(folder: Path, *lines: str) -> Path:
    """A config that builds on the smoke preset."""
    path = folder / "published.yaml"
    path.write_text("\n".join([f"base: {PROJECT / 'config/smoke.yaml'}", "name: published", *lines]) + "\n")
    return path


def snakemake(folder: Path, config: Path, *arguments: str) -> str:
    command = [str(BIN / "snakemake"), *arguments, "--directory", str(folder), "--configfile", str(config)]
    ended = run(command, PROJECT, ENVIRONMENT)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout + ended.stderr


def scores(folder: Path, name: str) -> dict[str, str]:
    with open(folder / "results/table.csv", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["model"] == name]
    return {column: value for column, value in row.items() if column != "model"}


def test_a_published_model_has_the_scores_of_the_same_made_here(smoke: Path, tmp_path: Path) -> None:
    """Nothing is trained for it, and a fine-tuning that starts from a published model makes the same weights."""
    folder = copy_of(smoke, tmp_path / "run")
    config = preset(
        tmp_path,
        "models:",
        f"  - {{name: taken, published: {{id: {smoke}/checkpoints/llava-7b/finetuned}}}}",
        f"  - {{name: based, base: {{id: {smoke}/checkpoints/aligned/7b}}, mix: llava-158k}}",
        "substitution: []",
    )
    jobs = planned_jobs(snakemake(folder, config, "--dry-run", "--quiet", "rules"))
    assert (jobs["published_model"], jobs["finetuning"], jobs["answers"]) == (2, 1, 2)
    assert not {"alignment", "captioner", "captions", "pretraining"} & jobs.keys()
    snakemake(folder, config)
    assert scores(folder, "taken") == scores(smoke, "llava-7b") == scores(folder, "based")
    made, based = (load_file(root / "model.safetensors") for root in (
        smoke / "checkpoints/llava-7b/finetuned", folder / "checkpoints/based/finetuned"
    ))  # fmt: skip
    assert made.keys() == based.keys() and all(torch.equal(made[name], based[name]) for name in made)
    (name,) = (path for path in (folder / "checkpoints/published").iterdir() if path.name.endswith("finetuned"))
    about = json.loads((name / "provenance.json").read_text())
    assert "model.safetensors" in about["checkpoints"][about["id"]]["files"]


def test_captioner_and_pretrained_model_may_be_published(smoke: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    config = preset(tmp_path, f"captioner: {{published: {{id: {smoke}/checkpoints/captioner}}}}")
    jobs = planned_jobs(snakemake(folder, config, "--dry-run", "--quiet", "rules"))
    assert jobs["published_model"] == 1 and "captioner" not in jobs and jobs["captions"] == 3
    llm = f"base_models: {{llm: {{7b: {{pretrained: {{id: {smoke}/checkpoints/pretrained/7b}}}}}}}}"
    jobs = planned_jobs(snakemake(folder, preset(tmp_path, llm), "--dry-run", "--quiet", "rules"))
    assert jobs["published_model"] == 1 and jobs["finetuning"] == 1
    assert not {"captioner", "captions", "pretraining"} & jobs.keys()


def test_a_published_projector_stands_for_the_alignment(smoke: Path, tmp_path: Path) -> None:
    from sharegpt4v.models.projector_file import join

    checkpoints = smoke / "checkpoints"
    aligned = load_file(checkpoints / "aligned/7b/model.safetensors")
    names = {"linear_1": "0", "linear_2": "2"}
    projector = {
        f"model.mm_projector.{names[layer]}.{part}": aligned[f"multi_modal_projector.{layer}.{part}"]
        for layer in names
        for part in ("weight", "bias")
    }
    (tmp_path / "projector").mkdir()
    torch.save(projector, tmp_path / "projector/mm_projector.bin")
    config = preset(tmp_path, f"base_models: {{llm: {{7b: {{projector: {{id: {tmp_path}/projector}}}}}}}}")
    jobs = planned_jobs(snakemake(copy_of(smoke, tmp_path / "run"), config, "--dry-run", "--quiet", "rules"))
    assert jobs["alignment"] == 1 and not {"language_model", "vision_tower"} & jobs.keys()
    taken = load(config).base_models.llm["7b"].projector
    assert taken is not None
    tower, llm = checkpoints / "base/vision-tower", checkpoints / "base/llm-7b"
    join(tower, llm, taken, tmp_path / "joined", "mlp2x_gelu", "float32")
    joined = load_file(tmp_path / "joined/model.safetensors")
    assert joined.keys() == aligned.keys() and all(torch.equal(joined[name], aligned[name]) for name in joined)


def test_a_checkpoint_of_another_family_than_the_config_says_is_refused(smoke: Path, tmp_path: Path) -> None:
    from sharegpt4v.models.importing import import_checkpoint

    with pytest.raises(UserError, match="a checkpoint of the family llava; the config says qwen_vl"):
        taken = PublishedModel(id=str(smoke / "checkpoints/llava-7b/finetuned"), family="qwen_vl")
        import_checkpoint(taken, tmp_path / "out", taken.family)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("published: {id: /x}, mix: llava-158k", "mix is set for a published model; expected none"),
        ("published: {id: /x}, base: {id: /x}", "base is set for a published model; expected none"),
        ("base: {id: /x}", "mix is missing; expected a name in corpora.instruction_mixes"),
        ("base: {id: /x}, mix: llava-158k, pretraining: captions", "pretraining is set beside base; expected none"),
        ("mix: llava-158k", "size is missing; expected a name in base_models.llm"),
        (
            "published: {id: /x, family: lava}",
            "family is 'lava', which is not in models/families",
        ),
    ],
)
def test_what_contradicts_itself_is_one_line(row: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(preset(tmp_path, f"models: [{{name: a, {row}}}]", "substitution: []"))
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_each_preset_takes_what_it_needs() -> None:
    released = load(PROJECT / "config/released.yaml")
    assert not lineage.trainings(released) and not lineage.corpora(released) and not lineage.sizes(released)
    paper = load(PROJECT / "config/paper-7b.yaml")
    assert lineage.sizes(paper) == ["7b"] and "aligned 7b" not in lineage.trainings(paper)
    assert lineage.captioner(paper) == layout.CAPTIONER and not lineage.published_models(paper)
    qwen = load(PROJECT / "config/substitution-qwen.yaml")
    assert lineage.families(qwen) == ["llava", "qwen_vl"] and not lineage.sizes(qwen)
    assert lineage.start_of(qwen, qwen.models[0]) == Path("checkpoints/published/Qwen--Qwen-VL-Chat@88d6dd3")
