"""Qwen's vocabulary, a file of tiktoken, as a fast tokenizer that gives the ids of Qwen's own code.

Special tokens follow the ordinary ones in a fixed order. Between `<img>` and `</img>` Qwen's code has the bytes of an
image's path, and fills up with `<imgpad>`; the model reads the image from there and puts visual tokens in all places.
Here a path is never among the tokens: all places hold `<imgpad>`, and pixels go in by themselves.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError

FILE = "qwen.tiktoken"
END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
IMAGE, IMAGE_END, VISUAL = "<img>", "</img>", "<imgpad>"
SPECIAL = (
    END, TURN, TURN_END, *(f"<|extra_{number}|>" for number in range(205)),
    "<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", IMAGE, IMAGE_END, VISUAL,
)  # fmt: skip
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""How a text is cut before its pieces are encoded, each by itself."""

LONGEST = 2048
_IMAGE_MARKS = re.compile(f"({IMAGE}|{IMAGE_END}|{VISUAL})")


def read_tiktoken(vocabulary: Path, chat_template: str) -> Any:
    """Return the fast tokenizer of a `qwen.tiktoken`; answers end at `<|im_end|>`. `UserError` for another file."""
    from tokenizers import normalizers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    class Converter(TikTokenConverter):
        """One that reads the file itself: tiktoken's own reader may give what was at that path before."""

        @staticmethod
        def load_tiktoken_bpe(tiktoken_url: str) -> dict[bytes, int]:
            return _ranks(Path(tiktoken_url))

    converter: Any = Converter
    tokenizer = converter(str(vocabulary), pattern=PATTERN, extra_special_tokens=list(SPECIAL)).converted()
    tokenizer.normalizer = normalizers.NFC()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END,
        padding_side="left",
        model_max_length=LONGEST,
        extra_special_tokens={"image_token": VISUAL},
        clean_up_tokenization_spaces=False,
        chat_template=chat_template,
    )


def write_tiktoken(tokenizer: Any, vocabulary: Path) -> None:
    """Write the ordinary tokens of a tokenizer as `read_tiktoken` reads them."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    ranks = {id: token for token, id in tokenizer.get_vocab().items() if token not in SPECIAL}
    lines = [
        base64.b64encode(bytes(byte_of[letter] for letter in ranks[rank])) + b" %d\n" % rank for rank in sorted(ranks)
    ]
    vocabulary.write_bytes(b"".join(lines))


def text_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Encode texts, each by itself; a mark of images in one, as in a question about HTML, is text like any other.

    Qwen's code ends at such a mark. Other special tokens keep their meaning, as there.
    """
    if not texts:
        return []
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [
        _around_marks(tokenizer, text) if _IMAGE_MARKS.search(text) else ids
        for text, ids in zip(texts, found, strict=True)
    ]


def _around_marks(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = []
    for piece in _IMAGE_MARKS.split(text):
        is_mark = _IMAGE_MARKS.fullmatch(piece) is not None
        ids += tokenizer(piece, add_special_tokens=False, split_special_tokens=is_mark)["input_ids"]
    return ids


def _ranks(vocabulary: Path) -> dict[bytes, int]:
    """Read lines of a token in base64 and its rank, from 0 on, every byte among them; `UserError` for other files."""
    try:
        pairs = [line.split() for line in vocabulary.read_bytes().splitlines() if line]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    except (OSError, ValueError) as error:
        raise UserError(f"{vocabulary}: cannot be read ({error}); expected Qwen's vocabulary, {FILE}") from None
    if [*ranks.values()] != [*range(len(pairs))] or not {bytes([byte]) for byte in range(256)} <= ranks.keys():
        raise UserError(f"{vocabulary}: not a vocabulary of tiktoken; expected ranks from 0 on, and a token per byte")
    return ranks
