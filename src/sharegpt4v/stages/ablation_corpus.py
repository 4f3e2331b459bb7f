"""Choose the captions of an ablation's pre-training: whose, of which images, how many (paper table 5, figure 6).

The name follows from the variant in the config.

Example:  s4v stage ablation_corpus captioner_share-0.5
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, captions: str) -> None:
    """Write data/sharegpt4v/ablations/CAPTIONS.json."""
    from sharegpt4v import ablations
    from sharegpt4v.corpora.caption_choice import write_choice
    from sharegpt4v.corpora.rows import read_questions
    from sharegpt4v.pipeline.ablation_targets import shards_of

    known = ablations.caption_sets(config)
    if captions not in known:
        raise UserError(f"captions {captions!r}; expected one of {', '.join(known) or 'none: no ablation has some'}")
    chosen = known[captions]
    by_captioner = shards_of(config, chosen) or [layout.PRETRAINING_CORPUS]
    files: dict[str, list[tuple[Path, str]]] = {
        "captioner": [(path, "") for path in by_captioner],
        "teacher": [(layout.SEED_CAPTIONS, "")],
        "blind": [(layout.DETAIL_CAPTIONS, "")],
        "short": [(layout.COCO_CAPTIONS, "coco/train2017"), (layout.SHORT_CAPTIONS, "llava/llava_pretrain/images")],
    }
    questions = read_questions(layout.of_project(config.teacher.prompts) / "questions.txt")
    write_choice(
        files,
        chosen.author,
        chosen.described_by,
        chosen.sources,
        chosen.share,
        questions,
        config.seed,
        layout.ablation_corpus(captions),
    )
