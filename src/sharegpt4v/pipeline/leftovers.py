"""What a killed run leaves in its folder, ended and removed before the next one begins: processes, temporary files.

The commands of a killed run end by themselves (see `sharegpt4v.lifetime`), but may need a moment to save their state,
and could meanwhile write what the next run writes.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from sharegpt4v.errors import UserError
from sharegpt4v.lifetime import VARIABLE, start_of, starter_in

SECONDS_TO_END = 120.0  # for a command that is saving its state, before it is killed
SECONDS_TO_DIE = 5.0
WRITTEN = ("data/manifests", "data/sharegpt4v", "data/captions", "checkpoints", "results", "logs", ".work")
NOT_LOOKED_INTO = "sources"  # below .work, with as many files as there are images; what is there is kept to resume from
TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")  # see `sharegpt4v.files`; the number is that of the process
UNFINISHED = ".unfinished"  # see `sharegpt4v.folders`


def end_leftovers(folder: Path) -> None:
    """End the processes of a run that is gone in `folder`, and wait for them. A `UserError` names those that do not."""
    asked, deadline = set[int](), time.monotonic() + SECONDS_TO_END
    while left := leftover_processes(folder):
        late = time.monotonic() > deadline
        if late and time.monotonic() > deadline + SECONDS_TO_DIE:
            raise UserError(f"{folder}: processes {', '.join(map(str, left))} of an earlier run do not end; kill them")
        for process in left if late else set(left) - asked:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL if late else signal.SIGTERM)
        asked |= set(left)
        time.sleep(0.1)


def leftover_processes(folder: Path) -> list[int]:
    """Return the processes of this user that work in `folder` for a run that is gone."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is another user's
            starter = starter_in(process.environ().get(VARIABLE, ""))
            gone = starter and start_of(starter[0]) != starter[1]
            if gone and Path(process.cwd()) == folder and start_of(process.pid):
                found.append(process.pid)
    return found


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that are gone left unfinished, files and checkpoints."""
    for written in WRITTEN:
        for above, folders, files in os.walk(folder / written):
            for name in [one for one in folders if one.endswith(UNFINISHED)]:
                shutil.rmtree(Path(above, name), ignore_errors=True)
            folders[:] = [one for one in folders if one != NOT_LOOKED_INTO and not one.endswith(UNFINISHED)]
            for name in files:
                if (found := TEMPORARY.fullmatch(name)) and not start_of(int(found[1])):
                    Path(above, name).unlink(missing_ok=True)
