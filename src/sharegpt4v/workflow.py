"""What the Snakefile asks the package: the config of this run, and what each stage depends on beside its inputs.

A stage is made again when its inputs, its part of the config or its code change. The latter two are the `params` of its
rule; here stands which part of the config that is.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.benchmarks.catalogue import benchmark_named, read_catalogue
from sharegpt4v.config import Config, load, missing_keys
from sharegpt4v.config.judge import Judge
from sharegpt4v.config.teacher import Teacher
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.job_record import FOLDER_VARIABLE
from sharegpt4v.ledger import key_of
from sharegpt4v.leftovers import end_leftovers, remove_leftovers
from sharegpt4v.lifetime import end_others_with_this
from sharegpt4v.slurm import end_leftover_jobs, keep_asking
from sharegpt4v.stage_code import code_of

_TOKENIZER = str(layout.TOKENIZER / "tokenizer.json")
RUN_CONFIG = layout.WORK / "config.json"

# How a stage goes about its work; none of it changes what comes out.
MANNER = {"checkpoint_minutes", "concurrency", "requests_per_minute", "tokens_per_minute", "timeout_seconds"}
MANNER |= {"longest_wait_seconds", "mode", "attempts", "budget", "api_key_variable", "img2dataset", "workers"}
MANNER |= {"largest_failed_fraction"}  # of the judge's section; scores depend on it by its own name

# Modules that are imported by name.
BENCHMARKS = tuple(f"benchmarks.{benchmark.module}" for benchmark in read_catalogue().values())
JUDGED = tuple(f"benchmarks.{entry.module}" for entry in read_catalogue().values() if entry.scoring == "judge")

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
        )
    ),
    "seed": Stage(("seed", "teacher"), texts=("teacher.prompts",)),
    "base-tokenizer": Stage(("seed", "base_models.tokenizer")),
    "base-tower": Stage(("seed", "base_models.vision_tower")),
    "base-llm": Stage(("seed", "base_models.llm.{size}", "base_models.llm_training")),
    "align": Stage(("seed", "alignment")),
    "train-captioner": Stage(("seed", "captioner.recipe"), texts=("captioner.instruction",)),
    "caption-shard": Stage(
        ("captions.sources", "captions.max_new_tokens", "captions.quality"), texts=("captioner.instruction",)
    ),
    "corpus-pretraining": Stage(("seed",), texts=("teacher.prompts",)),
    "corpus-substitution": Stage(
        ("seed", "corpora"),
        texts=("config/prompts/detail_questions.txt",),
    ),
    "pretrain": Stage(("seed", "pretraining")),
    "finetune": Stage(("seed", "finetuning")),
    "answer": Stage(code=BENCHMARKS),
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


def prepare_environment() -> None:
    """Let jobs find `s4v` where this Python is, leave a record, and run one thread each: they run side by side.

    Under Slurm, also let the run bear what happens there.
    """
    keep_asking()
    end_others_with_this()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ[FOLDER_VARIABLE] = str(layout.JOBS)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other on a busy machine are slow


def read_config(config_files: list[Path], overrides: Mapping[str, Any], dry_run: bool = False) -> Config:
    """Return the config of a run: the file given (default: the mini preset) with the command line's keys over it.

    Any mistake in it ends the program with one line per mistake; so does a missing key, unless nothing will be run.
    """
    try:
        if len(config_files) > 1:
            raise UserError("more than one --configfile; expected one, which may build on another by `base: FILE`")
        config = load(Path(os.path.relpath(config_files[0] if config_files else layout.DEFAULT_CONFIG)), overrides)
        layout.sources(config)
        if not dry_run and (missing := missing_keys(endpoints(config), os.environ)):
            raise UserError(*missing)
    except UserError as error:
        sys.exit(str(error))  # Snakemake would put a traceback around an exception
    return config


def begin(config: Config) -> None:
    """Take this folder for one run at a time, and write the resolved config for the verbs (only when it changed).

    The lock is the kernel's, so that a run that was killed leaves none behind. What else it left is ended and removed:
    jobs in Slurm, processes, temporary files.
    """
    layout.WORK.mkdir(exist_ok=True)
    lock = os.open(layout.WORK / "lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"{Path.cwd()}: another run is working in this folder; wait for it, or stop it")
    try:
        end_leftover_jobs(Path.cwd())
        end_leftovers(Path.cwd())
        remove_leftovers(Path.cwd())
    except UserError as error:
        sys.exit(str(error))
    resolved = config.model_dump(mode="json")
    if not RUN_CONFIG.exists() or read_json(RUN_CONFIG) != resolved:
        write_json(RUN_CONFIG, resolved)


def stage_params(config: Config, name: str) -> dict[str, Any]:
    """Return the `params` of a stage's rule: its settings, a function of the wildcards, and the hash of its code."""
    return {"settings": _settings(config, name), "code": code_of(verb_of(name), *STAGES[name].code)}


def verb_of(name: str) -> str:
    """Return the module of the verb that carries out a stage."""
    verb = name.partition("-")[0] if name.startswith(("base-", "corpus-")) else name
    return f"verbs.{verb.replace('-', '_')}"


def training_resources(config: Config) -> dict[str, Any]:
    """Return what a rule that trains on several nodes asks Slurm for, so that its command can start one task on each.

    Which partition, how many GPUs a node and how much memory is for the profile to say.
    """
    nodes = config.compute.nodes
    return {"nodes": nodes, "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"} if nodes > 1 else {}


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
    """A source's row of the catalogue; of a user's folder, also what is in it."""
    source = layout.sources(config)[name]
    row = asdict(source)
    return row | {"holds": _listing(Path(source.downloads[0].address))} if source.kind == "folder" else row


def _listing(folder: Path) -> str:
    """A hash of the names, sizes and dates of a folder's files: those change when its images do."""
    return _dates(path for path in folder.expanduser().rglob("*") if path.is_file())


def _dates(files: Iterable[Path]) -> str:
    return key_of([(path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)])


def _official_files(config: Config) -> str:
    """A hash of what benchmark files the user has put in place, images aside: a new one lets a column be filled."""
    folders = {config.benchmarks.root / benchmark_named(name).folder for name in config.benchmarks.names}
    files = (path for folder in folders for depth in ("*", "*/*") for path in folder.glob(depth))
    return _dates(path for path in files if path.suffix in OFFICIAL_FILES)


def evaluation_manifest(config: Config) -> list[str]:
    """Return the manifest of the source that brings the benchmarks; none where the user has put them in place."""
    found = layout.file_source(config, config.benchmarks.root)
    return [found] if found.startswith("data/manifests/") else []


def world(config: Config) -> list[str]:
    """Return the files of the mini world that say it is there; none where images are real."""
    return [str(layout.SCENES), str(layout.WORLD / "eval" / "eval.zip")] if config.mini else []


def image_sources(config: Config) -> list[str]:
    """Return the names of all sources whose files are images."""
    return [name for name, source in layout.sources(config).items() if source.images != 0]


def endpoints(config: Config) -> dict[str, Teacher | Judge]:
    """Return the sections, by their keys, whose endpoints a run asks: the teacher is not where seed captions are
    taken."""
    taken = layout.is_taken(config, layout.SEED_CAPTIONS)
    return {name: section for name, section in config.endpoints.items() if not (taken and name == "teacher")}


def llm_inputs(config: Config) -> Callable[[Mapping[str, str]], list[str]]:
    """Return the function from a size to what its language model is made from; one that is published needs nothing."""
    sizes = config.base_models.llm
    return lambda wildcards: [] if sizes[dict(wildcards.items())["size"]].published else [_TOKENIZER]


def tower_inputs(config: Config) -> list[str]:
    """Return what the vision tower is made from; one that is published needs nothing."""
    if config.base_models.vision_tower.published:
        return []
    return [_TOKENIZER, "data/manifests/llava.parquet", "data/manifests/llava-captions.parquet"]


def mix_file(config: Config) -> Callable[[Mapping[str, str]], str]:
    """Return the function from the name of a mix to what says that the mix it is made of is there."""
    made, mixes = layout.substituted(config), config.corpora.instruction_mixes
    return lambda wildcards: layout.file_source(config, layout.DATA / mixes[made[dict(wildcards.items())["corpus"]][0]])


def finetuning_inputs(config: Config) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    """Return the function from a model's name to the start, the rows and the images of its fine-tuning."""

    def inputs(wildcards: Mapping[str, str]) -> dict[str, Any]:
        model = layout.model_named(config, dict(wildcards.items())["model"])
        return {
            "start": str(layout.start_of(model) / "model.safetensors"),
            "rows": layout.file_source(config, layout.rows_of(config, model)),
            "images": [f"data/manifests/{name}.parquet" for name in image_sources(config)],
        }

    return inputs


def paired_models(config: Config) -> list[str]:
    """Return the names of the models that are compared before and after substitution, each once."""
    return list(dict.fromkeys(name for pair in config.substitution for name in (pair.before, pair.after)))


def manifests(config: Config) -> list[str]:
    """Return what says that the sources of a run are there."""
    return [f"data/manifests/{name}.parquet" for name in layout.sources(config)]


def mixes(config: Config) -> list[str]:
    """Return the instruction mixes of a run in which detail captions are replaced, each once."""
    substituted = [model for model in config.models if model.substitution != "none"]
    return list(dict.fromkeys(layout.file_source(config, layout.rows_of(config, model)) for model in substituted))


def corpora(config: Config) -> list[str]:
    """Return what says that the corpora of a run are there: seed captions, pre-training corpus, instruction data."""
    return list(dict.fromkeys(layout.file_source(config, path) for path in layout.corpora(config)))


def trainings(config: Config) -> list[str]:
    """Return the weights that the trainings of a run make."""
    return [str(checkpoint / "model.safetensors") for checkpoint in layout.trainings(config).values()]


def scores(config: Config) -> list[str]:
    """Return the scores of every model on every benchmark that is scored here."""
    names = config.benchmarks.scored
    return [str(layout.SCORES / model.name / f"{name}.json") for model in config.models for name in names]


def results_of(config: Config) -> list[str]:
    """Return what a run makes beside the results table: tables, figures, and the scores as `dvc metrics` reads them."""
    names = ["datasets", "curves", "captions/seed", "captions/pretraining"]
    names += ["substitution"] if config.substitution else []
    drawn = [path for name in names for path in (f"results/{name}.csv", f"results/figures/{name}.svg")]
    return [*drawn, str(layout.MIXTURE), str(layout.CELLS), *metrics(config)]


def metrics(config: Config) -> list[str]:
    """Return the scores of every model as `dvc metrics` reads them."""
    return [str(layout.metrics_of(model.name)) for model in config.models]


def shards(config: Config) -> list[str]:
    """Return the names of the caption shards, `00000-of-00002` and so on, from how many images there should be."""
    count = max(
        1, -(-sum(expected_images(config, name) for name in config.captions.sources) // config.captions.shard_rows)
    )
    return [f"{number:05d}-of-{count:05d}" for number in range(count)]


def expected_images(config: Config, name: str) -> int:
    """Return how many images a source should hold: as drawn, as found in the user's folder, or as catalogued."""
    source = layout.sources(config)[name]
    if config.mini and name in config.mini.images:
        return config.mini.images[name]
    if source.kind == "folder":
        return sum(1 for path in Path(source.downloads[0].address).expanduser().rglob("*") if path.is_file())
    return source.images or config.captions.shard_rows
