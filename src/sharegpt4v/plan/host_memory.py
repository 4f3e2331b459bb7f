"""How much memory of its host a stage's job takes."""

from __future__ import annotations

from sharegpt4v import lineage
from sharegpt4v.config import Config
from sharegpt4v.models.family import DEFAULT, family_named
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.pipeline.targets import expected_images
from sharegpt4v.plan.memory import PROCESS, host_bytes
from sharegpt4v.plan.published import endpoints_of, gpus_of, published_bytes
from sharegpt4v.plan.tables import read_assumptions

PYTHON_BYTES = 10**9  # of Snakemake in a job and a process of ours without PyTorch; with it see `PROCESS`
READ = 3  # bytes per weight: bfloat16 and what is copied of it
COPIES = 4  # of texts: as JSON, and as Python's objects
OF_TEXTS = ("pretraining_corpus", "instruction_mix", "ablation_corpus", "ablation_mix", "mixture", "datasets")
"""Stages that hold a corpus."""
OF_MODELS = (
    "published_model", "language_model", "vision_tower", "alignment", "captions", "answers", "text_baseline",
)  # fmt: skip


def host_memory(config: Config, stage: str) -> float:
    """Return the bytes of memory that a job of a stage takes on each of its nodes; estimates, and rather too much."""
    gpus = gpus_of(config, stage)
    texts = COPIES * _caption_bytes(config)
    if STAGES[stage].device == "training" and gpus:
        return host_bytes(_most_weights(config), _most_weights(config), config.compute) + texts
    if stage in OF_MODELS and stage not in endpoints_of(config):
        return PROCESS + READ * _most_weights(config)
    return PROCESS + texts if stage in OF_TEXTS else PYTHON_BYTES


def _caption_bytes(config: Config) -> float:
    """Bytes of the largest corpus of captions."""
    images = sum(expected_images(config, name) for name in config.captions.sources)
    return max(images, sum(config.teacher.captions.values())) * read_assumptions()["bytes_per_caption"]


def _most_weights(config: Config) -> float:
    """Weights of the largest model of a run, made here or published."""
    family = family_named(DEFAULT)
    sizes = {*lineage.sizes(config), *(model.size for model in config.models if model.size)}
    made = [family.weights(config.base_models, size) for size in sizes]
    taken = [published_bytes(model) for model in lineage.published_models(config).values()]
    return max([*made, *((size or 0) / read_assumptions()["bytes_per_weight"] for size in taken)])
