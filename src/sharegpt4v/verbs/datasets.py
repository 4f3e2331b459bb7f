"""Compare the caption data sets: samples, lengths, words, repetitions, beside the paper's numbers (paper table 1).

The table has a row per data set; the folder captions/ beside it gets a table of each, with a row per source.

Example:  s4v datasets
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_path


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_path(parser, "--out", layout.RESULTS / "datasets.csv", "the table to write")
    parser.add_argument(
        "--processes", type=int, default=len(os.sched_getaffinity(0)), metavar="NUMBER",
        help="how many count at a time (default: one per core)",
    )  # fmt: skip


def run(options: Namespace) -> None:
    """One row per data set, in the order of the paper."""
    from sharegpt4v.corpora.statistics import DatasetSource, datasets

    rows = [
        DatasetSource("COCO-Caption", "COCO", True, "humans", layout.COCO_CAPTIONS, "coco", "coco", "coco"),
        DatasetSource("BLIP-LCS", "LCS", True, "BLIP", layout.SHORT_CAPTIONS, "llava", "short", "llava"),
        DatasetSource("LLaVA-23K", "COCO", False, "GPT-4", layout.DETAIL_CAPTIONS, "llava", "detail", "coco"),
        DatasetSource("ShareGPT4V", "LCS, COCO, others", True, "the teacher", layout.SEED_CAPTIONS, "llava", "seed"),
        DatasetSource(
            "ShareGPT4V-PT", "LCS, COCO, SAM", True, "the captioner", layout.PRETRAINING_CORPUS, "llava", "pretraining"
        ),
    ]
    datasets(rows, layout.of_project(Path("config/paper/datasets.csv")), options.out, options.processes)
