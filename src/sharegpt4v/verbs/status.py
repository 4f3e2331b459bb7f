"""Show how a run stands: its jobs by stage, how far those that run are, money, failures, and Slurm's queue.

It reads the files in the folder of the run and changes none, so it works beside the run, and from any machine that sees
the folder. Time left is by the rate of the jobs that run, and as many of them at a time as now.

Examples:  s4v status
           s4v status runs/smoke --watch
"""

from __future__ import annotations

import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

CLEAR = "\x1b[H\x1b[2J"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="the folder of the run (default: this)"
    )
    parser.add_argument(
        "--watch", nargs="?", type=float, const=5.0, metavar="SECONDS",
        help="show it again every so many seconds (default: 5) until the run ends, or Ctrl-C",
    )  # fmt: skip


def run(options: Namespace) -> None:
    """Print the screen, once or until the run has ended."""
    from sharegpt4v.errors import UserError
    from sharegpt4v.status.page import standing_of, status_text

    if options.watch is not None and not options.watch > 0:
        raise UserError(f"--watch {options.watch:g}: expected more than 0 seconds")
    while True:
        size = shutil.get_terminal_size((100, 40))
        standing = standing_of(options.folder)
        text = status_text(options.folder, max(size.columns, 40), standing)
        if options.watch is not None and sys.stdout.isatty() and sys.__stdout__:
            sys.__stdout__.write(CLEAR)  # past the escaping of what others wrote
        print(text, flush=True)
        if options.watch is None or standing.is_over:
            return
        try:
            time.sleep(options.watch)
        except KeyboardInterrupt:
            return
