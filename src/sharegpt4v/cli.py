"""`s4v`: the verbs, in the order of the pipeline.

What a user can mend is one line on standard error and exit code 1; anything else keeps its traceback.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from sharegpt4v import __version__
from sharegpt4v.errors import UserError
from sharegpt4v.files import full_disk
from sharegpt4v.job_record import recorded

VERBS = (
    "mini-world", "fetch", "where", "verify", "seed", "base", "align", "train-captioner", "caption-shard", "caption",
    "corpus", "pretrain", "finetune", "answer", "judge", "score", "submission", "table", "substitution", "mixture",
    "datasets", "figures", "timings", "metrics", "track", "cells", "pull", "plan", "config", "doctor",
)  # fmt: skip

QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}  # progress is told by the verbs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    options = build_parser().parse_args(arguments)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, _end)
    try:
        with recorded(sys.argv[1:] if arguments is None else arguments, getattr(options, "config", None)):
            return int(options.run(options) or 0)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"s4v {options.verb}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not (why := full_disk(error)):
            raise
        print(f"s4v {options.verb}: cannot write ({why}); make room, then run the same command again", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = argparse.ArgumentParser(prog="s4v", description="ShareGPT4V as one reproducible pipeline.")
    parser.add_argument("--version", action="version", version=f"s4v {__version__}")
    verbs = parser.add_subparsers(
        title="verbs, in the order of the pipeline", metavar="VERB", dest="verb", required=True
    )
    for name in VERBS:
        module = importlib.import_module(f"sharegpt4v.verbs.{name.replace('-', '_')}")
        about = (module.__doc__ or "").strip()
        verb = verbs.add_parser(
            name,
            help=about.partition("\n")[0],
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def _end(number: int, frame: FrameType | None) -> None:
    """End as on Ctrl-C when asked to (Slurm and Snakemake ask so), so that files are closed and children ended."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
