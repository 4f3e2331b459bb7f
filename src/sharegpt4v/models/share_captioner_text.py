"""Share-Captioner's vocabulary and prompt: InternLM's sentencepiece model, and one turn of a user (paper section 3.3).

Source: `share-cap_batch_infer.py` of the authors' repository. It encodes what stands before the image and what stands
after it each by itself, the first with the begin mark: `<|User|>:`, 258 vectors of the image, then the instruction, the
mark that ends a human turn, a new line and `<|Bot|>:`. The answer ends with the mark that ends a turn of the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.models.llama_tokenizer import (
    BEGIN,
    CHECKED_TEXTS,
    END,
    NORMAL,
    UNKNOWN,
    merges_of,
    read_model,
    sentencepiece_decoder,
)

USER, BOT = "<|User|>:", "<|Bot|>:"
END_OF_HUMAN, END_OF_ANSWER = "<TOKENS_UNUSED_0>", "<TOKENS_UNUSED_1>"  # ids 103027 and 103028 of the published model
USER_DEFINED, BYTE = 4, 6  # types of pieces in a sentencepiece model


def prompt_ids(tokenizer: Any, question: str, image_positions: int) -> list[int]:
    """Return the ids that the model continues, with `image_positions` times `image_id`; none for a text alone."""
    before = tokenizer(USER, add_special_tokens=False)["input_ids"]
    after = tokenizer(f"{question}{END_OF_HUMAN}\n{BOT}", add_special_tokens=False)["input_ids"]
    return [tokenizer.bos_token_id, *before, *[image_id(tokenizer)] * image_positions, *after]


def image_id(tokenizer: Any) -> int:
    """Return the id that stands for a vector of an image: the first that is no token."""
    return len(tokenizer)


def read_tokenizer(folder: Path) -> Any:
    """Return the fast tokenizer of a published folder: its `tokenizer.model`, then its `added_tokens.json`.

    It adds no begin mark; its end mark is that of an answer. A `UserError` when a text is encoded otherwise than by
    sentencepiece, or when a mark of the prompt is not one id.
    """
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    model_file = folder / "tokenizer.model"
    if not model_file.is_file():
        raise UserError(
            f"{model_file}: not there; expected the sentencepiece model that is published beside the weights"
        )
    model = read_model(model_file)
    pieces = list(model.pieces)
    vocabulary = {piece.piece: number for number, piece in enumerate(pieces)}
    merges = merges_of(vocabulary, {piece.piece: piece.score for piece in pieces if piece.type == NORMAL})
    has_bytes = any(piece.type == BYTE for piece in pieces)
    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=has_bytes))
    whole = [piece.piece for piece in pieces if piece.type == USER_DEFINED]
    tokenizer.normalizer = _normaliser(model.normalizer_spec.add_dummy_prefix, whole)
    tokenizer.decoder = sentencepiece_decoder()
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False) for mark in (UNKNOWN, BEGIN, END)])
    tokenizer.add_tokens([AddedToken(piece, normalized=True) for piece in whole])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in _added(folder, len(pieces))])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END_OF_ANSWER,
        pad_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    _compare(fast, model_file, len(pieces))
    return fast


def _added(folder: Path, first: int) -> list[str]:
    """Return the texts of `added_tokens.json`, whose ids have to follow those of the sentencepiece model."""
    path = folder / "added_tokens.json"
    added = read_json(path) if path.is_file() else {}
    texts = sorted(added, key=added.__getitem__)
    if [added[text] for text in texts] != list(range(first, first + len(texts))):
        raise UserError(f"{path}: ids {sorted(added.values())}; expected those from {first} on, in a row")
    return texts


def _normaliser(begins_with_blank: bool, whole: Sequence[str]) -> Any:
    """Return what sentencepiece does to a text before it looks for pieces: maybe a blank at its start, blanks as `▁`.

    The pieces `whole` are looked for in the normalised text, and are normalised for that themselves: a text that is one
    of them gets no blank.
    """
    from tokenizers import Regex, normalizers

    marks = "|".join(map(re.escape, whole))
    return normalizers.Sequence(
        [
            *([normalizers.Prepend("▁")] if begins_with_blank else []),
            *([normalizers.Replace(Regex(rf"\A▁(?=(?:{marks})\z)"), "")] if whole else []),
            normalizers.Replace(" ", "▁"),
        ]
    )


def _compare(tokenizer: Any, model_file: Path, pieces: int) -> None:
    """Refuse a conversion that encodes a text otherwise than sentencepiece, or that has no marks for the prompt."""
    from sentencepiece import SentencePieceProcessor

    original = SentencePieceProcessor(model_file=str(model_file))
    vocabulary = tokenizer.get_vocab()
    for mark in (END_OF_HUMAN, END_OF_ANSWER):
        decoded = original.decode([vocabulary[mark]]) if vocabulary.get(mark, pieces) < pieces else ""
        if vocabulary.get(mark) not in original.encode(f"a cat.{decoded}\n{BOT}") or decoded != mark:
            raise UserError(
                f"{model_file}: {mark} does not come back as one id when its text is encoded, as the prompt of "
                "Share-Captioner needs it; expected the tokenizer.model of Lin-Chen/ShareCaptioner"
            )
    for text in (*CHECKED_TEXTS, USER, f"What is it?{END_OF_HUMAN}\n{BOT}", f"A cat. {END_OF_ANSWER}"):
        found, expected = tokenizer(text, add_special_tokens=False)["input_ids"], original.encode(text)
        if found != expected:
            raise UserError(
                f"{model_file}: the text {text!r} becomes the ids {found}, by sentencepiece {expected}; this "
                "vocabulary cannot be converted"
            )
