"""Join the captions of all shards that passed the quality gate into the pre-training corpus (paper section 3.3).

Example:  s4v stage pretraining_corpus
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Write the corpus below data/sharegpt4v/, its counts and its provenance."""
    from sharegpt4v.corpora.pretraining import pretraining_corpus
    from sharegpt4v.corpora.rows import read_questions
    from sharegpt4v.pipeline.targets import shards

    files = [layout.caption_shard(shard) for shard in shards(config)]
    questions = read_questions(layout.of_project(config.teacher.prompts) / "questions.txt")
    pretraining_corpus(files, layout.PRETRAINING_CORPUS, questions, config.seed)
