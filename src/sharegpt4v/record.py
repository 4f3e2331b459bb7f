"""The record of a run: a JSON-lines file beside the artefact, so that the pipeline is complete without MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from sharegpt4v.errors import UserError

SECONDS_BETWEEN_SYNCS = 1.0


class Record:
    """Rows of numbers by step, such as the loss; one JSON line each, in the file at once.

    The first row logged says where the run continues: older rows from that step on are cut off, being repeated now. So
    a run that was killed and resumed leaves the record of one that was not.
    """

    def __init__(self, path: Path | str) -> None:
        """Nothing is touched before the first row."""
        self.path = Path(path)
        self._file: int | None = None
        self._synced = 0.0

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row. A record whose older lines are broken is a `UserError` with the line."""
        if self._file is None:
            self._file = self._open(row.get("step"))
        # A write outlives the process; a sync, which is slow, is for the power failure alone.
        os.write(self._file, orjson.dumps(dict(row), option=orjson.OPT_APPEND_NEWLINE))
        if time.monotonic() - self._synced >= SECONDS_BETWEEN_SYNCS:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def _open(self, first_step: int | None) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.ftruncate(file, self._bytes_before(first_step))
        return file

    def _bytes_before(self, first_step: int | None) -> int:
        """Count the bytes of the older rows before `first_step` (None: all), without a half-written last one."""
        position = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    step = orjson.loads(line).get("step")
                except (orjson.JSONDecodeError, AttributeError):
                    raise UserError(
                        f"{self.path}, line {number}: not a row of a record; delete that line and run the same again"
                    ) from None
                if first_step is not None and step is not None and step >= first_step:
                    break
                position += len(line)
        return position

    def close(self) -> None:
        """Put everything on disk and close the file."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
