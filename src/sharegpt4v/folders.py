"""Writing the folder of a checkpoint so that it is there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.files import refuse_full_disk

SECONDS_TO_BE_DEAD = 86_400  # nobody writes on an unfinished folder for longer


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out` that takes its place, and that of an older one, when the block ends.

    After an error nothing is left behind and an older `out` stays as it was; a full disk is a `UserError`. Nobody else
    has the same folder, not even a process that does the same on another node, cut off there while Slurm started the
    job again.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{out.name}.*.unfinished"):  # by a kill
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > SECONDS_TO_BE_DEAD:
                shutil.rmtree(left, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(".unfinished", f".{out.name}.", out.parent))
    unfinished.chmod(0o755)  # mkdtemp's is for its owner alone
    try:
        yield unfinished
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        refuse_full_disk(out, error)
        raise
    for path in unfinished.iterdir():
        path.chmod(0o644)  # safetensors writes for the owner alone
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


def refuse_other_folder(out: Path) -> None:
    """Raise a `UserError` when `out`, which `new_folder` would replace, is no artefact of this project."""
    if out.exists() and not (out / "provenance.json").is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: there already, and not made by this project; expected a new or an empty folder")
