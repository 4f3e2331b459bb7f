"""The protocol of a tracker, which shows runs, and the registry of trackers: the files of the folder `trackers`.

A tracker is a view of what is in files: a long job appears in it when it starts, all else when the run has ended, and
it may break without any harm.
"""

from __future__ import annotations

import importlib
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, cast

from sharegpt4v.code_hash import names_in
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl, sha256_of
from sharegpt4v.ledger import key_of

DEFAULT = "mlflow"  # whatever MLflow takes as an address
TRACKERS = names_in("tracking.trackers")
LONGEST_WARNING = 250
Status = Literal["RUNNING", "FINISHED", "KILLED"]


class Point(NamedTuple):
    """One number of a run: a single one has the step 0."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class Run:
    """One run to be shown: its parameters, its curves (JSON-lines `records`), its single `metrics`, its files.

    `params` are the few that runs are compared by; `settings` and `provenance` are whole, and shown as files. `texts`
    are further files by name. `parent` is the name of the run that this one is shown below. `time` is when it began and
    ended, in seconds since 1970. `live` is what a job is known by while it runs, see `Tracker.follow`. Of those with
    the same `identity` there is one, which is brought up to date; without, there is one for each content.
    """

    name: str
    stage: str
    parent: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    records: Sequence[Path] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    time: tuple[float, float] | None = None
    identity: str | None = None
    live: str | None = None

    def key(self) -> str:
        """Return the hash of everything that is shown."""
        hashes = [(path.name, sha256_of(path)) for path in (*self.records, *self.artifacts)]
        told = [dict(one) for one in (self.params, self.settings, self.provenance, self.metrics, self.texts, self.tags)]
        content = [*told, hashes, self.time]
        return key_of(self.name, self.stage, self.identity, *content)

    def curves(self) -> Iterator[Point]:
        """Yield the points of the records; a broken record is a `UserError`."""
        for record in self.records:
            for number, row in enumerate(read_jsonl(record), start=1):
                if not isinstance(row, dict):
                    raise UserError(f"{record}, row {number}: {row!r}; expected numbers by name")
                for name, value in row.items():
                    if name != "step" and isinstance(value, int | float):
                        yield Point(name, value, row.get("step", number))

    def points(self) -> Iterator[Point]:
        """Yield the single metrics, then the curves; a broken record is a `UserError`."""
        yield from (Point(name, value, 0) for name, value in self.metrics.items())
        yield from self.curves()


class Tracker(ABC):
    """An open store of runs; `title` is what messages call it. It is used as a context."""

    title: str

    @abstractmethod
    def __init__(self, uri: str, experiment: str) -> None:
        """Open the store at `uri`, for runs that join `experiment`."""

    @abstractmethod
    def show(self, run: Run, parent: str | None) -> str:
        """Show a run, below the run of the id `parent`, and return its id.

        One that is shown with this content (`Run.key`) is left as it is, and one that was left half-written is written
        anew. One that was followed (`Run.live`) is completed. A record that cannot be read is a `UserError`.
        """

    def follow(self, run: Run, status: Status, last: int | None) -> int:
        """Show the rows after the step `last` of a job that runs, and its status; return the last step shown.

        The first call of a process has None: a job that was resumed continues the run that has the same `Run.live`, and
        steps that it repeats are not shown again. A tracker that has no such method shows a job when it is done.
        """
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(  # noqa: B027
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""


@dataclass(frozen=True)
class Shown:
    """Whether everything is shown, and the id of each run that is, by name."""

    complete: bool = True
    runs: Mapping[str, str] = field(default_factory=dict)


def tracker_of(uri: str) -> type[Tracker]:
    """Return the tracker of an address: that of the name before the first colon, else MLflow."""
    scheme = uri.partition(":")[0]
    module = f"sharegpt4v.tracking.trackers.{scheme if scheme in TRACKERS else DEFAULT}"
    return cast(type[Tracker], importlib.import_module(module).TRACKER)


def track(uri: str, experiment: str, runs: Iterable[Run]) -> Shown:
    """Show `runs`, parents first, in the store at `uri`; what is shown already is left as it is.

    Several processes may do so at once. A broken store is reported in one line on standard error, and so is each
    broken record; neither is ever an exception.
    """
    complete = True
    ids: dict[str, str] = {}
    try:
        with tracker_of(uri)(uri, experiment) as tracker:
            for run in runs:
                try:
                    ids[run.name] = tracker.show(run, ids.get(run.parent or ""))
                except UserError as error:
                    complete = False
                    warn(str(error), uri)
    except Exception as error:  # whatever it is: a view must not fail the pipeline
        warn(f"the store is broken, the records beside the artefacts are not: {type(error).__name__}: {error}", uri)
        complete = False
    return Shown(complete, ids)


def warn(message: str, uri: str) -> None:
    """Say in one line why the tracker of an address does not show something."""
    message = re.sub(r"//[^/@\s]*@", "//", " ".join(message.split()))[:LONGEST_WARNING]  # no name and password
    print(f"tracking: not shown in {tracker_of(uri).title}: {message}", file=sys.stderr)
