"""The tokenizer of the mini language models: byte-level BPE learned from text of the synthetic world.

The fixed sentences of the conversation template and of the prompts are single tokens, so that a row is as short for a
small model as it is in proportion for a large one. The official strings stay as they are, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sharegpt4v.evaluation.benchmarks.qbench import HUMAN_SYSTEM
from sharegpt4v.mini.text import phrases
from sharegpt4v.models.templates import CHAT_TEMPLATE, IMAGE, SYSTEM

PHRASES = (
    SYSTEM,
    HUMAN_SYSTEM,
    " USER:",
    "USER:",  # of a later round
    " ASSISTANT:",
    " Please answer yes or no.",
    "Analyze the image in a comprehensive and detailed manner.",
    *(f"\n{letter}." for letter in "ABCD"),
    *phrases(),
)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Learn a tokenizer of at most `vocabulary` tokens; equal texts in equal order give equal files.

    The texts are cut at the phrases first: what is a token already needs no merges.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    # transformers' CLIP reads an end mark with id 2 as an old checkpoint and pools elsewhere, so </s> is not 2
    special = ["<unk>", "<s>", IMAGE, "</s>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(PHRASES),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    phrase = re.compile("|".join(re.escape(phrase) for phrase in sorted(PHRASES, key=len, reverse=True)))
    tokenizer.train_from_iterator((piece for text in texts for piece in phrase.split(text) if piece), trainer)
    tokenizer.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in PHRASES])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        padding_side="left",
        extra_special_tokens={"image_token": IMAGE},
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
