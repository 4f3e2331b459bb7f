"""MMBench-CN in the synthetic world: MMBench's own questions on its own pictures, in Chinese, as in the real one.

What is written in a picture stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from sharegpt4v.evaluation.benchmarks.mmbench_cn import TSV
from sharegpt4v.evaluation.benchmarks.mmbench_file import LETTERS
from sharegpt4v.mini.describe import COUNTS
from sharegpt4v.mini.evaluation.mmbench import Row, rounds, tsv_bytes
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.scene import ART_STYLES, BACKGROUNDS, CELEBRITIES, COLOURS, LANDMARKS, PLACES, SHAPES, SIZES

QUESTION = "下列哪一项在图像中？"
OPTIONS = {
    english: chinese
    for group, words in (
        (BACKGROUNDS, "夜晚 雾 沙漠 大海"),
        (COUNTS, "没有物体 一个物体 两个物体 三个物体 四个物体"),
        (SHAPES, "圆形 正方形 三角形 十字形"),
        (COLOURS, "红色 绿色 蓝色 黄色 紫色 白色"),
        (SIZES, "小 大"),
        (PLACES, "左上 右上 左下 右下"),
        (CELEBRITIES, "米拉·维尔 奥多·芬奇 莱娜·斯塔克 雨果·布兰特"),
        (LANDMARKS, "针塔 双拱门 珍珠圆顶 阶梯神庙"),
        (ART_STYLES, "线条主义 点彩主义 波浪主义 网格主义"),
    )
    for english, chinese in zip(group, words.split(), strict=True)
}


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the one file: the rows of the English one, translated."""
    yield TSV, tsv_bytes(translated(row) for row in rounds(questions, seed, pixels))


def translated(row: Row) -> Row:
    """A row of the English file in Chinese."""
    options = {letter: OPTIONS.get(row[letter], row[letter]) for letter in LETTERS if letter in row}
    return {**row, "question": QUESTION, **options}
