"""What a checkpoint or a corpus of a run is made from, down to published models, sources and endpoints, and the terms
of these, which bind it.

A node is a path of `layout`. What an image's licence rules is the image: a model that saw it is no copy of it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sharegpt4v import layout, lineage
from sharegpt4v.catalogues.licences import OWN, UNKNOWN, Terms, terms_in, terms_of_answers, terms_of_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sharegpt4v.catalogues.sources import Source
    from sharegpt4v.config import Config
    from sharegpt4v.config.base_models import Published

HUB = "https://huggingface.co/"
Kind = Literal["model", "text", "images", "endpoint"]


@dataclass(frozen=True)
class Origin:
    """A published model, a source of texts or of images, or a model behind an endpoint, and the terms it comes under.

    `name` is an id of Hugging Face, a name in the catalogue of sources, or what the endpoint calls its model. `about`
    says what it is, `address` where, `revision` its commit on Hugging Face; each is empty where nothing says so.
    """

    name: str
    kind: Kind
    terms: tuple[Terms, ...]
    about: str = ""
    address: str = ""
    revision: str = ""


def origins_of(config: Config, path: Path) -> list[Origin]:
    """Return all that a checkpoint folder or a corpus is made from in the end, each once, in the order of the pipeline.

    Unknown paths have no origins.
    """
    found: dict[Origin, None] = {}
    for parent in parents_of(config, path):
        found |= dict.fromkeys([parent] if isinstance(parent, Origin) else origins_of(config, parent))
    return list(found)


def terms_of(config: Config, path: Path, *, with_images: bool = False) -> dict[Terms, list[str]]:
    """Return the terms that bind a checkpoint or a corpus, each with the names of the origins it comes from.

    Those of images only where copies of these are in it (`with_images`).
    """
    found: dict[Terms, list[str]] = {}
    for origin in origins_of(config, path):
        if with_images or origin.kind != "images":
            for terms in origin.terms:
                found.setdefault(terms, []).append(origin.name)
    return found


def parents_of(config: Config, path: Path) -> list[Path | Origin]:
    """Return what a checkpoint or a corpus is made from directly."""
    if path.is_relative_to(layout.CHECKPOINTS):
        return _parents_of_model(config, path)
    if layout.CAPTION_SHARDS in (path, path.parent):
        path = layout.PRETRAINING_CORPUS
    images = images_of(config, path)
    if brought := _source_of(config, path):
        return [brought, *images]
    if path == layout.SEED_CAPTIONS:
        return [*images, _answers(config.teacher.model)]
    if path == layout.PRETRAINING_CORPUS:
        captioner = lineage.captioner(config)
        return [*images, captioner or _answers(config.captions.asked_endpoint.model)]  # type: ignore[union-attr]
    if substituted := layout.substituted(config).get(path.stem):
        return [layout.DATA / config.corpora.instruction_mixes[substituted[0]], layout.SEED_CAPTIONS, *images]
    return []


def images_of(config: Config, corpus: Path) -> list[Origin]:
    """Return the sources whose images a corpus names: as counted by the run; where it has not, all that may be."""
    sources = {name: source for name, source in layout.sources(config).items() if source.images != 0}
    if corpus == layout.SHORT_CAPTIONS:
        names: Iterable[str] = ["llava"]
    elif corpus == layout.SEED_CAPTIONS:
        names = config.teacher.captions
    elif corpus == layout.PRETRAINING_CORPUS:
        names = config.captions.sources
    else:
        folders = set(_counted_folders(corpus))
        named = {name for name, source in sources.items() if source.folder.partition("/")[0] in folders}
        names = named or sources
    return [_origin(sources[name], "images") for name in sources if name in set(names)]


def published(taken: Published) -> Origin:
    """Return a published model as an origin."""
    from sharegpt4v.catalogues.checkpoints import read_checkpoints

    if not taken.revision:  # a folder of this machine, whose path says nothing to others
        return Origin(Path(taken.id).name, "model", terms_in(UNKNOWN), "a folder that the config names")
    known = read_checkpoints().get(taken.id)
    about = known.about if known else "a published model"
    return Origin(taken.id, "model", terms_of_checkpoint(taken.id), about, f"{HUB}{taken.id}", taken.revision)


def _parents_of_model(config: Config, path: Path) -> list[Path | Origin]:
    models, llms = config.base_models, config.base_models.llm
    if path == layout.TOWER:
        return [published(models.vision_tower.published)] if models.vision_tower.published else [layout.SHORT_CAPTIONS]
    if path == layout.TOKENIZER:
        return [Origin("texts of the synthetic world", "text", terms_in(OWN), "written by this project")]
    if path == layout.CAPTIONER:
        return [lineage.captioner_start(config), layout.SEED_CAPTIONS]
    for taken in lineage.published_models(config).values():
        if path == layout.published(taken):
            return [published(taken)]
    for size, llm in llms.items():
        if path == layout.llm(size):
            return [published(llm.published)] if llm.published else [layout.TOKENIZER]
        if path == layout.aligned(size):
            projector = published(llm.projector) if llm.projector else layout.SHORT_CAPTIONS
            return [layout.TOWER, layout.llm(size), projector]
        if path == layout.pretrained(size):
            return [layout.aligned(size), layout.PRETRAINING_CORPUS]
    for model in lineage.finetuned_models(config):
        if path == layout.finetuned(model.name):
            return [lineage.start_of(config, model), lineage.rows_of(config, model)]
    return []


def _source_of(config: Config, path: Path) -> Origin | None:
    """Return the source that brings a file below data/, if one does."""
    for source in layout.sources(config).values():
        if layout.DATA / source.folder == path or (path == layout.COCO_CAPTIONS and source.name == "coco-captions"):
            return _origin(source, "text")
    return None


def _origin(source: Source, kind: Kind) -> Origin:
    address = source.downloads[0].address if source.kind != "folder" else ""  # no path of this machine
    return Origin(source.name, kind, terms_in(source.licence), source.about, address)


def _answers(model: str) -> Origin:
    return Origin(model, "endpoint", terms_of_answers(model), "captions written by this model, asked over an endpoint")


def _counted_folders(corpus: Path) -> Iterator[str]:
    """Yield the first folders of the images of a corpus, where the run has counted its rows."""
    if layout.MIXTURE.is_file():
        with layout.MIXTURE.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["corpus"] == corpus.name and row["rows_after"] != "0":
                    yield row["source"]
