"""What the rules of the ablations name as inputs: captions, starts, scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v import ablations, layout, lineage
from sharegpt4v.pipeline.targets import shards

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.ablations import PretrainingCaptions

Wildcards = Mapping[str, str]


def pretraining_inputs(config: Config) -> Callable[[Wildcards], dict[str, Any]]:
    """Return the function from the name of a pre-training to its start and its captions."""

    def inputs(wildcards: Wildcards) -> dict[str, Any]:
        made = ablations.pretraining_named(config, dict(wildcards.items())["pretrained"])
        return {
            "start": str(layout.weights(layout.aligned(made.size))),
            "captions": layout.file_source(config, made.corpus),
        }

    return inputs


def choice_inputs(config: Config) -> Callable[[Wildcards], list[str]]:
    """Return the function from the name of a set of captions to all captions that it is chosen from and by."""
    files: dict[str, list[str | Path]] = {
        "captioner": [layout.file_source(config, layout.PRETRAINING_CORPUS)],
        "teacher": [layout.file_source(config, layout.SEED_CAPTIONS)],
        "blind": [layout.manifest("llava-detail23k")],
        "short": [layout.manifest("coco-captions"), layout.manifest("llava-captions")],
    }

    def inputs(wildcards: Wildcards) -> list[str]:
        chosen = ablations.caption_sets(config)[dict(wildcards.items())["captions"]]
        found = files | ({"captioner": [*theirs]} if (theirs := shards_of(config, chosen)) else {})
        return [str(path) for author in sorted(chosen.authors) for path in found[author]]

    return inputs


def shards_of(config: Config, captions: PretrainingCaptions) -> list[Path]:
    """Return all captions by a captioner that only ablations have; none of the run's, which are in its corpus."""
    captioner = ablations.captioner_of(config, captions)
    return [layout.caption_shard(f"{captioner.name}/{shard}") for shard in shards(config)] if captioner else []


def captioner_start_of(config: Config) -> Callable[[Wildcards], str]:
    """Return the function from the name of a captioner to the weights that its training starts from."""

    def inputs(wildcards: Wildcards) -> str:
        captioner = ablations.captioner_named(config, dict(wildcards.items())["captioner"])
        return str(layout.weights(lineage.captioner_start(config, captioner.size)))

    return inputs


def captioner_of_shard(wildcards: Wildcards) -> str:
    """Return the weights of the captioner of a shard by an ablation's: NAME/00000-of-00002."""
    name, _, _ = dict(wildcards.items())["shard"].rpartition("/")
    return str(layout.weights(layout.ablation_captioner(name)))


def rewritten_inputs(config: Config) -> Callable[[Wildcards], list[str]]:
    """Return the function from the name of a mix to the mix and the captions that it is made of."""
    corpus = layout.file_source(config, layout.PRETRAINING_CORPUS)
    return lambda wildcards: [str(ablations.mixes(config)[dict(wildcards.items())["rewritten"]]), corpus]


def scores_of_ablations(config: Config) -> list[str]:
    """Return the scores of every model of the ablations, rows of the table among them, each once."""
    studies = config.ablations.studies.values()
    models = {model.name: None for study in studies for _, model in ablations.variants_of(config, study)}
    return [str(layout.SCORES / model / f"{name}.json") for model in models for name in config.ablations.benchmarks]


def one_of(names: Iterable[str]) -> str:
    """Return the pattern of a wildcard that is one of `names`; of none, one that nothing matches."""
    return "|".join(map(re.escape, names)) or r"(?!)"
