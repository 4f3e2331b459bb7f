"""Compare the caption data sets: samples, lengths, words, repetitions, beside the paper's numbers (paper table 1).

The table has a row per data set; the folder captions/ beside it gets a table of each, with a row per source.

Example:  s4v stage datasets
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.pipeline.stages import STAGES

if TYPE_CHECKING:
    from sharegpt4v.config import Config

PAPER = Path("config/paper/datasets.csv")


def run(config: Config) -> None:
    """Write results/datasets.csv, one row per data set, in the order of the paper.

    In the miniature the columns of the paper's numbers are empty: nothing there compares with them.
    """
    from sharegpt4v.corpora.statistics import DatasetSource, datasets
    from sharegpt4v.miniature import is_miniature

    rows = [
        DatasetSource("COCO-Caption", "COCO", True, "humans", layout.COCO_CAPTIONS, "coco", "coco", "coco"),
        DatasetSource("BLIP-LCS", "LCS", True, "BLIP", layout.SHORT_CAPTIONS, "llava", "short", "llava"),
        DatasetSource("LLaVA-23K", "COCO", False, "GPT-4", layout.DETAIL_CAPTIONS, "llava", "detail", "coco"),
        DatasetSource("ShareGPT4V", "LCS, COCO, others", True, "the teacher", layout.SEED_CAPTIONS, "llava", "seed"),
        DatasetSource(
            "ShareGPT4V-PT", "LCS, COCO, SAM", True, "the captioner", layout.PRETRAINING_CORPUS, "llava", "pretraining"
        ),
    ]
    paper = None if is_miniature(config) else layout.of_project(PAPER)
    datasets(rows, paper, layout.DATASETS, STAGES["datasets"].processes)
