"""Sections ``teacher.quality`` and ``captions.quality``: what a caption must be like."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sharegpt4v.config.section import Count, Fraction, Section


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
    reviewed: Path | None = Field(
        default=None,
        description="File of verdicts by people, as `s4v review` keeps it: a caption that a person has rejected is "
        "rejected, one that a person has accepted passes, whatever the other keys say. Nothing is captioned again.",
    )
