"""The presets at the paper's size: what they plan, in an empty folder and without a key, and what they leave to do."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import BIN, PROJECT, run
from sharegpt4v.catalogues.sources import read_catalogue
from sharegpt4v.config import load
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.layout import sources

CONFIG = PROJECT / "config"
ONCE = {"vision_tower", "mixture", "datasets", "metrics", "table", "cards", "report", "tracking", "cells", "all"}
OFFICIAL = 24  # rows of benchmark_files.tsv for the paper's benchmarks
PAPER = {
    "source": 15 + OFFICIAL, "seed_captions": 1, "captioner": 1, "captions": 125, "pretraining_corpus": 1,
    "instruction_mix": 2, "pretraining": 1, "finetuning": 3, "answers": 3, "judgements": 3, "scores": 3,
    "submissions": 3, "substitution": 1, "figures": 5, **dict.fromkeys(ONCE, 1),
}  # fmt: skip
WHOLE = ("paper-7b", "paper-13b", "released-captions")  # presets of the whole paper
PLANNED = {
    "paper-7b": PAPER | {"language_model": 1, "alignment": 1},
    "paper-13b": PAPER | {"language_model": 2, "alignment": 2},  # the captioner is a 7B
    "released-captions": dict.fromkeys(ONCE, 1)
    | {
        "source": 17 + OFFICIAL,
        "language_model": 1,
        "alignment": 1,
        "pretraining": 1,
        "finetuning": 1,
        "answers": 1,
        "judgements": 1,
    }
    | {"scores": 1, "submissions": 1, "figures": 4},
    "ablations-7b": PAPER | {"language_model": 1, "alignment": 1},  # a run; ablations are no part of it
    "substitution-llava": dict.fromkeys(ONCE - {"datasets"}, 1)
    | {"source": 6 + OFFICIAL, "language_model": 1, "alignment": 1, "instruction_mix": 1, "finetuning": 2, "answers": 2}
    | {"judgements": 2, "scores": 2, "submissions": 2, "substitution": 1, "figures": 2},
    "released": {
        "source": OFFICIAL, "published_model": 2, "answers": 2, "judgements": 2, "scores": 2, "submissions": 2,
        **dict.fromkeys(("metrics", "table", "cards", "report", "tracking", "cells", "all"), 1),
    },
}  # fmt: skip


@pytest.mark.parametrize("preset", PLANNED)
def test_a_dry_run_plans_shards_and_never_images(preset: str, tmp_path: Path) -> None:
    command = [str(BIN / "snakemake"), "--dry-run", "--quiet", "rules", "--directory", str(tmp_path)]
    ended = run([*command, "--configfile", f"config/{preset}.yaml"])
    assert ended.returncode == 0, ended.stderr
    table = ended.stdout.partition("Job stats:")[2].partition("\ntotal")[0]
    assert {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)} == PLANNED[preset]
    assert {path.name for path in tmp_path.iterdir()} <= {".snakemake"}


def test_what_is_taken_cannot_be_made(tmp_path: Path) -> None:
    corpus = "data/sharegpt4v/share-captioner_coco_lcs_sam_1246k_1107.json"
    command = [str(BIN / "snakemake"), "--dry-run", "--directory", str(tmp_path), corpus]
    ended = run([*command, "--configfile", "config/released-captions.yaml"])
    assert ended.returncode == 1 and "No rule to produce" in ended.stdout + ended.stderr


def test_a_real_run_without_the_key_stops_before_anything_starts(tmp_path: Path) -> None:
    ended = run(["snakemake", "--directory", str(tmp_path), "--configfile", "config/released-captions.yaml"])
    assert ended.returncode == 1
    told = [line for line in ended.stderr.splitlines() if "profile" not in line]
    assert len(told) == 1 and "judge.api_key_variable says" in told[0]  # nobody asks the teacher
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("preset", WHOLE)
def test_recipes_are_the_papers(preset: str) -> None:
    config = load(CONFIG / f"{preset}.yaml")
    for recipe, batch, template, ratio, layer in (
        (config.pretraining, 256, "plain", "square", 12),
        (config.finetuning, 128, "v1", "pad", None),
    ):
        assert recipe.loss_parts == 16 and recipe.group_by_modality_length == (recipe == config.finetuning)
        assert (recipe.learning_rate, recipe.vision_learning_rate, recipe.projector_learning_rate) == (2e-5, None, None)
        assert (recipe.batch_size, recipe.epochs, recipe.warmup_ratio, recipe.weight_decay) == (batch, 1, 0.03, 0)
        assert (recipe.template, recipe.image_aspect_ratio, recipe.tune_vit_from_layer) == (template, ratio, layer)
        assert recipe.train_projector and recipe.train_llm and recipe.gradient_clip is None
        assert (recipe.precision, recipe.sequence_length) == ("bfloat16", 2048)
    alignment = config.alignment  # LLaVA-1.5's
    assert (alignment.learning_rate, alignment.batch_size, alignment.epochs) == (1e-3, 256, 1)
    assert not alignment.train_llm and alignment.tune_vit_from_layer is None


def test_llava_7b_is_that_of_its_own_code() -> None:
    config = load(CONFIG / "substitution-llava.yaml")
    tower, alignment, finetuning = config.base_models.vision_tower, config.alignment, config.finetuning
    assert config.base_models.projector_type == "linear" and (tower.image_size, tower.layers) == (224, 24)
    assert (alignment.learning_rate, alignment.batch_size, alignment.epochs) == (2e-3, 128, 1)
    assert (alignment.template, alignment.image_aspect_ratio, alignment.train_llm) == ("plain", "square", False)
    assert (finetuning.learning_rate, finetuning.batch_size, finetuning.epochs) == (2e-5, 128, 3)
    assert (finetuning.template, finetuning.image_aspect_ratio, finetuning.train_llm) == ("v1", "square", True)
    for recipe in (alignment, finetuning):
        assert (recipe.warmup_ratio, recipe.weight_decay, recipe.sequence_length) == (0.03, 0, 2048)
        assert recipe.tune_vit_from_layer is None and recipe.train_projector and not recipe.group_by_modality_length
    names = {row["model"] for row in csv.DictReader((CONFIG / "paper/substitution.csv").open())}
    assert {pair.paper for pair in config.substitution} < names


@pytest.mark.parametrize("preset", WHOLE)
def test_sources_are_the_papers(preset: str) -> None:
    config = load(CONFIG / f"{preset}.yaml")
    assert sum(config.teacher.captions.values()) == 102_025
    rows = sources(config)
    assert sum(rows[name].images or 0 for name in config.captions.sources) == 1_246_901
    assert {row.folder for row in rows.values() if row.images != 0} == {
        "llava/llava_pretrain/images", "coco/train2017", "sam/images", "gqa/images", "ocr_vqa/images",
        "textvqa/train_images", "vg", "share_textvqa/images", "web-celebrity/images", "web-landmark/images",
        "wikiart/images",
    }  # fmt: skip
    columns = {column for name in config.benchmarks.names for column in columns_of(name)}
    assert columns == set(COLUMNS)


def columns_of(benchmark: str) -> tuple[str, ...]:
    from sharegpt4v.catalogues.benchmarks import benchmark_named

    return benchmark_named(benchmark).columns


def test_sizes_that_were_only_published_rounded_are_not_checked() -> None:
    rows = read_catalogue(CONFIG / "sources.tsv")
    (llava,), (coco,) = rows["llava"].downloads, rows["coco"].downloads
    assert (llava.bytes, llava.about_bytes) == (None, 27_300_000_000)
    assert coco.bytes == 19_336_861_798 and coco.about_bytes is None


def test_images_that_a_person_places_are_taken_in(tmp_path: Path) -> None:
    from PIL import Image

    source = replace(read_catalogue(CONFIG / "sources.tsv")["sam"], kind="placed")
    with pytest.raises(UserError, match=r"sam: no images in .*accept Meta's terms .*ai.meta.com.* and put them there"):
        fetch_source(source, tmp_path / "data", tmp_path / "work", Sources(workers=1))
    (tmp_path / "data/sam/images").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "data/sam/images/sa_1.jpg")
    with pytest.raises(UserError, match="of 570,486 files 0 are broken and 570,485 missing"):
        fetch_source(source, tmp_path / "data", tmp_path / "work", Sources(workers=1))
    one = replace(source, images=1)
    manifest = fetch_source(one, tmp_path / "data", tmp_path / "work", Sources(workers=1))
    assert [row["path"] for row in read_manifest(manifest)] == ["sam/images/sa_1.jpg"]
    assert (tmp_path / "data/sam/images/sa_1.jpg").is_file()
