"""Which stages train and which take what is published, and so: which need GPUs, and which need the internet."""

from __future__ import annotations

from sharegpt4v import layout, lineage
from sharegpt4v.catalogues.checkpoints import read_checkpoints
from sharegpt4v.config import Config
from sharegpt4v.config.base_models import Published
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.generation import Generation
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.plan.tables import read_assumptions


def gpus_of(config: Config, stage: str) -> int:
    """Return how many GPUs a job of a stage has on each of its nodes; none where all that it makes is published."""
    device = STAGES[stage].device
    parts = _parts(config, stage)
    if device == "cpu" or (parts and all(parts)):
        return 0
    if device == "training":
        return config.compute.processes_per_node
    asked = _asked_by(config, stage)
    if asked and asked.engine == "endpoint":
        return 0
    return asked.vllm.tensor_parallel if asked and asked.engine == "vllm" else 1


def needs_internet(config: Config, stage: str) -> bool:
    """Whether a stage's jobs download, or ask others. The synthetic world and its endpoints are served in the job."""
    endpoints: dict[str, Endpoint] = {"seed_captions": config.teacher, "judgements": config.judge}
    if stage in endpoints:
        return endpoints[stage].base_url != "mini"
    if (asked := _asked_by(config, stage)) and asked.engine == "endpoint":
        return True
    if stage == "source":
        return config.mini is None
    return any(part and part.revision for part in _parts(config, stage))


def downloaded_bytes(config: Config, stage: str) -> float | None:
    """Return the size of the largest download of a stage's jobs; None where none is known."""
    if stage == "source":
        sources = layout.sources(config).values()
        factor = read_assumptions()["unpacked_factor"]
        known = [kind_of_source(source).bytes_on_disk(source, factor) for source in sources]
    else:
        known = [published_bytes(part) or 0 for part in _parts(config, stage) if part]
    return max(known, default=0) or None


def published_bytes(model: Published) -> int | None:
    """Return the size of a published model's weights; None where it is not known."""
    found = read_checkpoints().get(model.id)
    return found.bytes if found else None


def _asked_by(config: Config, stage: str) -> Generation | None:
    """Return the section that says which engine a stage's models are asked by; None where it asks none."""
    return {"captions": config.captions, "answers": config.benchmarks}.get(stage)


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
