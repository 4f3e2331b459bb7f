"""Make an instruction mix in which seed captions replace detail captions (paper sections 4.3 and 5.4).

The name is MIX+coco, where MIX is one of corpora.instruction_mixes of the config and captions of
corpora.substitution_sources come in (section 5.4), or MIX+all, with those of corpora.finetuning_sources (section 4.3);
llava-665k+all has the published name.

Examples:  s4v stage instruction_mix llava-665k+coco
           s4v stage instruction_mix sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config

DETAIL_QUESTIONS = Path("config/prompts/detail_questions.txt")


def run(config: Config, corpus: str) -> None:
    """Write data/sharegpt4v/CORPUS.json, its counts and its provenance."""
    from sharegpt4v.corpora.rows import read_questions
    from sharegpt4v.corpora.substitution import substitute

    known = layout.substituted(config)
    if corpus not in known:
        raise UserError(f"instruction mix {corpus!r}; expected one of {', '.join(known)}")
    mix, substitution = known[corpus]
    substitute(
        layout.DATA / config.corpora.instruction_mixes[mix],
        layout.DETAIL_CAPTIONS,
        layout.SEED_CAPTIONS,
        config.corpora.substitution_sources if substitution == "coco" else config.corpora.finetuning_sources,
        read_questions(layout.of_project(DETAIL_QUESTIONS)),
        config.seed,
        layout.corpus(mix, substitution),
    )
