"""What no single key can get wrong: sections that name each other's models, sources and sizes have to agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from sharegpt4v.code_hash import names_in
from sharegpt4v.config.ablation_checks import impossible_ablations
from sharegpt4v.config.base_models import PublishedModel, Transformer
from sharegpt4v.config.model import Config
from sharegpt4v.config.models import TrainedModel
from sharegpt4v.config.training import Recipe
from sharegpt4v.config.tree import Location
from sharegpt4v.config.wording import suggestion

Complaint = tuple[Location, str]
OTHER_CHECKPOINTS = ("ablations", "base", "aligned", "captioner", "pretrained", "published")
"""Folders below `checkpoints/`, beside those that have the names of models."""


def impossible_combinations(config: Config) -> Iterator[Complaint]:
    """Yield the location of each value that contradicts another, with the rest of the sentence that says so."""
    yield from _sources(config)
    yield from _seed_captions(config)
    yield from _shapes(config)
    for location, recipe in _recipes(config):
        yield from _recipe(config, location, recipe)
    yield from _families(config)
    yield from _models(config)
    yield from _substitution(config)
    yield from impossible_ablations(config)


def _sources(config: Config) -> Iterator[Complaint]:
    sources = config.sources
    yield from _repeated(("sources", "use"), sources.use)
    for name in sources.folder_sources:
        if name in sources.use:
            yield ("sources", "folder_sources", name), "is also a name in sources.use; expected a name of its own"
    for number, name in enumerate(sources.placed):
        yield from _unknown(("sources", "placed", number), name, sources.use, "sources.use")
    for name in sources.link_files:
        yield from _unknown(("sources", "link_files", name), name, sources.use, "sources.use")
    if config.mini:
        for name in config.mini.images:
            yield from _unknown(("mini", "images", name), name, sources.use, "sources.use")
    else:
        for key, section in config.endpoints.items():
            if section.base_url == "mini":
                text = "is 'mini' but there is no section mini; expected the address of an endpoint"
                yield (*key.split("."), "base_url"), text
    for number, name in enumerate(config.captions.sources):
        known = [*sources.use, *sources.folder_sources]
        yield from _unknown(("captions", "sources", number), name, known, "sources.use or sources.folder_sources")


def _seed_captions(config: Config) -> Iterator[Complaint]:
    """Seed captions need images to describe; replacements need seed captions to take."""
    asked = config.teacher.captions
    drawn = config.mini.images if config.mini else {}
    for name, count in asked.items():
        location = ("teacher", "captions", name)
        known = [*config.sources.use, *config.sources.folder_sources]
        if count:
            yield from _unknown(location, name, known, "sources.use or sources.folder_sources")
        if name in drawn and count > drawn[name]:
            yield location, f"is {count}; expected at most {drawn[name]}, the images that mini.images draws"
    for number, name in enumerate(config.corpora.substitution_sources):
        yield from _unknown(("corpora", "substitution_sources", number), name, asked, "teacher.captions")
    replacements = config.corpora.finetuning_sources
    small = sum(count for name, count in asked.items() if name not in replacements)
    for name, count in replacements.items():
        location = ("corpora", "finetuning_sources", name)
        yield from _unknown(location, name, [*asked, "small"], "teacher.captions")
        available = small if name == "small" else asked.get(name, count)
        if count > available:
            yield (
                location,
                f"is {count}; expected at most {available}, the seed captions that teacher.captions asks for",
            )


def _shapes(config: Config) -> Iterator[Complaint]:
    tower = config.base_models.vision_tower
    if tower.image_size % tower.patch_size:
        yield (
            ("base_models", "vision_tower", "patch_size"),
            f"is {tower.patch_size}; expected a divisor of image_size, {tower.image_size}",
        )
    transformers: list[tuple[Location, Transformer]] = [(("base_models", "vision_tower"), tower)]
    transformers += [(("base_models", "llm", size), llm) for size, llm in config.base_models.llm.items()]
    for location, model in transformers:
        if model.hidden_size % model.heads:
            yield (*location, "heads"), f"is {model.heads}; expected a divisor of hidden_size, {model.hidden_size}"
        elif model is not tower and (width := model.hidden_size // model.heads) % 2:
            yield (
                (*location, "heads"),
                f"is {model.heads}; expected heads of an even width (rotary positions), not {width}",
            )


def _recipes(config: Config) -> Iterator[tuple[Location, Recipe]]:
    yield ("alignment",), config.alignment
    yield ("captioner", "recipe"), config.captioner.recipe
    yield ("pretraining",), config.pretraining
    yield ("finetuning",), config.finetuning


def _recipe(config: Config, location: Location, recipe: Recipe) -> Iterator[Complaint]:
    tower = config.base_models.vision_tower
    first = recipe.tune_vit_from_layer
    if first is not None and first > tower.layers:
        yield (
            (*location, "tune_vit_from_layer"),
            f"is {first}; expected at most {tower.layers}, the layers of base_models.vision_tower, or null",
        )
    if not (recipe.train_projector or recipe.train_llm or first is not None):
        yield location, "trains nothing; expected train_projector, train_llm or tune_vit_from_layer to be set"
    if recipe.batch_of == "rows" and (recipe.loss_parts > 1 or recipe.group_by_modality_length):
        key = "loss_parts" if recipe.loss_parts > 1 else "group_by_modality_length"
        yield (*location, key), "is for steps of samples; expected batch_of: samples beside it"
    if recipe.loss_parts > recipe.batch_size:
        yield (
            (*location, "loss_parts"),
            f"is {recipe.loss_parts}; expected at most {recipe.batch_size}, the samples of a step",
        )


def _families(config: Config) -> Iterator[Complaint]:
    taken: list[tuple[Location, PublishedModel | None]] = [
        (("captioner", "published"), config.captioner.published),
        (("captioner", "base"), config.captioner.base),
        *((("base_models", "llm", size, "pretrained"), llm.pretrained) for size, llm in config.base_models.llm.items()),
        *((("models", number, "published"), model.published) for number, model in enumerate(config.models)),
        *((("models", number, "base"), model.base) for number, model in enumerate(config.models)),
    ]
    for location, model in taken:
        if model:
            yield from _unknown((*location, "family"), model.family, names_in("models.families"), "models/families")


def _models(config: Config) -> Iterator[Complaint]:
    sizes, mixes = config.base_models.llm, config.corpora.instruction_mixes
    yield from _unknown(("captioner", "size"), config.captioner.size, sizes, "base_models.llm")
    yield from _repeated(("models",), [model.name for model in config.models], "name")
    for number, model in enumerate(config.models):
        if model.name in OTHER_CHECKPOINTS:
            yield ("models", number, "name"), f"is {model.name!r}, a folder of other checkpoints; expected another name"
        yield from _origin(("models", number), model)
        if model.size is not None:
            yield from _unknown(("models", number, "size"), model.size, sizes, "base_models.llm")
        if model.mix is not None:
            yield from _unknown(("models", number, "mix"), model.mix, mixes, "corpora.instruction_mixes")
    yield from _repeated(("benchmarks", "names"), config.benchmarks.names)


def _origin(location: Location, model: TrainedModel) -> Iterator[Complaint]:
    """A model is taken, or fine-tuned from a published one, or made here of a language model of some size."""
    if model.published:
        for key, untrained in (("base", None), ("pretraining", "none"), ("mix", None), ("substitution", "none")):
            if getattr(model, key) != untrained:
                yield (*location, key), "is set for a published model; expected none: nothing of it is trained"
        return
    if model.mix is None:
        yield (*location, "mix"), "is missing; expected a name in corpora.instruction_mixes"
    if model.base and model.pretraining != "none":
        yield (*location, "pretraining"), "is set beside base; expected none: only models made here are pre-trained"
    if not model.base and model.size is None:
        yield (*location, "size"), "is missing; expected a name in base_models.llm"


def _substitution(config: Config) -> Iterator[Complaint]:
    models = {model.name: model for model in config.models}
    for number, pair in enumerate(config.substitution):
        location = ("substitution", number)
        yield from _unknown((*location, "before"), pair.before, models, "models")
        yield from _unknown((*location, "after"), pair.after, models, "models")
        if pair.before in models and pair.after in models:
            before, after = models[pair.before], models[pair.after]
            unlike = [
                key for key in ("size", "base", "pretraining", "mix") if getattr(before, key) != getattr(after, key)
            ]
            if unlike:
                yield (
                    location,
                    f"compares models of unlike {', '.join(unlike)}; expected two that differ in substitution alone",
                )
            if before.substitution == after.substitution:
                yield location, "compares models of the same substitution; expected two that differ in it"


def _unknown(location: Location, name: str, known: Iterable[str], where: str) -> Iterator[Complaint]:
    """Complain of a name that is not among the known ones, with the nearest of them."""
    known = list(known)
    if name not in known:
        subject = "is" if location[-1] == name else f"is {name!r}, which is"
        yield location, f"{subject} not in {where}; {suggestion(name, known)}"


def _repeated(location: Location, names: Iterable[str], *key: str) -> Iterator[Complaint]:
    """Complain of each name that is in a list for the second time."""
    seen: Counter[str] = Counter()
    for number, name in enumerate(names):
        seen[name] += 1
        if seen[name] == 2:
            yield (*location, number, *key), f"is {name!r} for the second time; expected every name once"
