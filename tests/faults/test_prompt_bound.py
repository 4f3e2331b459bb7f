"""No tokenizer makes more tokens of a prompt than the budget counts with, whatever language it is in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from harness import Outcomes, many_cases
from sharegpt4v.endpoint.budget import FRAME_TOKENS, prompt_bound
from sharegpt4v.endpoint.request import TextRequest

LENGTHENED = "".join(  # by NFC
    character
    for character in map(chr, range(0x110000))
    if not 0xD800 <= ord(character) < 0xE000
    and len(unicodedata.normalize("NFC", character).encode()) > len(character.encode())
)
SCRIPTS = st.text(
    st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)  # Chinese
    | st.characters(min_codepoint=0x3040, max_codepoint=0x30FF)  # Japanese
    | st.characters(min_codepoint=0x1F300, max_codepoint=0x1FAFF)  # emoji
    | st.sampled_from(LENGTHENED)
    | st.characters(exclude_categories=["Cs"]),
    max_size=200,
)


def over_bytes(normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    """As GPT-4's: bytes and merges of them. Here are no merges, which gives the most tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer  # as Qwen's has one
    return tokenizer


def falls_back_to_bytes() -> Tokenizer:
    """As Llama's: a blank is a piece of its own, and what is no piece is bytes. Here are no other pieces."""
    pieces = ["<unk>", "▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


TOKENIZERS = {
    "bytes": over_bytes(),
    "bytes of NFC": over_bytes(normalizers.NFC()),
    "fallback": falls_back_to_bytes(),
}


@many_cases
@given(st.sampled_from(sorted(TOKENIZERS)), SCRIPTS, SCRIPTS)
def test_no_prompt_has_more_tokens_than_its_bound(outcomes: Outcomes, kind: str, prompt: str, system: str) -> None:
    request = TextRequest("a", prompt, system)
    tokens = sum(len(TOKENIZERS[kind].encode(text).ids) for text in (prompt, system))
    bound = prompt_bound(request, image_tokens=1000) - FRAME_TOKENS
    assert tokens <= bound + 2 * (kind == "fallback")  # a blank before each text, which the frame has room for
    outcomes["as many as the bound" if tokens >= bound else "fewer"] += 1


@pytest.mark.parametrize(
    "text", ["描述这张图片。" * 20, "この画像を詳しく説明してください。" * 20, "이미지를 설명하세요. " * 20]
)
def test_chinese_japanese_and_korean_can_take_a_token_per_byte(text: str) -> None:
    tokens = len(TOKENIZERS["bytes"].encode(text).ids)
    assert len(text) < tokens <= prompt_bound(TextRequest("a", text), image_tokens=0)
