"""Ablations: which models, pre-trainings and corpora they come to, what is refused, and a small one for real."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ablation_preset import small_study
from conftest import BIN, PROJECT, copy_of, planned_jobs, run
from presets import (
    Preset,
    complaints,
    preset,  # noqa: F401  (fixtures)
)
from sharegpt4v import ablations, layout, lineage
from sharegpt4v.config import load
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.ablation_table import read_ablations
from sharegpt4v.files import read_json, read_jsonl
from sharegpt4v.miniature import NOTICE
from sharegpt4v.pipeline.rerun import stage_params
from sharegpt4v.plan.ablations import ablation_cost, ablation_lines
from sharegpt4v.plan.estimate import Estimate

ANOTHER = "ablations/7b-captioner-by-seed-captions-0.5+llava-665k+all"
HALF = "ablations/7b-captioner-share-0.5-tune-vit-from-layer-0+llava-665k+all-captioner"


def snakemake(folder: Path, config: Path, *arguments: str) -> list[str]:
    """The command line of `snakemake ablations` in a folder."""
    where = ["--directory", str(folder), "--configfile", str(config)]
    return [str(BIN / "snakemake"), "ablations", *arguments, *where]


def planned(folder: Path, config: Path) -> dict[str, int]:
    """How many jobs of each rule `snakemake ablations` would carry out."""
    ended = run(snakemake(folder, config, "--dry-run", "--quiet", "rules"))
    assert ended.returncode == 0, ended.stderr
    return planned_jobs(ended.stdout + ended.stderr)


def test_what_variants_share_is_made_once() -> None:
    config = load(PROJECT / "config/ablations.yaml")
    models = {
        (name, variant.name): model
        for name, study in config.ablations.studies.items()
        for variant, model in ablations.variants_of(config, study)
    }
    assert {model.name for model in models.values() if model in config.models} == {"sharegpt4v-7b", "sharegpt4v-13b"}
    of_the_run = [("stages", "in both stages"), ("blocks", "the upper half"), ("number", "all"), ("size", "7b")]
    assert {models[key].name for key in of_the_run} == {"sharegpt4v-7b"}
    assert models["stages", "in fine-tuning"] == models["number", "none"]
    assert models["captions", "none"] == models["authors", "none"]
    assert len(ablations.models(config)) == 24 and len(ablations.pretrainings(config)) == 18
    starts = {lineage.start_of(config, model) for model in models.values() if model.pretraining == "captions"}
    assert len(starts) == 18 + 2  # with those of the table's rows
    assert len(ablations.caption_sets(config)) == 2 + 4 + 2 + 6  # those of the blocks learn from the whole corpus
    corpora = {one.corpus for one in ablations.pretrainings(config).values()}
    assert layout.PRETRAINING_CORPUS in corpora and len(corpora) == 1 + 14


def test_a_model_of_an_ablation_differs_in_what_its_variant_says() -> None:
    config = load(PROJECT / "config/ablations.yaml")
    model = lineage.model_named(config, "ablations/7b+llava-665k+all-captioner")
    assert lineage.start_of(config, model) == layout.pretrained("7b")
    assert lineage.rows_of(config, model) == layout.rewritten(layout.FINETUNING_MIX)
    assert lineage.benchmarks_of(config, model.name) == ["mme", "mmbench", "seed"]
    frozen = ablations.pretraining_named(config, "7b_tune_vit_from_layer-null")
    assert frozen.recipe == config.pretraining.model_copy(update={"tune_vit_from_layer": None})
    settings = stage_params(config, "pretraining")["settings"]
    assert settings({"pretrained": frozen.name})["pretraining"]["tune_vit_from_layer"] is None
    assert settings({"pretrained": "7b"})["pretraining"]["tune_vit_from_layer"] == 2
    with pytest.raises(UserError, match="model 'ablations/other' is not in the config"):
        lineage.model_named(config, "ablations/other")
    with pytest.raises(UserError, match="pre-training '7b_other'; expected one of 7b, 13b, 7b_short_llava"):
        ablations.pretraining_named(config, "7b_other")


def test_ablations_are_no_part_of_a_run() -> None:
    with_them, without = (load(PROJECT / f"config/{name}.yaml") for name in ("ablations", "config"))
    for part in (lineage.trainings, lineage.corpora, lineage.checkpoints, lineage.data_sets):
        assert part(with_them) == part(without)


@pytest.mark.parametrize(
    ("study", "complaint"),
    [
        (
            "model: sharegpt4v-9b, variants: [{name: a}]",
            "model is 'sharegpt4v-9b', which is not in models; did you mean",
        ),
        ("model: llava-7b, variants: [{name: a}]", "model is 'llava-7b'; expected a model that is pre-trained and"),
        ("model: sharegpt4v-7b, variants: [{name: a}, {name: a}]", "variants[1].name is 'a' for the second time"),
        (
            "model: sharegpt4v-7b, variants: [{name: a, size: 9b}]",
            "variants[0].size is '9b', which is not in base_models",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, pretraining: none, captions: {share: 0.5}}]",
            "variants[0].captions is set beside pretraining: none; expected it at a variant that is pre-trained",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, recipe: {tune_vit_from_layr: 1}}]",
            "variants[0].recipe.tune_vit_from_layr is no key of pretraining; did you mean 'tune_vit_from_layer'?",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, recipe: {tune_vit_from_layer: 24}}]",
            "variants[0].recipe.tune_vit_from_layer is 24; expected at most 4, the layers of base_models.vision_tower",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, recipe: {epochs: many}}]",
            "variants[0].recipe.epochs is 'many'; expected what pretraining.epochs takes",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, captions: {sources: [wikiart2]}}]",
            "variants[0].captions.sources[0] is 'wikiart2', which is not in captions.sources",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, captions: {share: 1.5}}]",
            "variants[0].captions.share is 1.5; expected a number above 0, at most 1",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, captions: {author: teacher, captioner: {seed_captions: 0.1}}}]",
            "variants[0].captions.captioner is set beside author: teacher; expected it where the captioner's captions",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, captions: {captioner: {recipe: {epoch: 1}}}}]",
            "variants[0].captions.captioner.recipe.epoch is no key of captioner.recipe; did you mean 'epochs'?",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, captions: {captioner: {size: 70b}}}]",
            "variants[0].captions.captioner.size is '70b', which is not in base_models.llm",
        ),
        (
            "model: sharegpt4v-7b, variants: [{name: a, substitution: none, finetuning_captions: captioner}]",
            "variants[0].finetuning_captions is captioner; expected substitution coco or all beside it",
        ),
    ],
)
def test_a_study_that_cannot_be_made_is_refused_in_one_line(preset: Preset, study: str, complaint: str) -> None:
    (line,) = complaints(preset(f"ablations: {{studies: {{mine: {{title: Mine, {study}}}}}}}"))
    assert line.startswith(f"config/my.yaml:2: ablations.studies.mine.{complaint}")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (
            "benchmarks: [mme, pope]",
            "benchmarks[1] is 'pope'; expected a benchmark in benchmarks.names that is scored here",
        ),
        (
            "benchmarks: [mm-vet]",
            "benchmarks[0] is 'mm-vet', which a judge grades; expected one that is scored without",
        ),
        ("columns: [MME-perceptions]", "columns[0] is 'MME-perceptions'; did you mean 'MME-perception'?"),
    ],
)
def test_columns_that_cannot_be_filled_are_refused(preset: Preset, keys: str, complaint: str) -> None:
    study = "mine: {title: Mine, model: sharegpt4v-7b, variants: [{name: a}]}"
    lines = complaints(preset(f"ablations: {{{keys}, studies: {{{study}}}}}"))
    assert lines[0] == f"config/my.yaml:2: ablations.{complaint}"


def test_captions_that_nothing_brings_are_refused(preset: Preset) -> None:
    study = "mine: {title: Mine, model: sharegpt4v-7b, variants: [{name: a, captions: {author: short}}]}"
    own = preset("sources: {use: [coco, llava, sam]}", f"ablations: {{studies: {{{study}}}}}")
    told = [line for line in complaints(own) if ": ablations." in line]
    assert told == [
        "config/my.yaml:3: ablations.studies.mine.variants[0].captions needs captions of 'short'; "
        f"expected {source} in sources.use"
        for source in ("coco-captions", "llava-captions")
    ]


def test_the_plan_counts_their_gpu_hours() -> None:
    estimate = Estimate(load(PROJECT / "config/ablations-7b.yaml"), "A100-80G")
    cost, costs = ablation_cost(estimate), estimate.costs()
    assert (cost.captioners, cost.pretrainings, cost.models) == (2, 18, 22)
    one, tuned = costs["pretraining"].gpu_hours or 0, costs["finetuning"].gpu_hours or 0
    blocks, shares, captioners = 4 * one, 2.5 * one, 2 * one  # of the blocks more or fewer are trained
    known = blocks + shares + captioners
    assert known < cost.pretraining_hours < known + 2 * one
    assert cost.finetuning_hours == pytest.approx(22 / 3 * tuned, rel=1e-3)
    training, describing = costs["captioner"].gpu_hours or 0, costs["captions"].gpu_hours or 0
    assert cost.captioning_hours == pytest.approx((0.1 + 0.3333) * training + 2 * describing, rel=1e-3)
    (line,) = ablation_lines(estimate)
    assert line.startswith(
        "ablations, which `snakemake ablations` makes beside the run: 2 captioners with their captions ("
    )
    assert ablation_lines(Estimate(load(PROJECT / "config/paper-7b.yaml"), "A100-80G")) == []


def test_the_presets_plan_what_no_run_has_made(tmp_path: Path) -> None:
    jobs = planned(tmp_path, PROJECT / "config/ablations-7b.yaml")
    made = {"ablation_corpus": 14, "ablation_mix": 1, "ablation_answers": 22, "ablation_scores": 22, "ablations": 1}
    made |= {"ablation_captioner": 2, "ablation_captions": 2 * 125}
    shared = {
        "pretraining": 18 + 1,
        "finetuning": 22 + 3,
        "answers": 3,
        "alignment": 1,
        "captioner": 1,
        "captions": 125,
    }
    assert made.items() | shared.items() <= jobs.items()


@pytest.fixture(scope="module")
def ablated(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run of the smoke preset in which a small study was then made, and its config."""
    folder = tmp_path_factory.mktemp("ablated")
    config = small_study(folder)
    run_folder = copy_of(smoke, folder / "run")
    expected = dict.fromkeys(("ablation_captioner", "ablation_mix", "ablations"), 1) | {"ablation_captions": 3}
    expected |= dict.fromkeys(
        ("ablation_corpus", "pretraining", "finetuning", "ablation_answers", "ablation_scores"), 2
    )
    assert planned(run_folder, config) == expected
    ended = run(snakemake(run_folder, config))
    assert ended.returncode == 0, ended.stderr[-4000:]
    return run_folder, config


def test_a_small_study_for_real(ablated: tuple[Path, Path]) -> None:
    folder, _ = ablated
    with open(folder / layout.ABLATION_TABLE, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["model"]) for row in rows if row["column"] == "MMBench"] == [
        ("whole", "sharegpt4v-7b"), ("half", HALF), ("by another captioner", ANOTHER),
        ("half", HALF), ("whole", "sharegpt4v-7b"),
    ]  # fmt: skip
    corpus = read_json(folder / layout.PRETRAINING_CORPUS)
    captions = {row["variant"]: int(row["captions"]) for row in rows}
    described = _captions_of_another(folder)
    assert captions == {
        "whole": len(corpus), "half": round(len(corpus) / 2), "by another captioner": len(described),
    }  # fmt: skip
    assert read_json(folder / layout.ablation_corpus("captioner_share-0.5")) == corpus[: captions["half"]]
    scores = {path.name for path in (folder / layout.SCORES / HALF).iterdir()}
    assert scores == {"mme.json", "mmbench.json", "seed.json"}
    with open(folder / layout.ABLATION_MEMORY, newline="") as file:
        memory = [float(row["peak_memory_gb"]) for row in csv.DictReader(file)]
    assert len(memory) == 3 and all(0.05 < one < 3 for one in memory)
    assert f"<title>{NOTICE} Ablations" in (folder / layout.figure("ablations")).read_text()
    assert (folder / layout.figure("ablations", "png")).stat().st_size > 10_000
    about = read_json(folder / layout.finetuned(HALF) / "provenance.json")
    assert str(layout.pretrained("7b_captioner_share-0.5_tune_vit_from_layer-0")) in about["inputs"]


def _captions_of_another(folder: Path) -> dict[str, str]:
    """The captions by the captioner that learned from half of the seed captions; the variant was trained on them."""
    name = "seed-captions-0.5"
    about = read_json(folder / layout.ablation_captioner(name) / "provenance.json")
    run_of = read_json(folder / layout.CAPTIONER / "provenance.json")
    assert about["rows"]["read"] == round(run_of["rows"]["read"] / 2)
    shards = sorted((folder / layout.ABLATION_SHARDS / name).glob("*.jsonl"))
    rows = [row for shard in shards for row in read_jsonl(shard) if row["status"] == "accepted"]
    learned = read_json(folder / layout.ablation_corpus(f"captioner_by-{name}"))
    found = {row["image"]: row["conversations"][-1]["value"] for row in learned}
    assert len(shards) == 3 and found == {row["image"]: row["caption"] for row in rows}
    own = {row["image"]: row["conversations"][-1]["value"] for row in read_json(folder / layout.PRETRAINING_CORPUS)}
    assert any(found[image] != own[image] for image in found.keys() & own.keys())
    return found


def test_a_changed_variant_reruns_its_own_models(ablated: tuple[Path, Path], tmp_path: Path) -> None:
    folder, config = ablated
    assert planned(folder, config) == {}
    changed = small_study(tmp_path, more=", warmup_ratio: 0.1")
    assert planned(folder, changed) == dict.fromkeys(
        ("pretraining", "finetuning", "ablation_answers", "ablation_scores", "ablations"), 1
    )


def test_the_papers_names_of_the_presets_are_known() -> None:
    known = {key[:2] for key in read_ablations(PROJECT / "config/paper/ablations.csv")}
    for name in ("ablations", "ablations-7b"):
        studies = load(PROJECT / f"config/{name}.yaml").ablations.studies.values()
        named = {(study.paper, variant.paper) for study in studies for variant in study.variants if variant.paper}
        assert named == known
