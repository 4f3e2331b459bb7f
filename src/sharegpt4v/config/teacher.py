"""Section ``teacher``: the vision model that writes the seed captions (paper §3.2), and what a caption must be like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sharegpt4v.config.section import Count, CountOrNone, Fraction, Positive, Section, SourceName, Text

Address = Annotated[
    str,
    Field(
        pattern=r"^(mini|https?://\S+)$",
        json_schema_extra={"patternErrorMessage": "'mini' or an address that begins with http:// or https://"},
    ),
]
VariableName = Annotated[
    str,
    Field(
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        json_schema_extra={"patternErrorMessage": "the name of an environment variable such as OPENAI_API_KEY"},
    ),
]


LONGEST_WAIT = Field(
    default=600,
    description="Seconds to wait at most when the endpoint asks to come back later. Up to ten such waits of a request "
    "are no attempts.",
)


class Quality(Section):
    """The gate that captions pass before anything is trained on them. The paper publishes none; the limits are ours."""

    shortest_characters: Count = Field(default=80, description="Shorter captions are rejected, in characters.")
    longest_characters: Count = Field(
        default=4000, description="Longer captions are rejected, in characters (the paper's average is 942, table 1)."
    )
    overlap_words: Count = Field(
        default=12, description="This many words in a row out of the prompt are an echo of it."
    )
    loops: Count = Field(default=4, description="The same words this many times over are a loop.")
    most_copies: Count = Field(default=3, description="Images that may have the very same caption before all lose it.")
    largest_rejected_fraction: Fraction = Field(
        default=0.05, description="Share of captions that may be rejected before the run stops."
    )


class Budget(Section):
    """The limit for paid endpoints. A request counts with the most that it can cost until its reply is there, and for
    good when no usable reply comes or the endpoint does not say how many tokens it bills."""

    limit_usd: Positive = Field(
        description="No request is sent that could pass this, in US dollars, together with all replies so far and all "
        "requests under way."
    )
    image_tokens: Count | None = Field(
        default=None,
        description="The most tokens that one image can be billed for, by the endpoint's documentation. null: as "
        "`config/prices.tsv` says for the model and `image_detail`.",
    )
    prompt_usd_per_million: float = Field(ge=0, description="Price of a million prompt tokens, in US dollars.")
    completion_usd_per_million: float = Field(ge=0, description="Price of a million reply tokens, in US dollars.")


class Teacher(Section):
    """GPT4-Vision in the paper; any endpoint that speaks the OpenAI protocol here."""

    base_url: Address = Field(
        description="Address of an OpenAI-compatible endpoint, without user, password, key or query; `mini` starts the "
        "synthetic world's own on this machine."
    )
    model: Text = Field(description="Name of the model, as the endpoint calls it (paper §3.2: GPT4-Vision).")
    api_key_variable: VariableName | None = Field(
        default=None,
        description="Name of the environment variable that holds the key; never the key itself. null: no key.",
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
    concurrency: Count = Field(
        default=8, description="Requests under way at a time; at least requests per second times seconds of a reply."
    )
    requests_per_minute: Count | None = Field(default=None, description="Limit on requests per minute. null: no limit.")
    tokens_per_minute: Count | None = Field(
        default=None, description="Limit on tokens of prompts and replies per minute. null: no limit."
    )
    timeout_seconds: Positive = Field(
        default=120, description="Seconds after which one request is given up that has no whole reply."
    )
    longest_wait_seconds: Positive = LONGEST_WAIT
    attempts: Count = Field(default=6, description="Attempts per image, the first one counted.")
    budget: Budget | None = Field(default=None, description="Prices and a limit on what is spent. null: no limit.")
    aesthetic_fraction: Fraction = Field(
        default=0.1, description="Share of images that are also asked about their aesthetics (paper §3.2 says: a part)."
    )
    prompts: Path = Field(description="Path of the folder that holds the prompt's blocks (paper §3.2, figure 3).")
    captions: dict[SourceName, CountOrNone] = Field(
        description="Seed captions to ask for, per source (paper §3.2: 102,025 in all; COCO 50K, LCS 30K, SAM 20K, "
        "TextCaps, WikiArt, landmarks and celebrities 500 each)."
    )
    quality: Quality = Field(default=Quality(), description="What a seed caption must be like.")
