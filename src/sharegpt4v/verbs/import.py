"""Take a published checkpoint: write it as this project saves its own, with the ids and the prompt of its training.

Layouts that are read: LLaVA-1.5's and ShareGPT4V's own, llava-hf's, Qwen-VL-Chat's and Share-Captioner's, and folders
that transformers loads. What is downloaded is compared with the sizes and hashes that Hugging Face lists. Without
--revision, that of config/checkpoints.tsv holds.

Examples:  s4v import Lin-Chen/ShareGPT4V-7B --out checkpoints/sharegpt4v-7b
           s4v import downloads/llava-v1.5-7b --out checkpoints/llava-v1.5-7b
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("checkpoint", metavar="ID-OR-FOLDER", help="an id of Hugging Face, or the path of a folder")
    parser.add_argument("--revision", metavar="COMMIT", help="the commit of Hugging Face, or its first digits")
    parser.add_argument("--most-pixels", type=int, metavar="N", help="most pixels of an image, for Qwen's of any size")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")


def run(options: Namespace) -> None:
    """Import one checkpoint."""
    from sharegpt4v.config.base_models import Published
    from sharegpt4v.models.importing import import_checkpoint

    published = Published(id=options.checkpoint, revision=options.revision)
    import_checkpoint(published, options.out, most_pixels=options.most_pixels)
