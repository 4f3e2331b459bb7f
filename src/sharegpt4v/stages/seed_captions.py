"""Ask the teacher, any OpenAI-compatible vision model, for the seed captions (paper section 3.2).

Every reply is on disk the moment it exists: after a kill, the same command asks only for what is missing.

Example:  s4v stage seed_captions
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.teacher import Teacher
    from sharegpt4v.endpoint.settings import ChatSettings


def run(config: Config) -> None:
    """Choose the images by the manifests and caption them."""
    from sharegpt4v.corpora.prompts import PromptBook
    from sharegpt4v.images.manifest import read_manifest
    from sharegpt4v.mini.endpoint import serve
    from sharegpt4v.mini.endpoint_answers import describe_by_hash
    from sharegpt4v.miniature import notice_of
    from sharegpt4v.seed_captions.stage import choose, seed_captions

    teacher = config.teacher
    images = []
    for name, count in teacher.captions.items():
        if count:
            rows = read_manifest(layout.manifest(name), ("path", "sha256", "status"))
            images += choose(rows, name, count, config.seed)
    mini = teacher.base_url == "mini"
    with serve(describe_by_hash(layout.SCENES), model=teacher.model) if mini else nullcontext(teacher.base_url) as url:
        seed_captions(
            images,
            layout.DATA,
            layout.SEED_CAPTIONS,
            layout.WORK / "seed_captions",
            PromptBook.load(layout.of_project(teacher.prompts)),
            settings_of(teacher, url),
            teacher.quality,
            seed=config.seed,
            aesthetic_fraction=teacher.aesthetic_fraction,
            notice=notice_of(config),
        )


def settings_of(teacher: Teacher, base_url: str) -> ChatSettings:
    """Turn the section `teacher` into what the client takes."""
    from sharegpt4v.stages.endpoints import endpoint_settings

    names = ("temperature", "max_tokens", "image_detail", "mode")
    return endpoint_settings(teacher, base_url, **{name: getattr(teacher, name) for name in names})
