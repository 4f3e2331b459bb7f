"""Write an instruction mix whose seed captions the captioner has written anew, for an ablation.

Images that it has not described keep the teacher's caption.

Example:  s4v stage ablation_mix llava-665k+coco_captioner
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, rewritten: str) -> None:
    """Write data/sharegpt4v/ablations/REWRITTEN.json."""
    from sharegpt4v import ablations
    from sharegpt4v.corpora.caption_choice import rewrite_mix

    known = ablations.mixes(config)
    if rewritten not in known:
        raise UserError(f"mix {rewritten!r}; expected one of {', '.join(known) or 'none: no ablation has one'}")
    rewrite_mix(known[rewritten], layout.PRETRAINING_CORPUS, layout.ablation_corpus(rewritten))
