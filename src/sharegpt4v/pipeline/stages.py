"""The table of stages, in the order of the pipeline. Rule, command, log, plan row and MLflow run carry a stage's name.

A stage is rerun when its inputs, its part of the config, its text files or its code change (see `pipeline.rerun`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Stage:
    """One row: what a stage is, and what it depends on beside its inputs.

    `section` is the paper's. `item` is what one job is about, the wildcard of the rule and the argument of the command;
    empty where the stage is one job. `config` are keys, which may hold the item. `texts` are files or folders whose
    content counts, each named by a path or by a key of the config, which may be null. `code` are modules that are
    imported by name only, ``folder.*`` for all in a folder, ``folder.{family}`` for those of the config's families of
    models; the stage's own module is `stages.NAME`. `device` is what a job runs on: a training on as many GPUs as
    `compute` of the config says. `processes` work at a time in one job.
    """

    section: str
    item: str = ""
    config: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    device: Literal["cpu", "gpu", "training"] = "cpu"
    processes: int = 1


BENCHMARKS = ("evaluation.benchmarks.*",)
JUDGED = ("evaluation.benchmarks.llava_bench", "evaluation.benchmarks.mm_vet")
KINDS = ("images.kinds.*",)
LLM = ("published", "hidden_size", "layers", "heads", "mlp_size")
FAMILY = ("models.families.{family}",)
ENGINE = ("generation.local", *FAMILY)
REPORT = ("src/sharegpt4v/report/templates", "config/paper/results.csv")
IMAGES = ("sources.missing", "sources.largest_bad_fraction", "sources.smallest_success_rate")

STAGES = {
    "synthetic_world": Stage("-", config=("seed", "mini"), texts=("sources.catalogue",)),
    "source": Stage("3.2, 3.3", "source", config=(*IMAGES, "sources.largest_image_megapixels"), code=KINDS),
    "seed_captions": Stage("3.2", config=("seed", "teacher"), texts=("teacher.prompts", "teacher.quality.reviewed")),
    "tokenizer": Stage("4.1", config=("seed", "base_models.tokenizer")),
    "language_model": Stage(
        "4.1",
        "size",
        config=("seed", *(f"base_models.llm.{{size}}.{key}" for key in LLM), "base_models.llm_training"),
        device="gpu",
    ),
    "vision_tower": Stage("4.1", config=("seed", "base_models.vision_tower"), device="gpu"),
    "alignment": Stage(
        "4.1",
        "size",
        config=("seed", "alignment", "base_models.projector_type", "base_models.llm.{size}.projector"),
        code=FAMILY,
        device="training",
    ),
    "published_model": Stage("-", "published", code=FAMILY),
    "captioner": Stage(
        "3.3", config=("seed", "captioner.recipe"), texts=("captioner.instruction",), code=FAMILY, device="training"
    ),
    "captions": Stage(
        "3.3",
        "shard",
        config=("captions.sources", "captions.max_new_tokens", "captions.quality", "captions.endpoint.model"),
        texts=("captioner.instruction", "captions.quality.reviewed"),
        code=ENGINE,
        device="gpu",
    ),
    "pretraining_corpus": Stage("3.3", config=("seed",), texts=("teacher.prompts",)),
    "instruction_mix": Stage(
        "4.3, 5.4", "corpus", config=("seed", "corpora"), texts=("config/prompts/detail_questions.txt",)
    ),
    "ablation_captioner": Stage(
        "3.3",
        "captioner",
        config=("seed", "captioner.recipe"),
        texts=("captioner.instruction",),
        code=FAMILY,
        device="training",
    ),
    "ablation_corpus": Stage("5.4", "captions", config=("seed",), texts=("teacher.prompts",)),
    "ablation_mix": Stage("5.4", "rewritten"),
    "pretraining": Stage("4.2", "pretrained", config=("seed", "pretraining"), code=FAMILY, device="training"),
    "finetuning": Stage("4.3", "model", config=("seed", "finetuning"), code=FAMILY, device="training"),
    "answers": Stage("5.1", "model", code=(*BENCHMARKS, *ENGINE), device="gpu"),
    "judgements": Stage(
        "5.1", "model", config=("judge", "benchmarks.largest_incomplete_fraction"), code=JUDGED
    ),
    "scores": Stage(
        "5.1",
        "model",
        config=("benchmarks.largest_incomplete_fraction", "benchmarks.raw_answers", "judge.largest_failed_fraction"),
        code=BENCHMARKS,
    ),
    "text_baseline": Stage(
        "-",
        "size",
        config=("benchmarks.largest_incomplete_fraction",),
        code=("evaluation.benchmarks.mmstar_text", *ENGINE),
        device="gpu",
    ),
    "submissions": Stage("5.1", "model", code=BENCHMARKS),
    "table": Stage("5.2", config=("models", "mini", "substitution"), texts=("config/paper/results.csv",)),
    "cells": Stage("5.2", config=("models",)),
    "substitution": Stage("5.4", config=("substitution", "mini")),
    "ablations": Stage("5.4", config=("ablations", "mini"), texts=("config/paper/ablations.csv",)),
    "mixture": Stage("4.3"),
    "datasets": Stage("3.1", config=("mini",), texts=("config/paper/datasets.csv",), processes=2),
    "figures": Stage("5.4", "name", config=("mini",)),
    "cards": Stage("-", config=("models",), texts=("config/licences.tsv", "config/checkpoints.tsv")),
    "report": Stage("-", config=("name", "seed", "mini", "models", "substitution"), texts=REPORT),
    "metrics": Stage("-", config=("models",)),
    "tracking": Stage("-", config=("tracking",)),
}  # fmt: skip


def is_training(name: str) -> bool:
    """Whether a stage trains on as many GPUs as the config says; no name of a stage, no training."""
    return name in STAGES and STAGES[name].device == "training"
