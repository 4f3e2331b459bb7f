"""What ablations have to agree with: models, sizes, recipes, sources and benchmarks of the other sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.config.ablations import Ablation, PretrainingCaptions, Variant
from sharegpt4v.config.model import Config
from sharegpt4v.config.training import Recipe
from sharegpt4v.config.tree import Location
from sharegpt4v.config.wording import shown, suggestion

NEEDED = {"blind": ("llava-detail23k",), "short": ("coco-captions", "llava-captions")}
"""Sources that bring the captions of an author."""


def impossible_ablations(config: Config) -> Iterator[tuple[Location, str]]:
    """Yield the location of each value that contradicts another, with the rest of the sentence that says so."""
    section = config.ablations
    if not section.studies:
        return
    columns = {column for name in section.benchmarks for column in read_catalogue()[name].columns}
    for number, name in enumerate(section.benchmarks):
        location = ("ablations", "benchmarks", number)
        if name not in config.benchmarks.scored:
            yield location, f"is {name!r}; expected a benchmark in benchmarks.names that is scored here"
        elif name in config.benchmarks.judged:
            yield location, f"is {name!r}, which a judge grades; expected one that is scored without"
    for number, column in enumerate(section.columns):
        if column not in columns:
            yield ("ablations", "columns", number), f"is {column!r}; {suggestion(column, sorted(columns))}"
    for name, study in section.studies.items():
        yield from _study(config, ("ablations", "studies", name), study)


def _study(config: Config, location: Location, study: Ablation) -> Iterator[tuple[Location, str]]:
    models = {model.name: model for model in config.models}
    if study.model not in models:
        yield (*location, "model"), f"is {study.model!r}, which is not in models; {suggestion(study.model, [*models])}"
        return
    model = models[study.model]
    if model.base or model.published or model.pretraining == "none":
        yield (*location, "model"), f"is {study.model!r}; expected a model that is pre-trained and fine-tuned here"
        return
    names = [variant.name for variant in study.variants]
    for number, variant in enumerate(study.variants):
        place = (*location, "variants", number)
        if variant.name in names[:number]:
            yield (*place, "name"), f"is {variant.name!r} for the second time; expected every name once"
        if variant.finetuning_captions == "captioner" and (variant.substitution or model.substitution) == "none":
            yield (*place, "finetuning_captions"), "is captioner; expected substitution coco or all beside it"
        yield from _pretraining(config, place, variant)


def _pretraining(config: Config, place: Location, variant: Variant) -> Iterator[tuple[Location, str]]:
    if variant.size is not None and variant.size not in config.base_models.llm:
        known = suggestion(variant.size, [*config.base_models.llm])
        yield (*place, "size"), f"is {variant.size!r}, which is not in base_models.llm; {known}"
    if variant.pretraining == "none":
        for key, unset in (("captions", PretrainingCaptions()), ("recipe", {})):
            if getattr(variant, key) != unset:
                yield (*place, key), "is set beside pretraining: none; expected it at a variant that is pre-trained"
        return
    yield from _captioner(config, (*place, "captions", "captioner"), variant.captions)
    for number, source in enumerate(variant.captions.sources or ()):
        if source not in config.captions.sources:
            known = suggestion(source, config.captions.sources)
            yield (*place, "captions", "sources", number), f"is {source!r}, which is not in captions.sources; {known}"
    for author in sorted(variant.captions.authors):
        for source in NEEDED.get(author, ()):
            if source not in config.sources.use:
                yield (*place, "captions"), f"needs captions of {author!r}; expected {source} in sources.use"
    yield from _recipe(config, (*place, "recipe"), variant.recipe, config.pretraining, "pretraining")


def _captioner(config: Config, place: Location, captions: PretrainingCaptions) -> Iterator[tuple[Location, str]]:
    captioner = captions.captioner
    if captioner is None:
        return
    if "captioner" not in captions.authors:
        yield place, f"is set beside author: {captions.author}; expected it where the captioner's captions are chosen"
    if config.captions.engine == "endpoint":
        yield place, "is set beside captions.engine: endpoint; expected an engine that captions with a checkpoint"
    if captioner.size is not None and captioner.size not in config.base_models.llm:
        known = suggestion(captioner.size, [*config.base_models.llm])
        yield (*place, "size"), f"is {captioner.size!r}, which is not in base_models.llm; {known}"
    yield from _recipe(config, (*place, "recipe"), captioner.recipe, config.captioner.recipe, "captioner.recipe")


def _recipe(
    config: Config, location: Location, changed: dict[str, Any], before: Recipe, section: str
) -> Iterator[tuple[Location, str]]:
    for key in changed:
        if key not in Recipe.model_fields:
            yield (*location, key), f"is no key of {section}; {suggestion(key, [*Recipe.model_fields])}"
            return
    try:
        recipe = Recipe.model_validate(before.model_dump() | changed, strict=True)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            key = str(details["loc"][0])
            yield (*location, key), f"is {shown(details['input'])}; expected what {section}.{key} takes"
        return
    layers, first = config.base_models.vision_tower.layers, recipe.tune_vit_from_layer
    if first is not None and first > layers:
        yield (
            (*location, "tune_vit_from_layer"),
            f"is {first}; expected at most {layers}, the layers of base_models.vision_tower, or null",
        )
