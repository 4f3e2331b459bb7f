"""Vicuna's vocabulary as a fast tokenizer that gives LLaVA's ids (paper section 4.1; LLaVA's `tokenizer_image_token`).

Vicuna v1.5 ships a sentencepiece model alone. LLaVA cuts a text at `<image>` and encodes each piece by itself, so a
piece begins with a blank that the text does not have: `▁The`, and `▁`, newline after `<image>`. What follows `</s>` has
no such blank. The normaliser here does the same on the whole text, so that whoever loads the folder (transformers,
vLLM) gets the ids of the training without code of this project.

Source of the order of merges: sentencepiece's BPE takes the pair whose piece has the highest score, of equal ones the
leftmost. All runs of blanks have one score, so a run grows from its left end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.models.loading import refused_in_one_line

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
NORMAL = 1  # the type of an ordinary piece in a sentencepiece model
BPE_MODEL = 2  # of its kinds of models
LAST = -1e9  # the score of runs of blanks
BYTE = re.compile("<0x[0-9A-F]{2}>")
CHECKED_TEXTS = (
    " ", "A cat.", " A cat", "a  b   c    d", "\n    work", "\n     work\n\tdone  ", "\n\n", " " * 40 + "x" + " " * 17,
    "USER: What's in the image? ASSISTANT:", "def f(x):\n        return x ** 2  # squared\n", "1234567890 3.14 2,000",
    "“quotes” … – em—dash", "Ünïcödé é e\u0301", "猫が好き 中文字符", "Привет, мир", "مرحبا", "😀👩‍👩‍👧 emoji", "▁_▁ _",
    "\r\n\x00\x7f",    "https://example.org/a_b?c=d&e=%20f",
    "<image", "< s>", "aaaaaaaaaaaaaaaaaaaaaaa", "-----=====*****", "O'Neill's",
)  # fmt: skip
"""Encoded by sentencepiece itself at import, to be compared."""


def read_sentencepiece(model_file: Path, image_mark: str) -> Any:
    """Return the fast tokenizer of a `tokenizer.model`, with `image_mark` after its last id; unknown text is padding.

    It adds no begin mark. `UserError` when the file is no BPE model of sentencepiece, or when a text is encoded
    otherwise than by sentencepiece.
    """
    pieces = read_pieces(model_file)
    vocabulary = {piece.piece: number for number, piece in enumerate(pieces)}
    scores = {piece.piece: piece.score for piece in pieces if piece.type == NORMAL}
    fast = _fast(vocabulary, merges_of(vocabulary, scores), image_mark)
    _compare(fast, model_file, image_mark)
    return fast


def read_tokenizer_json(file: Path, image_mark: str) -> Any:
    """Return the same of a `tokenizer.json` into which somebody has converted a `tokenizer.model`.

    Only the vocabulary is taken, and the merges are ordered by it: transformers puts those of blanks first, where
    sentencepiece has them last. The normaliser there puts no blank after `<image>`. `UserError` when the file is no BPE
    of Llama's kind.
    """
    found = read_json(file)
    with refused_in_one_line(file):
        model = found["model"]
        vocabulary: dict[str, int] = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
        if not model["byte_fallback"] or not {UNKNOWN, BEGIN, END} <= vocabulary.keys():
            raise UserError(
                f"{file}: not Llama's vocabulary; expected the tokenizer.json of a LLaVA, or tokenizer.model"
            )
        scores = {
            piece: LAST if set(piece) == {"▁"} else -float(number)
            for piece, number in vocabulary.items()
            if piece not in (UNKNOWN, BEGIN, END) and not BYTE.fullmatch(piece)
        }
        return _fast(vocabulary, merges_of(vocabulary, scores), image_mark)


def piece_count(model_file: Path) -> int:
    """Return how many pieces a `tokenizer.model` has: the rows of the embeddings that are text."""
    return len(read_pieces(model_file))


def _fast(vocabulary: dict[str, int], merges: list[tuple[str, str]], image_mark: str) -> Any:
    """Put a fast tokenizer together that gives LLaVA's ids."""
    from tokenizers import AddedToken, Regex, Tokenizer, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = _normaliser(image_mark)
    if not any(re.search("[^▁]▁", piece) for piece in vocabulary):
        # No piece goes on over a blank, so each word is encoded by itself, known ones looked up: a few times faster.
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁+[^▁]*|[^▁]+"), "isolated")
    tokenizer.decoder = sentencepiece_decoder()
    # The marks are looked for in the normalised text, for the normaliser has to see what is beside them.
    marks = [AddedToken(mark, normalized=True, special=True) for mark in (UNKNOWN, BEGIN, END, image_mark)]
    tokenizer.add_special_tokens(marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=UNKNOWN,
        padding_side="left",
        extra_special_tokens={"image_token": image_mark},
        clean_up_tokenization_spaces=False,
    )


def without_mark(tokenizer: Any, image_mark: str) -> Any:
    """Return a copy of a fast tokenizer to which `image_mark` is text like any other, as in rows of text alone."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] != image_mark]
    copy = Tokenizer.from_str(json.dumps(state))
    if copy.normalizer is not None:
        copy.normalizer = _normaliser()
    return PreTrainedTokenizerFast(tokenizer_object=copy, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token)


def _normaliser(*image_marks: str) -> Any:
    """Put the blank where LLaVA's pieces have it: at the start (after a begin mark) and after an image mark."""
    from tokenizers import Regex, normalizers

    mark = "|".join((UNKNOWN, BEGIN, END, *image_marks))
    nothing_follows = rf"(?={mark}|\z)"
    something_follows = rf"(?!{mark}|\z)"
    return normalizers.Sequence(
        [
            normalizers.Prepend("▁"),
            normalizers.Replace(Regex(rf"\A▁{nothing_follows}"), ""),
            normalizers.Replace(Regex(rf"\A{BEGIN}{something_follows}"), f"{BEGIN}▁"),
            *(normalizers.Replace(Regex(f"{image}{something_follows}"), f"{image}▁") for image in image_marks),
            normalizers.Replace(" ", "▁"),
        ]
    )


def sentencepiece_decoder() -> Any:
    """Return what makes text of pieces: blanks for `▁`, bytes joined, without the blank at the start."""
    from tokenizers import decoders

    return decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )


def read_pieces(model_file: Path) -> list[Any]:
    """Return the pieces of a BPE model of sentencepiece, by their ids; a `UserError` for any other file."""
    return list(read_model(model_file).pieces)


def read_model(model_file: Path) -> Any:
    """Return a BPE model of sentencepiece, as its protocol buffer; a `UserError` for any other file."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        model.ParseFromString(model_file.read_bytes())
    except DecodeError:
        raise UserError(f"{model_file}: not a sentencepiece model; expected the one that Vicuna ships") from None
    if model.trainer_spec.model_type != BPE_MODEL:
        raise UserError(f"{model_file}: not a BPE model of sentencepiece; expected one, as Llama's and Vicuna's is")
    return model


def merges_of(vocabulary: Mapping[str, int], scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, best first; of equal scores the one that makes the left part longest.

    `scores` are those of the ordinary pieces, in the order of the vocabulary.
    """
    ranked = [
        (-score, -cut, piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    ranked.sort(key=lambda pair: pair[:2])
    return [(left, right) for *_, left, right in ranked]


def _compare(tokenizer: Any, model_file: Path, image_mark: str) -> None:
    """Refuse a conversion that encodes a text otherwise than sentencepiece, piece by piece, does."""
    from sentencepiece import SentencePieceProcessor

    original = SentencePieceProcessor(model_file=str(model_file))
    image_id = tokenizer.convert_tokens_to_ids(image_mark)
    for text in CHECKED_TEXTS:
        for whole, expected in (
            (text, original.encode(text)),
            (f"{image_mark}{text}", [image_id, *original.encode(text)]),
            (f"a {image_mark}\n{text}", [*original.encode("a "), image_id, *original.encode(f"\n{text}")]),
            (f"{BEGIN}{text}", [original.bos_id(), *original.encode(text)]),
        ):
            found = tokenizer(whole, add_special_tokens=False)["input_ids"]
            if found != expected:
                raise UserError(
                    f"{model_file}: the text {whole!r} becomes the ids {found}, by sentencepiece {expected}; "
                    "this vocabulary cannot be converted"
                )
