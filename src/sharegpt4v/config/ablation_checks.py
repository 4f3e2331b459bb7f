"""What ablations have to agree with: models, sizes, recipes, sources and benchmarks of the other sections."""

from __future__ import annotations

from collections.abc import Iterator

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
    for number, source in enumerate(variant.captions.sources or ()):
        if source not in config.captions.sources:
            known = suggestion(source, config.captions.sources)
            yield (*place, "captions", "sources", number), f"is {source!r}, which is not in captions.sources; {known}"
    for author in dict.fromkeys((variant.captions.author, *variant.captions.described_by)):
        for source in NEEDED.get(author, ()):
            if source not in config.sources.use:
                yield (*place, "captions"), f"needs captions of {author!r}; expected {source} in sources.use"
    yield from _recipe(config, (*place, "recipe"), variant)


def _recipe(config: Config, location: Location, variant: Variant) -> Iterator[tuple[Location, str]]:
    for key in variant.recipe:
        if key not in Recipe.model_fields:
            yield (*location, key), f"is no key of pretraining; {suggestion(key, [*Recipe.model_fields])}"
            return
    try:
        recipe = Recipe.model_validate(config.pretraining.model_dump() | variant.recipe, strict=True)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            key = str(details["loc"][0])
            yield (*location, key), f"is {shown(details['input'])}; expected what pretraining.{key} takes"
        return
    layers, first = config.base_models.vision_tower.layers, recipe.tune_vit_from_layer
    if first is not None and first > layers:
        yield (
            (*location, "tune_vit_from_layer"),
            f"is {first}; expected at most {layers}, the layers of base_models.vision_tower, or null",
        )
