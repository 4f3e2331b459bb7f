"""Write a checkpoint in a layout that other programs read, or a data set of captions for others.

A checkpoint. Layout original: that of LLaVA-1.5's authors, for their code, SGLang and VLMEvalKit, with the vision tower
in the file. Layout vllm: what vLLM has no class for, in a form that it loads: a linear projector as one with GELU,
which computes the same, and of Share-Captioner the language model, for prompts as embeddings. Other folders of this
project are read as they are by transformers, vLLM and lmms-eval.

A data set. SET is seed, captions (all of the captioner, with verdicts), pretraining, an instruction mix by its name, or
a LLaVA JSON file. The folder loads by `datasets.load_dataset`. After a kill the same command resumes.

Examples:  s4v export checkpoints/sharegpt4v-7b/finetuned --layout original --out exported/llava-sharegpt4v-7b
           s4v export dataset captions --format parquet --out exported/captions --splits validation=0.01
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.models.exporting import LAYOUTS, export_checkpoint
from sharegpt4v.sharing.columns import FORMATS
from sharegpt4v.verbs.options import add_config, config_of

DATASET = "dataset"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.usage = (
        f"%(prog)s CHECKPOINT --layout {{{','.join(LAYOUTS)}}} --out FOLDER\n"
        f"       %(prog)s {DATASET} SET --format {{{','.join(FORMATS)}}} --out FOLDER [--images]\n"
        "                  [--splits NAME=FRACTION ...] [--rows-per-file N] [--card FILE] [--config FILE]"
    )
    parser.add_argument("what", metavar="CHECKPOINT", help=f"the folder of a checkpoint, or the word {DATASET}")
    parser.add_argument("set", metavar="SET", nargs="?", help=f"after {DATASET}: the set, or a LLaVA JSON file")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    parser.add_argument("--layout", choices=LAYOUTS, help="the layout of a checkpoint")
    group = parser.add_argument_group("of a data set")
    group.add_argument("--format", choices=FORMATS, help="what its files are; llava: the LLaVA JSON, byte for byte")
    group.add_argument("--images", action="store_true", help="with the image files, byte for byte")
    group.add_argument(
        "--splits", nargs="+", default=[], metavar="NAME=FRACTION",
        help="splits beside train, by a hash of the image",
    )  # fmt: skip
    group.add_argument(
        "--rows-per-file", type=int, metavar="N", help="rows of a file (default: 100,000; with images 1,000)"
    )
    group.add_argument("--card", type=Path, metavar="FILE", help="its card (default: by the records of the run)")
    add_config(parser)


def run(options: Namespace) -> None:
    """Export one checkpoint or one data set."""
    if options.what == DATASET:
        _export_data_set(options)
    elif options.set or not options.layout:
        raise UserError(f"s4v export: expected CHECKPOINT --layout, or {DATASET} SET --format; see s4v export --help")
    else:
        export_checkpoint(Path(options.what), options.layout, options.out)


def _export_data_set(options: Namespace) -> None:
    from functools import partial

    from sharegpt4v.files import read_text
    from sharegpt4v.lineage import data_sets
    from sharegpt4v.report.cards.data import data_card
    from sharegpt4v.sharing.card import CardOf, given_card
    from sharegpt4v.sharing.export import Settings, export_data_set
    from sharegpt4v.sharing.sets import data_set
    from sharegpt4v.sharing.splits import parse_splits

    if not options.set or not options.format or options.layout:
        raise UserError(f"s4v export {DATASET}: expected a SET and its --format; see s4v export --help")
    if options.rows_per_file is not None and options.rows_per_file < 1:
        raise UserError(f"--rows-per-file {options.rows_per_file}: expected at least 1")
    config = config_of(options)
    data = data_set(config, options.set)
    card: CardOf
    if options.card:
        card = given_card(read_text(options.card, "a card"))
    elif options.set in data_sets(config):
        card = partial(data_card, config, options.set)
    else:
        card = given_card(f"# {data.name}\n")
    settings = Settings(
        options.format, parse_splits(options.splits, config.seed), options.images, options.rows_per_file
    )
    counts = export_data_set(data, options.out, settings, card)
    parts = ", ".join(f"{number:,} {name}" for name, number in counts.splits.items())
    print(f"{options.out}: rows: {parts}", file=sys.stderr)
