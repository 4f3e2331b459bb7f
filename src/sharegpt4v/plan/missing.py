"""What a run lacks: keys, logins, files and disk space, each with the remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v import layout, lineage
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.config import Config
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.pipeline.snakemake import Pending
from sharegpt4v.pipeline.start import endpoints
from sharegpt4v.pipeline.targets import fetched_sources
from sharegpt4v.plan.estimate import Cost

TAKING = {"language_model", "vision_tower", "alignment", "published_model"}  # stages that may take what is published

ASKING = {
    "teacher": "seed_captions", "judge": "judgements", "captions.endpoint": "captions", "benchmarks.endpoint": "answers"
}  # fmt: skip
"""The stage that asks the endpoint of a section."""


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
        *(_base_models(config) if pending.keys() & TAKING else ()),
        *(_benchmarks(config) if "answers" in pending else ()),
        *_disk(pending, costs),
    ]


def _keys(config: Config, pending: Mapping[str, Pending]) -> Iterator[Missing]:
    asked = {name: section for name, section in endpoints(config).items() if ASKING[name] in pending}
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
    sources = fetched_sources(config).values()
    needs: dict[tuple[str, str, bool], list[str]] = {}
    for source in sources:
        if not layout.manifest(source.name).exists():
            for need in kind_of_source(source).needs(source, config):
                needs.setdefault((need.what, need.remedy, need.stops), []).append(need.whom)
    for (what, remedy, stops), whom in needs.items():
        yield Missing(f"{what} {', '.join(whom)}", remedy, stops)
    command = layout.of_project(config.sources.img2dataset.command)
    if any(kind_of_source(source).needs_img2dataset for source in sources) and not command.exists():
        yield Missing(str(command), "`make setup` makes it")


def _base_models(config: Config) -> Iterator[Missing]:
    models = config.base_models
    llms = [models.llm[size] for size in lineage.sizes(config)]
    parts = [part for llm in llms for part in (llm.published, llm.projector)]
    parts += [models.vision_tower.published] if llms else []
    for taken in filter(None, [*parts, *lineage.published_models(config).values()]):
        if not taken.revision and not Path(taken.id).expanduser().is_dir():
            yield Missing(f"folder {taken.id}", "correct the config, or name a Hugging Face id with its revision")
    if any(llm.published for llm in llms) and not importlib.util.find_spec("sentencepiece"):
        yield Missing("sentencepiece", "`pip install sentencepiece`: the tokenizer of Vicuna is in its format")


def _benchmarks(config: Config) -> Iterator[Missing]:
    if layout.is_provided(config, config.benchmarks.root) or config.benchmarks.missing == "fetch":
        return  # what a person must bring is among the sources
    absent = [name for name in config.benchmarks.names if not layout.benchmark_folder(config, name).is_dir()]
    if absent:
        where = f"{config.benchmarks.root}/{benchmark_named(absent[0]).folder} and so on"
        remedy = f"put their files into {where}, as `s4v fetch` does; their cells stay empty until then"
        every = len(absent) == len(config.benchmarks.names)
        yield Missing(f"benchmarks: {'all' if every else ', '.join(absent)}", remedy, stops=every)


def _disk(pending: Mapping[str, Pending], costs: Mapping[str, Cost]) -> Iterator[Missing]:
    needed = sum(cost.gigabytes or 0 for stage, cost in costs.items() if stage in pending)
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if needed > free:
        yield Missing("room", f"{needed:,.0f} GB are needed and {free:,.0f} GB free in {Path.cwd()}; make room")
