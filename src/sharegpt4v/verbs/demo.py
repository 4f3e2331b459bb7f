"""Show a page in the browser: converse with a model about an image, or let a captioner describe images.

The model is a checkpoint of this machine, which this command loads and serves, or any OpenAI-compatible address. The
page is on this machine's loopback address alone, sends nothing to anybody but that model, and removes what is uploaded
to it. It needs an environment of its own, which `make demo-environment` makes. Ctrl-C ends it.

Examples:  s4v demo chat --model checkpoints/sharegpt4v-7b
           s4v demo caption
           s4v demo chat --base-url http://127.0.0.1:8000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct --port 8080
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, add_engine, asked_by, config_of

PAGES = ("chat", "caption")
PORT = 7860


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("page", choices=PAGES, help="a conversation about an image, or captions of images")
    parser.add_argument(
        "--model", metavar="PATH",
        help=f"the folder of a checkpoint (default of caption: {layout.CAPTIONER}), or the name of a served model",
    )  # fmt: skip
    parser.add_argument("--prompt", type=Path, metavar="FILE", help="the instruction (default: the captioner's)")
    parser.add_argument("--port", type=int, default=PORT, help=f"the port of the page (default: {PORT}; 0: a free one)")
    add_engine(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Show the page until a signal ends this command."""
    from sharegpt4v.captions.rows import read_instruction
    from sharegpt4v.demo.run import show
    from sharegpt4v.stages.captions import generation_settings

    config = config_of(options)
    caption = options.page == "caption"
    section = config.captions if caption else config.benchmarks
    model, generation = asked_by(options, section, layout.CAPTIONER if caption else None)
    if generation.engine not in ("local", "endpoint"):
        raise UserError(
            f"--engine {generation.engine}: the demo asks local or endpoint; start the server yourself and name it by "
            "--base-url"
        )
    instruction = read_instruction(options.prompt) if options.prompt else generation_settings(config).instruction
    show(options.page, model, generation.asked_endpoint, instruction, options.port)
