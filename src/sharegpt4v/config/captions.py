"""Section ``captions``: the captioner writes the pre-training captions, shard by shard (paper §3.3: 1.2 million)."""

from __future__ import annotations

from pydantic import Field

from sharegpt4v.config.generation import Generation
from sharegpt4v.config.quality import Quality
from sharegpt4v.config.section import Count, SourceName


class Captions(Generation):
    """Which images the captioner describes, and in what portions."""

    sources: tuple[SourceName, ...] = Field(
        default=("llava", "coco", "sam"),
        min_length=1,
        description="Sources whose images are all captioned (paper §3.3: LCS, COCO, SAM).",
    )
    shard_rows: Count = Field(default=10_000, description="Images per shard: the unit of jobs, files and resuming.")
    batch_size: Count = Field(default=32, description="Images captioned at a time on one device, by `local`.")
    max_new_tokens: Count = Field(default=500, description="Longest caption, in tokens (paper's released tool: 500).")
    upright_photographs: bool = Field(
        default=True,
        description="Whether `s4v caption` turns the photographs of a folder upright by their EXIF data, as people see "
        "them. Images of the corpora, `sources.folder_sources` too, and of the benchmarks are read as they are stored, "
        "as in the paper's code.",
    )
    quality: Quality = Field(default=Quality(), description="What a caption must be like.")
