"""A line of provenance per job: which command, by which code and config, when, and as which job of Slurm.

The Snakefile asks for it (`S4V_JOBS` names the folder); a verb that is run by hand leaves none.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, sha256_of, write_json
from sharegpt4v.ledger import key_of

FOLDER_VARIABLE = "S4V_JOBS"


@contextmanager
def recorded(arguments: Sequence[str], config: Path | None) -> Iterator[None]:
    """Write the record of the command `s4v` with these arguments: that it runs, then how it ended.

    One that ended without an error has `seconds`, another an `outcome`, one that was killed neither.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or os.environ.get("RANK", "0") != "0":
        yield
        return
    path, started = _path(Path(folder), arguments), time.time()
    record = {
        "command": " ".join(["s4v", *arguments]),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "started": round(started, 3),
    }
    with suppress(UserError):  # a full disk is the job's to report
        write_json(path, record)
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        with suppress(UserError):
            write_json(path, record | {"outcome": "stopped" if stopped else "failed"})
        raise
    from sharegpt4v.provenance import git_state

    about = {**git_state(), "config": sha256_of(config) if config else None}
    write_json(path, record | about | {"seconds": round(time.time() - started, 3)})


def read_record(folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the record of a command; empty when it left none. `started` is seconds since 1970."""
    path = _path(folder, arguments)
    return dict(read_json(path)) if path.exists() else {}


def _path(folder: Path, arguments: Sequence[str]) -> Path:
    name = arguments[1] if arguments[0] == "stage" else arguments[0]
    return folder / f"{name}-{key_of(list(arguments))[:12]}.json"
