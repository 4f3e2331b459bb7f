"""The record of a run, and what of it MLflow shows.

The record is a JSON-lines file beside the artefact, so the pipeline is complete without MLflow. Stages write records
only; at the end ``track_all`` shows all of them at once, because MLflow takes seconds to start and to be written to.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import orjson

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.report.mlflow_view import Run, track, warn

if TYPE_CHECKING:
    from sharegpt4v.config import Config

SECONDS_BETWEEN_SYNCS = 1.0
RESULTS = ("*.csv", "*.md", "*.svg", "*.html", "figures/*.svg")


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


def track_all(root: Path, config: Config) -> bool:
    """Show the pipeline's run in `root` in MLflow: a run for the whole, below it one per training, model and result.

    What is shown already stays as it is. Return whether MLflow shows everything now (or `tracking.enabled` is false);
    what keeps it from doing so is told in a line on standard error, and is never an exception.
    """
    if not config.tracking.enabled:
        return True
    settings = config.model_dump(mode="json")
    whole = Run(name=config.name, stage="pipeline", params=settings)
    return track(config.tracking.uri, config.tracking.experiment, whole, runs_in(root, settings))


def runs_in(root: Path, settings: Mapping[str, Any]) -> Iterator[Run]:
    """Yield the runs whose traces stand in `root`: trainings, then the scores of each model, then the results.

    A training gets the section of `settings` that its stage is named after. What cannot be read is told and left out.
    """
    found: list[tuple[Callable[[Path, Mapping[str, Any]], Run], Path]] = []
    found += [(_training, path.parent) for path in sorted((root / "checkpoints").rglob("metrics.jsonl"))]
    found += [(_scores, path) for path in sorted((root / "results" / "scores").glob("*/"))]
    found += [(_results, path) for path in root.glob("results/")]
    for read, folder in found:
        try:
            yield read(folder, settings)
        except UserError as error:
            warn(str(error))


def _training(folder: Path, settings: Mapping[str, Any]) -> Run:
    """The run of the stage that made the checkpoint in `folder`."""
    about = folder / "provenance.json"
    provenance = read_json(about) if about.exists() else {}
    stage = provenance.get("stage", folder.name)
    section = settings.get(stage)
    return Run(
        name="/".join(folder.parts[-2:]),
        stage=stage,
        params=section if isinstance(section, dict) else {},
        record=folder / "metrics.jsonl",
        provenance=provenance,
    )


def _scores(folder: Path, settings: Mapping[str, Any]) -> Run:
    """The run that holds every score of one model, and how each was taken."""
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        score = read_json(path)
        try:
            metrics |= score["columns"]
            metrics |= {f"{column} standard error": error for column, error in score["stderr"].items()}
            params[path.stem] = {name: score[name] for name in ("split", "scoring", "answers_sha256", "n")}
        except (KeyError, TypeError, AttributeError):
            raise UserError(f"{path}: not a score file; delete it and score the answers again") from None
    return Run(name=f"{folder.name}/scores", stage="scores", params=params, metrics=metrics)


def _results(folder: Path, settings: Mapping[str, Any]) -> Run:
    """The run that holds the tables and figures."""
    files = sorted({path for pattern in RESULTS for path in folder.glob(pattern)})
    return Run(name="results", stage="results", artifacts=files)
