"""What the sections ``teacher`` and ``judge`` share: how an OpenAI-compatible endpoint is reached, how hard it may be
pressed, and what it may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sharegpt4v.config.section import Count, Positive, Section, Text

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

    def usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return what so many tokens cost, in US dollars."""
        return (prompt_tokens * self.prompt_usd_per_million + completion_tokens * self.completion_usd_per_million) / 1e6


class Endpoint(Section):
    """An endpoint that speaks the OpenAI protocol."""

    base_url: Address = Field(
        default="https://api.openai.com/v1",
        description="Address of an OpenAI-compatible endpoint, without user, password, key or query; `mini` starts the "
        "synthetic world's own on this machine.",
    )
    model: Text = Field(description="Name of the model, as the endpoint calls it.")
    api_key_variable: VariableName | None = Field(
        default="OPENAI_API_KEY",
        description="Name of the environment variable that holds the key; never the key itself. null: no key.",
    )
    concurrency: Count = Field(
        default=16, description="Requests under way at a time; at least requests per second times seconds of a reply."
    )
    requests_per_minute: Count | None = Field(default=None, description="Limit on requests per minute. null: no limit.")
    tokens_per_minute: Count | None = Field(
        default=None, description="Limit on tokens of prompts and replies per minute. null: no limit."
    )
    timeout_seconds: Positive = Field(
        default=60, description="Seconds after which one request is given up that has no whole reply."
    )
    longest_wait_seconds: Positive = Field(
        default=600,
        description="Seconds to wait at most when the endpoint asks to come back later. Up to ten such waits of a "
        "request are no attempts.",
    )
    attempts: Count = Field(default=6, description="Attempts per request, the first one counted.")
    budget: Budget | None = Field(
        default=None,
        description="Prices and a limit on what one run may spend: on all seed captions, or on the verdicts on one "
        "model's answers to one benchmark. null: no limit.",
    )
