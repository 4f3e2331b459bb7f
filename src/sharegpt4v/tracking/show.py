"""Show a run of the pipeline in a tracker, from the records that its stages left.

It is done at the end and at once, because MLflow takes seconds to start and to be written to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sharegpt4v.config import Config
from sharegpt4v.errors import UserError
from sharegpt4v.tracking.job_runs import job_run, pipeline_run
from sharegpt4v.tracking.jobs import finished_jobs
from sharegpt4v.tracking.tracker import Run, Shown, track, warn


def track_all(root: Path, config: Config) -> Shown:
    """Show the pipeline's run in `root`: a run for the whole, below it one per job.

    What is shown already stays as it is; with `tracking.enabled` false there is nothing to show. What keeps the tracker
    from showing something is reported in a line on standard error, and is never an exception.
    """
    shown = Shown()
    if not config.tracking.enabled:
        return shown
    unread: list[str] = []
    try:
        runs = list(_job_runs(root, config, unread))
        shown = track(config.tracking.uri, config.tracking.experiment, pipeline_run(root, config), runs)
    except Exception as error:  # whatever it is: a view must not fail the pipeline
        unread.append(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
    for message in unread:
        warn(message, config.tracking.uri)
    return Shown(shown.complete and not unread, shown.runs)


def _job_runs(root: Path, config: Config, unread: list[str]) -> Iterator[Run]:
    """Yield the runs of the finished jobs; what is wrong with the others is added to `unread`."""
    for job in finished_jobs(root):
        if job.stage == "tracking":
            continue  # that is this
        try:
            yield job_run(job, root, config)
        except UserError as error:
            unread.append(str(error))
