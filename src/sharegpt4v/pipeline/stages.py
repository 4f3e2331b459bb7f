"""The table of stages: what each depends on beside its inputs, its part of the config and its code.

A stage is rerun when its inputs, its part of the config or its code change. The latter two are the `params` of its
rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.catalogues.benchmarks import benchmark_named, read_catalogue
from sharegpt4v.catalogues.sources import KINDS as SOURCE_KINDS
from sharegpt4v.code_hash import code_of
from sharegpt4v.config import Config
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.ledger import key_of, key_of_files
from sharegpt4v.pipeline.targets import evaluation_manifest

# How a stage goes about its work; none of it changes what comes out.
MANNER = {"checkpoint_minutes", "concurrency", "requests_per_minute", "tokens_per_minute", "timeout_seconds"}
MANNER |= {"longest_wait_seconds", "mode", "attempts", "budget", "api_key_variable", "img2dataset", "workers"}
MANNER |= {"largest_failed_fraction"}  # of the judge's section; scores depend on it by its own name

# Modules that are imported by name.
BENCHMARKS = tuple(f"evaluation.benchmarks.{benchmark.module}" for benchmark in read_catalogue().values())

KINDS = tuple(f"images.kinds.{kind.replace('-', '_')}" for kind in SOURCE_KINDS)

ENGINE = ("generation.local", "models.families.llava")
FAMILY = ("models.families.llava",)

JUDGED = tuple(
    f"evaluation.benchmarks.{entry.module}" for entry in read_catalogue().values() if entry.scoring == "judge"
)

# Stages that read the benchmarks' official files, which may lie in a folder of the user's own.
EVALUATION = ("answer", "judge", "score", "submission")

OFFICIAL_FILES = (".json", ".jsonl", ".tsv", ".py", ".txt")


@dataclass(frozen=True)
class Stage:
    """What a stage depends on: keys of the config, which may hold wildcards; text files or folders of them, named by a
    key of the config or by a path, whose content counts; modules that its verb runs but that no import names."""

    config: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


STAGES = {
    "mini-world": Stage(("seed", "mini"), texts=("sources.catalogue",)),
    "fetch": Stage(
        (
            "sources.missing",
            "sources.largest_bad_fraction",
            "sources.smallest_success_rate",
            "sources.largest_image_megapixels",
        ),
        code=KINDS,
    ),
    "seed": Stage(("seed", "teacher"), texts=("teacher.prompts",)),
    "base-tokenizer": Stage(("seed", "base_models.tokenizer")),
    "base-tower": Stage(("seed", "base_models.vision_tower")),
    "base-llm": Stage(("seed", "base_models.llm.{size}", "base_models.llm_training")),
    "align": Stage(("seed", "alignment"), code=FAMILY),
    "train-captioner": Stage(("seed", "captioner.recipe"), texts=("captioner.instruction",), code=FAMILY),
    "caption-shard": Stage(
        ("captions.sources", "captions.max_new_tokens", "captions.quality"),
        texts=("captioner.instruction",),
        code=ENGINE,
    ),
    "corpus-pretraining": Stage(("seed",), texts=("teacher.prompts",)),
    "corpus-substitution": Stage(
        ("seed", "corpora"),
        texts=("config/prompts/detail_questions.txt",),
    ),
    "pretrain": Stage(("seed", "pretraining"), code=FAMILY),
    "finetune": Stage(("seed", "finetuning"), code=FAMILY),
    "answer": Stage(code=(*BENCHMARKS, *ENGINE)),
    "judge": Stage(("judge", "benchmarks.largest_incomplete_fraction"), code=JUDGED),
    "score": Stage(
        ("benchmarks.largest_incomplete_fraction", "benchmarks.raw_answers", "judge.largest_failed_fraction"),
        code=BENCHMARKS,
    ),
    "submission": Stage(code=BENCHMARKS),
    "table": Stage(("models",), texts=("config/paper/results.csv",)),
    "cells": Stage(("models",)),
    "substitution": Stage(("substitution",)),
    "mixture": Stage(),
    "datasets": Stage(texts=("config/paper/datasets.csv",)),
    "figures": Stage(),
    "metrics": Stage(("models",)),
    "track": Stage(("tracking",)),
}


def stage_params(config: Config, name: str) -> dict[str, Any]:
    """Return the `params` of a stage's rule: its settings, a function of the wildcards, and the hash of its code."""
    return {"settings": _settings(config, name), "code": code_of_stage(name)}


def code_of_stage(name: str) -> str:
    """Return the hash of the code that a stage runs."""
    return code_of(verb_of(name), *STAGES[name].code)


def verb_of(name: str) -> str:
    """Return the module of the verb that carries out a stage."""
    verb = name.partition("-")[0] if name.startswith(("base-", "corpus-")) else name
    return f"verbs.{verb.replace('-', '_')}"


def _settings(config: Config, name: str) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    stage, whole = STAGES[name], config.model_dump(mode="json")
    texts = {name: _hash_of_texts(name if "/" in name else _at(whole, name.split("."), {})) for name in stage.texts}

    def settings(wildcards: Mapping[str, str]) -> dict[str, Any]:
        named = dict(wildcards.items())
        found = {key: _without_manner(_at(whole, key.split("."), named)) for key in stage.config}
        found |= texts
        if name == "fetch":
            found["source"] = _source(config, named["source"])
        if name in EVALUATION and not evaluation_manifest(config):
            found["official files"] = _official_files(config)
        return found

    return settings


def _at(tree: Any, keys: list[str], wildcards: Mapping[str, str]) -> Any:
    for key in keys:
        tree = tree[key.format(**wildcards)]
    return tree


def _without_manner(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_manner(value) for key, value in tree.items() if key not in MANNER}
    return tree


def _hash_of_texts(name: str) -> str:
    path = layout.of_project(Path(name))
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    try:
        texts = [(file.relative_to(path).as_posix(), file.read_text("utf-8")) for file in files if file.is_file()]
    except OSError as error:
        sys.exit(f"{error.filename}: cannot be read ({error.strerror}); the config names it")
    return key_of(texts)


def _source(config: Config, name: str) -> dict[str, Any]:
    """A source's row of the catalogue, and a key of what it holds now where its kind has one."""
    source = layout.sources(config)[name]
    row, holds = asdict(source), kind_of_source(source).state(source)
    return row | {"holds": holds} if holds else row


def _official_files(config: Config) -> str:
    """A hash of what benchmark files the user has put in place, images aside: a new one lets a column be filled."""
    folders = {config.benchmarks.root / benchmark_named(name).folder for name in config.benchmarks.names}
    files = (path for folder in folders for depth in ("*", "*/*") for path in folder.glob(depth))
    return key_of_files(path for path in files if path.suffix in OFFICIAL_FILES)
