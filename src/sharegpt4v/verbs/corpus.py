"""Make a corpus: the captions for pre-training, or an instruction mix with detail captions replaced.

Examples:  s4v corpus pretraining --shards data/captions/*.jsonl
           s4v corpus substitution --name llava-665k+coco
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, add_path, config_of

DETAIL_QUESTIONS = Path("config/prompts/detail_questions.txt")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("kind", choices=["pretraining", "substitution"], help="which corpus")
    parser.add_argument("--shards", type=Path, nargs="+", default=[], metavar="FILE", help="the shards of captions")
    parser.add_argument(
        "--name", help="of the mix to make: MIX+coco, where MIX is one of corpora.instruction_mixes of the config and "
        "captions of corpora.substitution_sources come in (paper section 5.4); MIX+all, with those of "
        "corpora.finetuning_sources (section 4.3), which of llava-665k has the published name "
        f"{layout.FINETUNING_MIX.stem}",
    )  # fmt: skip
    add_config(parser)
    add_path(parser, "--captions", layout.SEED_CAPTIONS, "the seed captions that come in")


def run(options: Namespace) -> None:
    """Write the corpus below data/sharegpt4v/."""
    from sharegpt4v.corpora.pretraining import pretraining_corpus
    from sharegpt4v.corpora.rows import read_questions
    from sharegpt4v.corpora.substitution import substitute

    config = config_of(options)
    if options.kind == "pretraining":
        if not options.shards:
            raise UserError("corpus pretraining: no shards; expected --shards with the files of data/captions/")
        questions = read_questions(layout.of_project(config.teacher.prompts) / "questions.txt")
        pretraining_corpus(options.shards, layout.PRETRAINING_CORPUS, questions, config.seed)
        return
    known = layout.substituted(config)
    if options.name not in known:
        raise UserError(f"corpus substitution: expected --name with one of {', '.join(known)}")
    mix, substitution = known[options.name]
    substitute(
        layout.DATA / config.corpora.instruction_mixes[mix],
        layout.DETAIL_CAPTIONS,
        options.captions,
        config.corpora.substitution_sources if substitution == "coco" else config.corpora.finetuning_sources,
        read_questions(layout.of_project(DETAIL_QUESTIONS)),
        config.seed,
        layout.corpus(mix, substitution),
    )
