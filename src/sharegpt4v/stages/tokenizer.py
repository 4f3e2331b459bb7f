"""Train the tokenizer that all language models of the miniature share; a published model brings its own.

Example:  s4v stage tokenizer
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Write checkpoints/base/tokenizer."""
    from sharegpt4v.mini.base_stage import make_tokenizer

    make_tokenizer(layout.TOKENIZER, config.base_models.tokenizer.vocabulary, config.seed)
