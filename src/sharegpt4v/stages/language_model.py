"""Make a language model (paper section 4.1): import the published one that the config names, or train a small one.

Example:  s4v stage language_model 7b
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.code_hash import code_of
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, size: str) -> None:
    """Write checkpoints/base/llm-SIZE; `size` is a name in base_models.llm of the config."""
    from sharegpt4v.mini.base_stage import make_llm
    from sharegpt4v.models.published import import_llm

    models = config.base_models
    if size not in models.llm:
        raise UserError(f"size {size!r} is not in base_models.llm; expected one of {', '.join(models.llm)}")
    llm = models.llm[size]
    if llm.published:
        import_llm(llm, layout.llm(size))
    else:
        settings = f"{llm.model_dump_json()}{models.llm_training.model_dump_json()}{config.seed}"
        work = layout.work_of(f"llm-{size}", code_of("stages.language_model"), settings)
        make_llm(llm, layout.llm(size), models.llm_training, layout.TOKENIZER, config.seed, work)
