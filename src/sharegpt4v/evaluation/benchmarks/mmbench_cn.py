"""MMBench in Chinese, dev 20231003 (column MMBench-CN): the questions of MMBench, translated (4,329 rows).

Source: as for MMBench, whose rules are these too; LLaVA's model_vqa_mmbench.py with `--lang cn` for the prompt. The
number of rows is that of the copy at huggingface.co/datasets/lmms-lab/MMBench_CN.

Files: `mmbench_dev_cn_20231003.tsv` in `mmbench_cn/`, or beside the English file in `mmbench/`; the same columns.

Prompt: as in MMBench, with the closing sentence in Chinese; at most 1,024 new tokens, padded image.

Score: circular exact matching, as in MMBench. Standard error: binomial, over questions.

Traps: those of MMBench; and Chinese is written without blanks, so the letter in "答案是B" is no word of its own and is
not read, nor is the one in "B。".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.evaluation.base import Answer, Question, Score, Submission
from sharegpt4v.evaluation.benchmarks.mmbench import read_questions, score_rows
from sharegpt4v.evaluation.benchmarks.mmbench_file import spreadsheet
from sharegpt4v.evaluation.reading import find

TSV = "mmbench_dev_cn_20231003.tsv"
LETTER_PROMPT = "请直接回答选项字母。"


def questions(data: Path) -> list[Question]:
    """Read one question per row, rotations included."""
    return read_questions(_file(data), LETTER_PROMPT)


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by circular exact matching."""
    return score_rows(_file(data), "MMBench-CN", answers)


def submission(data: Path, answers: Sequence[Answer]) -> Submission:
    """Return the spreadsheet that the evaluation server takes."""
    return spreadsheet(_file(data), answers)


def _file(data: Path) -> Path:
    return find(data.parent, f"{data.name}/{TSV}", f"mmbench/{TSV}")
