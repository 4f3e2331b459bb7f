"""`s4v`: what people type at the top level, and below `s4v stage` what the rules run.

A user error is one line on standard error and exit code 1; anything else keeps its traceback. A command that a signal
ended says so in one line, and its exit code is 128 and the number of the signal, as a shell counts.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence

from sharegpt4v.errors import UserError
from sharegpt4v.files import full_disk
from sharegpt4v.job_record import recorded
from sharegpt4v.lifetime import Stopped, end_on_signals, end_with_parent, end_with_starter, serve_parent
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.terminal import escape_output
from sharegpt4v.version import __version__

VERBS = (
    "config", "doctor", "plan", "status", "where", "verify", "import", "export", "push", "pack", "caption", "review",
    "demo", "fetch", "answer", "judge", "score", "compare", "compare-captions", "bridge", "submission", "table",
    "timings", "accept", "pull", "stage",
)  # fmt: skip

QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}  # the verbs show progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    escape_output()
    arguments = sys.argv[1:] if arguments is None else arguments
    if wrong := _unknown_verb(arguments):
        print(wrong, file=sys.stderr)
        return 2
    options = build_parser().parse_args(arguments)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # On processors with bfloat16 it warns of a kernel for 4-bit weights, which nothing here has.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        end_on_signals()
        end_with_starter()
        if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun gives each process a session of its own
            end_with_parent()
        with recorded(arguments, getattr(options, "config", None)):
            return int(options.run(options) or 0)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt as asked:
        how = (asked.message if isinstance(asked, Stopped) else "") or "stopped; the same command resumes"
        print(f"{_name(options)}: {how}", file=sys.stderr)
        return 128 + (asked.number if isinstance(asked, Stopped) else signal.SIGINT)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("sharegpt4v"):
            raise
        extras = "pip install 'sharegpt4v[train,report,share,pipeline,mini]'"
        print(
            f"{_name(options)}: {error.name} is not installed; `make setup` installs it, or {extras}", file=sys.stderr
        )
        return 1
    except Exception as error:
        if not (why := full_disk(error)):
            raise
        print(f"{_name(options)}: cannot write ({why}); make room, then run the same command again", file=sys.stderr)
        return 1


def _name(options: argparse.Namespace) -> str:
    """Return the command as a person typed it, without what follows."""
    return " ".join(["s4v", options.verb, *([options.stage] if options.verb == "stage" else [])])


def _unknown_verb(arguments: Sequence[str]) -> str:
    """Return one line about a verb or stage that there is not, with the nearest that there is."""
    if not arguments or arguments[0].startswith("-"):
        return ""
    program, kind, known = "s4v", "verb", list(VERBS)
    if arguments[0] == "stage" and len(arguments) > 1 and not arguments[1].startswith("-"):
        program, kind, known = "s4v stage", "stage", list(STAGES)
        arguments = arguments[1:]
    if arguments[0] in known:
        return ""
    near = difflib.get_close_matches(arguments[0], known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{program}: no {kind} {arguments[0]!r}; {guess}{program} --help lists them"


class _PrintCompletion(argparse.Action):
    """Prints the completion of a shell; shtab is imported only then, as it takes longer than all else."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option: object = None
    ) -> None:
        import shtab

        print(shtab.complete(parser, shell=str(values)))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = argparse.ArgumentParser(prog="s4v", description="ShareGPT4V as one reproducible pipeline.")
    parser.add_argument("--version", action="version", version=f"s4v {__version__}")
    parser.add_argument(
        "--print-completion", choices=("bash", "zsh", "tcsh"), action=_PrintCompletion,
        help="print what makes the shell complete commands and options, and exit",
    )  # fmt: skip
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
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


if multiprocessing.parent_process():  # a worker of a pool, which imports the program it works for
    serve_parent()

if __name__ == "__main__":
    sys.exit(main())
