"""The formats and columns of an exported data set: what each holds, and its type for `datasets` and pyarrow.

There are two kinds of sets: captions, each with its verdict, and conversations in LLaVA's form. A text that is not
known is empty and never null, so that a reader that infers types from the first rows infers the right ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import datasets

Row = dict[str, Any]
Kind = Literal["captions", "conversations"]

PARQUET, WEBDATASET, LLAVA = "parquet", "webdataset", "llava"
FORMATS = (PARQUET, WEBDATASET, LLAVA)
IMAGE = "image"
CONVERSATIONS = "conversations"
TURN = {"from": "human or gpt", "value": "what is said; <image> stands for the image"}
COLUMNS: Mapping[Kind, Mapping[str, str]] = {
    "captions": {
        "image_path": "the image: its path below data/, as in the paper's folders",
        "source": "the first folder of that path: coco, llava, sam, ...",
        "sha256": "SHA-256 of the image file; empty where nobody recorded it",
        "caption": "the caption",
        "status": "accepted or rejected, by the quality gate",
        "reason": "why it was rejected; empty when it is accepted",
        "prompt_hash": "the prompt of a seed caption, by the hash that its file of prompts has; else empty",
        "model": "the teacher of a seed caption; else empty",
    },
    "conversations": {
        "id": "the id of the row",
        "image_path": "the image: its path below data/, as in the paper's folders; empty where there is none",
        "source": "the first folder of that path: coco, llava, sam, ...; text where there is no image",
        CONVERSATIONS: "the turns: a list of from (human or gpt) and value (the text)",
    },
}
IMAGE_ABOUT = "the image file, byte for byte; nothing where the row has none"


def features_of(kind: Kind, images: bool) -> datasets.Features:
    """Return the columns of a kind of set as `datasets` has them, the image last when it is in the set."""
    from datasets import Features, Image, List, Value

    text = Value("string")
    turns = List({name: text for name in TURN})
    columns: dict[str, Any] = {name: turns if name == CONVERSATIONS else text for name in COLUMNS[kind]}
    return Features(columns | ({IMAGE: Image()} if images else {}))
