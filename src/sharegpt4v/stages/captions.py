"""Caption one shard of the images of the pre-training corpus with the captioner (paper section 3.3).

Every caption is on disk the moment it exists: after a kill, the same command writes only what is missing.

A shard by a captioner of an ablation has that captioner's name before it: seed-captions-0.1/00000-of-00002.

Example:  s4v stage captions 00000-of-00002
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage
from sharegpt4v.code_hash import code_of
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.generation.engine import about_engine, code_roots
from sharegpt4v.provenance import provenance

if TYPE_CHECKING:
    from sharegpt4v.captions.captioning import GenerationSettings
    from sharegpt4v.config import Config


def run(config: Config, shard: str) -> None:
    """Write data/captions/SHARD.jsonl, and SHARD.provenance.json beside it.

    `shard` says which of how many, such as 00000-of-00002, after the name of a captioner that only ablations have.
    """
    from sharegpt4v.captions.shards import caption_shard, images_of
    from sharegpt4v.images.manifest import read_manifest

    name, _, own = shard.rpartition("/")
    number, count = _parse(own)
    manifests = [read_manifest(layout.manifest(name)) for name in config.captions.sources]
    captioner = layout.ablation_captioner(name) if name else lineage.captioner(config)
    reviewed, code = config.captions.quality.reviewed, code_roots(config.captions.engine, captioner)
    write_json(
        layout.caption_provenance(shard),
        provenance(
            "captions",
            config.captions.model_dump(mode="json", include={"sources", "max_new_tokens", "quality"}),
            None,
            [path for path in (captioner, reviewed and layout.of_project(reviewed)) if path],
            __name__,
            *code,
        )
        | about_engine(config.captions),
    )
    images = [row["path"] for rows in manifests for row in rows if row["status"] == "ok"]
    caption_shard(
        captioner,
        images_of(number, count, images),
        layout.DATA,
        layout.caption_shard(shard),
        generation_settings(config),
        layout.work_of("captions", code_of("captions.captioning", *code), *filter(None, [name])),
        config.captions.quality,
    )


def generation_settings(config: Config) -> GenerationSettings:
    """Return how the config asks the captioner about an image."""
    from sharegpt4v.captions.captioning import GenerationSettings
    from sharegpt4v.captions.rows import read_instruction

    return GenerationSettings(
        read_instruction(layout.of_project(config.captioner.instruction)),
        config.captions.max_new_tokens,
        config.captions,
        config.captioner.recipe.image_aspect_ratio,
    )


def _parse(shard: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-of-(\d+)", shard)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"shard {shard!r}; expected which of how many, counted from 0, such as 00000-of-00002")
    return int(match[1]), int(match[2])
