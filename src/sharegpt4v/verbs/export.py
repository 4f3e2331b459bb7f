"""Write a checkpoint in a layout that other programs read.

Layout original: that of LLaVA-1.5's authors, for their code, SGLang and VLMEvalKit, with the vision tower in the file.
Layout vllm: what vLLM has no class for, in a form that it loads: a linear projector as one with GELU, which computes
the same, and of Share-Captioner the language model, for prompts as embeddings. Other folders of this project are read
as they are by transformers, vLLM and lmms-eval.

Example:  s4v export checkpoints/sharegpt4v-7b/finetuned --layout original --out exported/llava-sharegpt4v-7b
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v.models.exporting import LAYOUTS, export_checkpoint


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("checkpoint", type=Path, metavar="FOLDER", help="the checkpoint of this project")
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="the layout to write")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")


def run(options: Namespace) -> None:
    """Export one checkpoint."""
    export_checkpoint(options.checkpoint, options.layout, options.out)
