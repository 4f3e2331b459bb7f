"""Writes `docs/reference/commands.md`: the help of every command of `s4v`, and the table of stages.

``python -m sharegpt4v.reference`` writes it; with ``--check`` it writes nothing and exits 1 on drift.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sharegpt4v.cli import VERBS, build_parser
from sharegpt4v.files import write_text
from sharegpt4v.pipeline.stages import STAGES

PAGE = Path("docs/reference/commands.md")
COMMAND = "python -m sharegpt4v.reference"
WIDTH = "100"  # characters, by which argparse breaks lines


def page() -> str:
    """Return the page."""
    os.environ["COLUMNS"] = WIDTH
    parser = build_parser()
    (verbs,) = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    assert verbs is not None
    return "\n".join([f"<!-- Written by `{COMMAND}`; do not edit. -->\n", *_head(), *_stages(), *_verbs(verbs)])


def _head() -> Iterator[str]:
    yield "# Commands\n"
    yield "Every command takes `--config FILE`; without it, that of the run in this folder, else the miniature's."
    yield "`s4v --print-completion bash` (or `zsh`) prints the completion of your shell. A user error is one line and"
    yield "exit code 1.\n"


def _stages() -> Iterator[str]:
    yield "## Stages\n"
    yield "What the rules of the pipeline run, in its order, and what you can run alone: `s4v stage NAME [ITEM]`.\n"
    yield "| Stage | One job per | Section of the paper | Runs on | What it does |\n|---|---|---|---|---|"
    for name, stage in STAGES.items():
        about = (importlib.import_module(f"sharegpt4v.stages.{name}").__doc__ or "").strip().partition("\n")[0]
        device = {"cpu": "CPU", "gpu": "one GPU", "training": "GPUs, by `compute`"}[stage.device]
        yield f"| `{name}` | {stage.item or 'run'} | {stage.section} | {device} | {about} |"
    yield ""


def _verbs(verbs: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    for name in VERBS:
        if name != "stage":
            yield f"## s4v {name}\n\n```text\n{verbs[name].format_help()}```\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` compare it; return the exit code."""
    text = page()
    if arguments != ["--check"]:
        write_text(PAGE, text)
    elif not PAGE.is_file() or PAGE.read_text("utf-8") != text:
        print(f"{PAGE} differs from the commands; run: {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
