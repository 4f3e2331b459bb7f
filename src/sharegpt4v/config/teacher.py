"""Section ``teacher``: the vision model that writes the seed captions (paper §3.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sharegpt4v.config.endpoint import Budget, Endpoint
from sharegpt4v.config.quality import Quality
from sharegpt4v.config.section import Count, CountOrNone, Fraction, SourceName, Text


class Teacher(Endpoint):
    """GPT4-Vision in the paper; any endpoint that speaks the OpenAI protocol here."""

    model: Text = Field(
        default="gpt-4o",
        description="Name of the model, as the endpoint calls it. GPT4-Vision in the paper (§3.2); it is gone, and its "
        "version was never told.",
    )
    budget: Budget | None = Field(
        default=Budget(limit_usd=1000, prompt_usd_per_million=2.5, completion_usd_per_million=10),
        description="Prices (`config/prices.tsv` has more) and a limit on what all seed captions may cost. null: no "
        "limit.",
    )
    temperature: float = Field(
        default=0.2, ge=0, le=2, description="Sampling temperature. The paper does not state its own."
    )
    max_tokens: Count = Field(default=1024, description="Longest reply, in tokens. The paper does not state its own.")
    image_detail: Literal["high", "low", "auto"] = Field(
        default="high", description="How finely the endpoint looks at an image; it sets the price."
    )
    mode: Literal["direct", "batch"] = Field(
        default="direct",
        description="`batch` hands files of requests to OpenAI's Batch API: answered within a day, at a lower price. "
        "It may change in the middle of a run.",
    )
    aesthetic_fraction: Fraction = Field(
        default=0.1, description="Share of images that are also asked about their aesthetics (paper §3.2 says: a part)."
    )
    prompts: Path = Field(
        default=Path("config/prompts/teacher"),
        description="Path of the folder that holds the prompt's blocks (paper §3.2, figure 3).",
    )
    captions: dict[SourceName, CountOrNone] = Field(
        default={
            "coco": 50_027,
            "llava": 30_000,
            "sam": 20_000,
            "web-celebrity": 498,
            "web-landmark": 500,
            "wikiart": 500,
            "share_textvqa": 500,
        },
        description="Seed captions to ask for, per source (paper §3.2: 102,025 in all; COCO 50K, LCS 30K, SAM 20K, "
        "TextCaps, WikiArt, landmarks and celebrities 500 each; COCO and LCS are published together only, 80,027).",
    )
    quality: Quality = Field(default=Quality(), description="What a seed caption must be like.")
