"""Section ``corpora``: the instruction mixes, and which captions in them are replaced (paper §4.3, §5.4)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sharegpt4v.config.section import CountOrNone, DataPath, Name, Section, SourceName


class Corpora(Section):
    """What becomes of LLaVA's 23K detail captions."""

    instruction_mixes: dict[Name, DataPath] = Field(
        default={
            "llava-158k": Path("sharegpt4v/llava_instruct_158k.json"),
            "llava-665k": Path("sharegpt4v/llava_v1_5_mix665k.json"),
        },
        description="Instruction mixes by the name that `models` uses, each a path under `data/` "
        "(paper: LLaVA's 158K, LLaVA-1.5's 665K).",
    )
    substitution_sources: tuple[SourceName, ...] = Field(
        default=("coco",),
        min_length=1,
        description="Sources of the new captions for models with `substitution: coco`, where as many go out as come in "
        "(paper §5.4: COCO alone).",
    )
    finetuning_sources: dict[SourceName, CountOrNone] = Field(
        default={"coco": 9_002, "llava": 3_000, "sam": 9_000, "small": 1_998},
        description="New captions per source for models with `substitution: all`, where all detail captions go out; "
        "`small` stands for all sources of seed captions that are not named here, together, and what one source lacks "
        "the others give (paper §4.3: COCO 9K, LCS 3K, SAM 9K, small 2K; 23,240 go "
        "out. There are only 1,998 small ones, so COCO gives two more).",
    )
