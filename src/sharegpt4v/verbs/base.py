"""Make or take a base model: the tokenizer, a language model, or the vision tower (paper section 4.1).

What the config names as published is taken; the rest is trained, as the mini preset does.

Examples:  s4v base tokenizer
           s4v base llm 7b
           s4v base tower
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.code_hash import code_of
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("kind", choices=["tokenizer", "llm", "tower"], help="what to make")
    parser.add_argument("size", nargs="?", help="of a language model: a name in base_models.llm of the config")
    add_config(parser)
    add_path(parser, "--tokenizer", layout.TOKENIZER, "the folder of the tokenizer")


def run(options: Namespace) -> None:
    """Write the transformers folder below checkpoints/base/."""
    from sharegpt4v.mini.base_stage import make_llm, make_tokenizer, make_tower
    from sharegpt4v.models.published import take_llm, take_tower

    config = config_of(options)
    models = config.base_models
    if options.kind == "tokenizer":
        make_tokenizer(layout.TOKENIZER, models.tokenizer.vocabulary, config.seed)
    elif options.kind == "tower" and models.vision_tower.published:
        take_tower(models.vision_tower, layout.TOWER)
    elif options.kind == "tower":
        captions, images = layout.SHORT_CAPTIONS, layout.SHORT_CAPTION_IMAGES
        make_tower(captions, images, layout.TOWER, models.vision_tower, options.tokenizer, config.seed)
    elif options.size in models.llm and models.llm[options.size].published:
        take_llm(models.llm[options.size], layout.llm(options.size))
    elif options.size in models.llm:
        size = models.llm[options.size]
        settings = f"{size.model_dump_json()}{models.llm_training.model_dump_json()}{config.seed}"
        work = layout.work_of(f"llm-{options.size}", code_of("verbs.base"), settings)
        make_llm(size, layout.llm(options.size), models.llm_training, options.tokenizer, config.seed, work)
    else:
        raise UserError(f"base llm: size {options.size!r}; expected one of {', '.join(models.llm)}")
