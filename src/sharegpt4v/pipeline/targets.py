"""What the rules name as inputs and targets, as the config says: manifests, corpora, trainings, shards, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sharegpt4v import layout, lineage
from sharegpt4v.catalogues.sources import Source
from sharegpt4v.config import Config
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.official_files import official_files

CAPTIONS = (layout.SEED_CAPTIONS, layout.PRETRAINING_CORPUS)  # whose statistics are compared
_TOKENIZER = str(layout.TOKENIZER / "tokenizer.json")


def evaluation_manifests(config: Config) -> list[str]:
    """Return the manifests of what brings the benchmarks' official files, one source or a row for each file.

    Nothing where what the user has not put in place is only reported.
    """
    if layout.is_provided(config, config.benchmarks.root):
        return [layout.file_source(config, config.benchmarks.root)]
    return manifests_of(official_files(config)) if config.benchmarks.missing == "fetch" else []


def fetched_sources(config: Config) -> dict[str, Source]:
    """Return the sources that the results of a run need, by name: those of its corpora, and the official files."""
    official = official_files(config) if config.benchmarks.missing == "fetch" else {}
    return official | (layout.sources(config) if lineage.corpora(config) else {})


def world(config: Config) -> list[str]:
    """Return the files of the synthetic world that say it is there; none where images are real."""
    return [str(layout.SCENES), str(layout.WORLD / "eval" / "eval.zip")] if config.mini else []


def image_sources(config: Config) -> list[str]:
    """Return the names of all sources whose files are images."""
    return [name for name, source in layout.sources(config).items() if source.images != 0]


def llm_inputs(config: Config) -> Callable[[Mapping[str, str]], list[str]]:
    """Return the function from a size to what its language model is made from; one that is published needs nothing."""
    sizes = config.base_models.llm
    return lambda wildcards: [] if sizes[dict(wildcards.items())["size"]].published else [_TOKENIZER]


def tower_inputs(config: Config) -> list[str]:
    """Return what the vision tower is made from; one that is published needs nothing."""
    if config.base_models.vision_tower.published:
        return []
    return [_TOKENIZER, *manifests_of(["llava", "llava-captions"])]


def mix_file(config: Config) -> Callable[[Mapping[str, str]], str]:
    """Return the function from the name of a mix to what says that the mix it is made of is there."""
    made, mixes = layout.substituted(config), config.corpora.instruction_mixes
    return lambda wildcards: layout.file_source(config, layout.DATA / mixes[made[dict(wildcards.items())["corpus"]][0]])


def finetuning_inputs(config: Config) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    """Return the function from a model's name to the start, the rows and the images of its fine-tuning.

    A folder of the user's own counts where rows can name its images: by seed captions, in a mix that takes those of all
    sources.
    """
    own, seen_by_teacher = config.sources.folder_sources, config.teacher.captions

    def inputs(wildcards: Mapping[str, str]) -> dict[str, Any]:
        model = lineage.model_named(config, dict(wildcards.items())["model"])
        return {
            "start": str(layout.weights(lineage.start_of(config, model))),
            "rows": layout.file_source(config, lineage.rows_of(config, model)),
            "images": manifests_of(
                name
                for name in image_sources(config)
                if name not in own or (model.substitution == "all" and name in seen_by_teacher)
            ),
        }

    return inputs


def alignment_inputs(config: Config) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    """Return the function from a size to what its alignment is made from; a published projector needs no captions."""

    def inputs(wildcards: Mapping[str, str]) -> dict[str, Any]:
        size = dict(wildcards.items())["size"]
        parts = {"tower": str(layout.weights(layout.TOWER)), "llm": str(layout.weights(layout.llm(size)))}
        if config.base_models.llm[size].projector:
            return parts
        return parts | {"images": str(layout.manifest("llava")), "captions": str(layout.manifest("llava-captions"))}

    return inputs


def model_weights(config: Config) -> Callable[[Mapping[str, str]], str]:
    """Return the function from a model's name to its weights, which are made here or published."""
    return lambda wildcards: str(
        layout.weights(lineage.finished(lineage.model_named(config, dict(wildcards.items())["model"])))
    )


def paired_models(config: Config) -> list[str]:
    """Return the names of the models that are compared before and after substitution, each once."""
    return list(dict.fromkeys(name for pair in config.substitution for name in (pair.before, pair.after)))


def manifests_of(names: Iterable[str]) -> list[str]:
    """Return the manifests of sources."""
    return [str(layout.manifest(name)) for name in names]


def manifests(config: Config) -> list[str]:
    """Return what says that the sources of a run are there."""
    return manifests_of(layout.sources(config))


def mixes(config: Config) -> list[str]:
    """Return the instruction mixes of a run in which detail captions are replaced, each once."""
    substituted = [model for model in config.models if model.substitution != "none"]
    return list(dict.fromkeys(layout.file_source(config, lineage.rows_of(config, model)) for model in substituted))


def corpora(config: Config) -> list[str]:
    """Return what says that the corpora of a run are there: seed captions, pre-training corpus, instruction data."""
    return list(dict.fromkeys(layout.file_source(config, path) for path in lineage.corpora(config)))


def trainings(config: Config) -> list[str]:
    """Return the weights that the trainings of a run make."""
    return [str(layout.weights(checkpoint)) for checkpoint in lineage.trainings(config).values()]


def scores(config: Config, models: Iterable[str] | None = None) -> list[str]:
    """Return the scores of `models`, by default all of the run, on every benchmark that is scored here."""
    names = config.benchmarks.scored
    models = [model.name for model in config.models] if models is None else models
    return [str(layout.SCORES / model / f"{name}.json") for model in models for name in names]


def text_baseline_files(size: str) -> list[str]:
    """Return the answers, their provenance and the score of the language model of a size, without images."""
    name, benchmark = layout.base_name(size), lineage.TEXT_ONLY
    answers = [str(layout.ANSWERS / name / f"{benchmark}.{suffix}") for suffix in ("jsonl", "provenance.json")]
    return [*answers, str(layout.SCORES / name / f"{benchmark}.json")]


def text_baselines(config: Config) -> list[str]:
    """Return the scores of the language models of a run that MMStar's leakage is measured against."""
    return [text_baseline_files(size)[-1] for size in lineage.text_baselines(config)]


def tables(config: Config) -> list[str]:
    """Return the results table, and the second one where a run has benchmarks of it, each with its page."""
    made = [layout.TABLE, *([layout.MORE_TABLE] if config.benchmarks.more else [])]
    return [str(path.with_suffix(suffix)) for path in made for suffix in (".csv", ".md")]


def per_benchmark(folder: Path, names: Iterable[str], *suffixes: str) -> list[str]:
    """Return the files of one model, the wildcard `model`, in a folder of results: one per benchmark and suffix."""
    return [str(folder / "{model}" / f"{name}.{suffix}") for name in names for suffix in suffixes]


def drawn(config: Config) -> list[str]:
    """Return the names of the tables of a run that have a figure."""
    names = ["curves"] if lineage.trainings(config) else []
    learned = lineage.corpora(config)
    if all(path in learned or layout.is_provided(config, path) for path in CAPTIONS):
        names += ["datasets", "captions/seed", "captions/pretraining"]
    return [*names, *(["substitution"] if config.substitution else [])]


def tables_of(config: Config) -> list[str]:
    """Return the names of the tables of a run, each of which is a page too."""
    pages = [name for name in drawn(config) if name != layout.CURVES.stem]
    mixture = ["mixture"] if lineage.corpora(config) else []
    more = [layout.MORE_TABLE.stem] if config.benchmarks.more else []
    return [layout.TABLE.stem, *more, *pages, *mixture, layout.CELLS.stem]


def results_of(config: Config) -> list[str]:
    """Return what a run makes beside the results table: tables, figures, and the scores as `dvc metrics` reads them."""
    names = drawn(config)
    csv_files = [str(layout.RESULTS / f"{name}.csv") for name in names]
    figures = [str(layout.figure(name, kind)) for name in names for kind in ("svg", "png")]
    mixture = [str(layout.MIXTURE)] if lineage.corpora(config) else []
    return [*csv_files, *figures, *mixture, str(layout.CELLS), *metrics(config)]


def cards(config: Config) -> list[str]:
    """Return the cards of the models and of the data sets of a run."""
    models = [layout.model_card(name) for name in lineage.checkpoints(config)]
    return [str(path) for path in [*models, *(layout.data_card(name) for name in lineage.data_sets(config))]]


def card_inputs(config: Config) -> list[str]:
    """Return the records that the cards are made from: checkpoints, corpora, scores, and what was counted of them."""
    checkpoints = [str(layout.weights(path)) for path in lineage.checkpoints(config).values()]
    counted = [path for path in results_of(config) if Path(path) in (layout.MIXTURE, layout.DATASETS)]
    return [*checkpoints, *corpora(config), *scores(config), *counted]


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
    """Return how many images a source should hold: as drawn, or as its kind says."""
    source = layout.sources(config)[name]
    if config.mini and name in config.mini.images:
        return config.mini.images[name]
    return kind_of_source(source).expected_images(source) or config.captions.shard_rows
