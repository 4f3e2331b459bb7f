"""What a run lacks: keys, logins, files and room, each with the remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.catalogues.sources import CRAWLED, Source
from sharegpt4v.config import Config
from sharegpt4v.images.folder import how_to_place, is_placed
from sharegpt4v.pipeline.snakemake import Pending
from sharegpt4v.pipeline.start import endpoints
from sharegpt4v.pipeline.targets import evaluation_manifest
from sharegpt4v.plan.estimate import Cost


@dataclass(frozen=True)
class Missing:
    """Something that is not there, what to do about it, and whether the run is impossible without."""

    what: str
    remedy: str
    stops: bool = True


def missing(config: Config, pending: Mapping[str, Pending], costs: Mapping[str, Cost]) -> list[Missing]:
    """Return what the pending stages of a config lack on this machine."""
    return [
        *_keys(config, pending),
        *_budget(config, pending, costs),
        *(_sources(config) if "source" in pending else ()),
        *(_base_models(config) if {"language_model", "vision_tower"} & pending.keys() else ()),
        *(_benchmarks(config) if "answers" in pending else ()),
        *_disk(pending, costs),
    ]


def _keys(config: Config, pending: Mapping[str, Pending]) -> Iterator[Missing]:
    stages = {"teacher": "seed_captions", "judge": "judgements"}
    asked = {name: section for name, section in endpoints(config).items() if stages[name] in pending}
    for name, section in asked.items():
        variable = section.api_key_variable
        if variable and not os.environ.get(variable):
            yield Missing(f"key of {name}", f"put the key of {section.base_url} into {variable}")


def _budget(config: Config, pending: Mapping[str, Pending], costs: Mapping[str, Cost]) -> Iterator[Missing]:
    if "seed_captions" not in pending or "seed_captions" not in costs:
        return
    teacher, cost = config.teacher, costs["seed_captions"]
    budget, usd = teacher.budget, cost.batch_usd if teacher.mode == "batch" else cost.usd
    if usd is None:
        yield Missing(f"price of {teacher.model}", "add a row to config/prices.tsv to see what it costs", stops=False)
    elif budget and usd > budget.limit_usd:
        yield Missing("money", f"seed captions cost {usd:,.0f} USD; raise teacher.budget.limit_usd, or ask for fewer")


def _sources(config: Config) -> Iterator[Missing]:
    lacking: dict[str, list[Source]] = {}
    for source in layout.sources(config).values():
        folder = layout.DATA / source.folder
        if layout.manifest(source.name).exists():
            continue
        if source.kind == "placed" and not is_placed(folder):
            lacking.setdefault(source.downloads[0].address, []).append(source)
        elif source.kind == "folder" and not Path(source.downloads[0].address).expanduser().is_dir():
            yield Missing(f"folder of {source.name}", f"correct sources.folder_sources.{source.name}")
        elif source.kind == "links":
            if not _has_links(config, source):
                remedy = f"{source.login}, and name that file in sources.link_files.{source.name}"
                yield Missing(f"links of {source.name}", remedy)
        elif source.kind != "placed" and source.login:
            yield Missing(f"login for {source.name}", source.login, stops=False)
    for sources in lacking.values():
        folders = ", ".join(f"{layout.DATA / source.folder}" for source in sources)
        yield Missing(f"images in {folders}", how_to_place(sources[0]))
    crawled = [source for source in layout.sources(config).values() if source.kind in CRAWLED]
    command = layout.of_project(config.sources.img2dataset.command)
    if crawled and not command.exists():
        yield Missing(str(command), "`make setup` makes it")


def _has_links(config: Config, source: Source) -> bool:
    """Whether the user's personal links are at hand, or no longer needed, since all that they lead to is here."""
    file = config.sources.link_files.get(source.name)
    downloads = layout.WORK / "sources" / source.name / "downloads"
    here = all((downloads / download.file_name).exists() for download in source.downloads)
    return here or (file is not None and file.expanduser().is_file())


def _base_models(config: Config) -> Iterator[Missing]:
    models = config.base_models
    for part in (models.vision_tower, *models.llm.values()):
        if (taken := part.published) and not taken.revision and not Path(taken.id).expanduser().is_dir():
            yield Missing(f"folder {taken.id}", "correct base_models, or name a Hugging Face id with its revision")
    if any(llm.published for llm in models.llm.values()) and not importlib.util.find_spec("sentencepiece"):
        yield Missing("sentencepiece", "`pip install sentencepiece`: the tokenizer of Vicuna is in its format")


def _benchmarks(config: Config) -> Iterator[Missing]:
    if evaluation_manifest(config):
        return
    absent = [name for name in config.benchmarks.names if not layout.benchmark_folder(config, name).is_dir()]
    if absent:
        where = f"{config.benchmarks.root}/{benchmark_named(absent[0]).folder} and so on"
        remedy = f"put their files into {where}, see config/benchmarks.tsv; their cells stay empty until then"
        every = len(absent) == len(config.benchmarks.names)
        yield Missing(f"benchmarks: {'all' if every else ', '.join(absent)}", remedy, stops=every)


def _disk(pending: Mapping[str, Pending], costs: Mapping[str, Cost]) -> Iterator[Missing]:
    needed = sum(cost.gigabytes or 0 for stage, cost in costs.items() if stage in pending)
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if needed > free:
        yield Missing("room", f"{needed:,.0f} GB are needed and {free:,.0f} GB free in {Path.cwd()}; make room")
