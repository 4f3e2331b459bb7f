"""Which stages train and which take what is published, and so: which need GPUs, and which need the internet."""

from __future__ import annotations

from sharegpt4v import lineage
from sharegpt4v.catalogues.checkpoints import read_checkpoints
from sharegpt4v.config import Config
from sharegpt4v.config.base_models import Published
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.generation import Generation
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.pipeline.targets import fetched_sources
from sharegpt4v.plan.tables import read_assumptions


def endpoints_of(config: Config) -> dict[str, Endpoint]:
    """Return the endpoints that are asked, by stage."""
    asked: dict[str, Endpoint] = {"seed_captions": config.teacher, "judgements": config.judge}
    for stage, section in (("captions", config.captions), ("answers", config.benchmarks)):
        if endpoint := section.asked_endpoint:
            asked[stage] = endpoint
    return asked


def gpus_of(config: Config, stage: str) -> int:
    """Return how many GPUs a job of a stage has on each of its nodes; none where it only downloads or asks others."""
    device = STAGES[stage].device
    parts = _parts(config, stage)
    if device == "cpu" or (parts and all(parts)) or stage in endpoints_of(config):
        return 0
    if device == "training":
        return config.compute.processes_per_node
    sections: dict[str, Generation] = {"captions": config.captions} | dict.fromkeys(
        ("answers", "text_baseline"), config.benchmarks
    )
    return sections[stage].devices if stage in sections else 1


def needs_internet(config: Config, stage: str) -> bool:
    """Whether a stage's jobs download, or ask others. The synthetic world and its endpoints are served in the job."""
    asked = endpoints_of(config)
    if stage in asked:
        return asked[stage].base_url != "mini"
    if stage == "source":
        return config.mini is None
    return any(part and part.revision for part in _parts(config, stage))


def downloaded_bytes(config: Config, stage: str) -> float | None:
    """Return the size of the largest download of a stage's jobs; None where none is known."""
    if stage == "source":
        sources = fetched_sources(config).values()
        factor = read_assumptions()["unpacked_factor"]
        known = [kind_of_source(source).bytes_on_disk(source, factor) for source in sources]
    else:
        known = [published_bytes(part) or 0 for part in _parts(config, stage) if part]
    return max(known, default=0) or None


def published_bytes(model: Published) -> int | None:
    """Return the size of a published model's weights; None where it is not known."""
    found = read_checkpoints().get(model.id)
    return found.bytes if found else None


def _parts(config: Config, stage: str) -> list[Published | None]:
    """Return what a stage takes as published, None for each part that is made here; nothing of most stages."""
    models = config.base_models
    llms = [models.llm[size] for size in lineage.sizes(config)]
    parts: dict[str, list[Published | None]] = {
        "language_model": [llm.published for llm in llms],
        "vision_tower": [models.vision_tower.published],
        "alignment": [llm.projector for llm in llms],
        "published_model": [*lineage.published_models(config).values()],
    }
    return parts.get(stage, [])
