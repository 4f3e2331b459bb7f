"""When a stage is rerun: its part of the config and the hash of its code, which are the `params` of its rule.

Its inputs are for Snakemake to compare.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sharegpt4v import ablations, layout, lineage
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.code_hash import code_of, names_in
from sharegpt4v.config import Config
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.ledger import key_of, key_of_files
from sharegpt4v.official_files import PLACED, official_files
from sharegpt4v.pipeline.stages import STAGES

# Settings of how a stage works; none of them changes what comes out.
RUNTIME_ONLY = {"checkpoint_minutes", "concurrency", "requests_per_minute", "tokens_per_minute", "timeout_seconds"}
RUNTIME_ONLY |= {"longest_wait_seconds", "mode", "attempts", "budget", "api_key_variable", "img2dataset", "workers"}
RUNTIME_ONLY |= {"largest_failed_fraction"}  # of the judge's section; scores depend on it by its own name

# Stages that read the benchmarks' official files, which may be in a folder of the user.
EVALUATION = ("answers", "judgements", "scores", "text_baseline", "submissions")

OFFICIAL_FILES = (".json", ".jsonl", ".tsv", ".py", ".txt")


def stage_params(config: Config, name: str) -> dict[str, Any]:
    """Return the `params` of a stage's rule: its settings, a function of the wildcards, and the hash of its code."""
    return {"settings": _settings(config, name), "code": code_of_stage(name, config)}


def code_of_stage(name: str, config: Config) -> str:
    """Return the hash of the code that a stage runs."""
    return code_of(*roots_of(name, config))


def roots_of(name: str, config: Config) -> list[str]:
    """Return the modules that the code of a stage starts from: its own, and those that are imported by name."""
    found = [f"stages.{name}"]
    for module in STAGES[name].code:
        folder, _, what = module.rpartition(".")
        named = {"*": names_in(folder), "{family}": lineage.families(config)}.get(what, [what])
        found += [f"{folder}.{one}" for one in named]
    return found


def _settings(config: Config, name: str) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    stage, whole = STAGES[name], config.model_dump(mode="json")
    texts = {
        name: _hash_of_texts(name if "/" in name else value_at(whole, name.split("."), {})) for name in stage.texts
    }

    def settings(wildcards: Mapping[str, str]) -> dict[str, Any]:
        named = dict(wildcards.items())
        found = {key: _without_runtime_only(value_at(whole, key.split("."), named)) for key in stage.config}
        found |= texts
        if name == "published_model":
            found["model"] = lineage.published_models(config)[named["published"]].model_dump(mode="json")
        if name == "pretraining":
            recipe = ablations.pretraining_named(config, named["pretrained"]).recipe
            found["pretraining"] = _without_runtime_only(recipe.model_dump(mode="json"))
        if name == "ablation_captioner":
            captioner = ablations.captioner_named(config, named["captioner"])
            found["captioner.recipe"] = _without_runtime_only(captioner.recipe.model_dump(mode="json"))
            found["seed captions"] = captioner.seed_captions
        if name == "ablation_corpus":
            found["captions"] = ablations.caption_sets(config)[named["captions"]].model_dump(mode="json")
        if name == "source":
            found["source"] = _source(config, named["source"])
        if name in EVALUATION and (unlisted := _unlisted_benchmarks(config)):
            found["official files"] = _official_files(config, unlisted)
        return found

    return settings


def value_at(tree: Any, keys: list[str], wildcards: Mapping[str, str]) -> Any:
    """Return what is at `keys`, which may hold wildcards, of a config; None below a section that is None."""
    for key in keys:
        tree = None if tree is None else tree[key.format(**wildcards)]
    return tree


def _without_runtime_only(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_runtime_only(value) for key, value in tree.items() if key not in RUNTIME_ONLY}
    return tree


def _hash_of_texts(name: str | None) -> str | None:
    if name is None:
        return None
    path = layout.of_project(Path(name))
    if not path.exists():
        sys.exit(f"{path}: no such file or folder; the config names it")
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    try:
        texts = [(file.relative_to(path).as_posix(), file.read_text("utf-8")) for file in files if file.is_file()]
    except UnicodeDecodeError as error:
        sys.exit(f"{path}: not UTF-8 ({error.reason}); the config names it")
    except OSError as error:
        sys.exit(f"{error.filename}: cannot be read ({error.strerror}); the config names it")
    return key_of(texts)


def _source(config: Config, name: str) -> dict[str, Any]:
    """A source's row of the catalogue, and a key of what it holds now where its kind has one."""
    source = (official_files(config) | layout.sources(config))[name]
    row, holds = asdict(source), kind_of_source(source).state(source)
    of_benchmarks = {key: row.pop(key) for key in ("benchmarks", "gives")}
    if source.kind == PLACED:
        row |= {key: value for key, value in of_benchmarks.items() if value}
    return row | {"holds": holds} if holds else row


def _unlisted_benchmarks(config: Config) -> list[str]:
    """The benchmarks whose official files no manifest lists."""
    if layout.is_provided(config, config.benchmarks.root):
        return []
    rows = official_files(config).values() if config.benchmarks.missing == "fetch" else ()
    listed = {name for row in rows for name in row.benchmarks}
    return [name for name in config.benchmarks.names if name not in listed]


def _official_files(config: Config, names: Iterable[str]) -> str:
    """A hash of what benchmark files the user has put in place, images aside: a new one lets a column be filled."""
    folders = {config.benchmarks.root / benchmark_named(name).folder for name in names}
    files = (path for folder in folders for depth in ("*", "*/*") for path in folder.glob(depth))
    return key_of_files(path for path in files if path.suffix in OFFICIAL_FILES)
