"""The synthetic world's words in Chinese: MMBench-CN asks with them, and a few rounds of training do.

Of the paper's models, the language model and LLaVA's mix bring some Chinese along (sections 4.1 and 4.3).
"""

from __future__ import annotations

from sharegpt4v.mini.describe import COUNTS
from sharegpt4v.mini.scene import (
    ART_STYLES,
    BACKGROUNDS,
    CELEBRITIES,
    COLOURS,
    FLAWS,
    LANDMARKS,
    PLACES,
    SHAPES,
    SIZES,
)

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
        (FLAWS, "模糊 噪点 过曝 过暗"),
    )
    for english, chinese in zip(group, words.split(), strict=True)
}


def said(word: str) -> str:
    """A word of an answer in Chinese; what is written in a picture stays as it is."""
    return OPTIONS.get(word, word)
