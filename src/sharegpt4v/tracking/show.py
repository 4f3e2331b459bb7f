"""Show a run of the pipeline in a tracker, from the records that its stages left.

It is done at the end and at once, because MLflow takes seconds to start and to be written to; what was followed while
it ran is completed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from sharegpt4v.config import Config
from sharegpt4v.errors import UserError
from sharegpt4v.tracking.job_runs import is_of, job_run, model_run, pipeline_run
from sharegpt4v.tracking.jobs import Job, finished_jobs
from sharegpt4v.tracking.tracker import Run, Shown, track, warn


def track_all(root: Path, config: Config) -> Shown:
    """Show the pipeline's run in `root`: a run for the whole, one for each model, below these one per job.

    What is shown already stays as it is; with `tracking.enabled` false there is nothing to show. What keeps the tracker
    from showing something is reported in a line on standard error, and is never an exception.
    """
    shown = Shown()
    if not config.tracking.enabled:
        return shown
    unread: list[str] = []
    try:
        jobs = [job for job in finished_jobs(root) if job.stage != "tracking"]  # that is this
        runs = [pipeline_run(root, config, jobs), *_readable(_runs(root, config, jobs), unread)]
        shown = track(config.tracking.store(), config.tracking.experiment_name(), runs)
    except Exception as error:  # whatever it is: a view must not fail the pipeline
        unread.append(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
    for message in unread:
        warn(message, config.tracking.store())
    return Shown(shown.complete and not unread, shown.runs)


def _runs(root: Path, config: Config, jobs: Sequence[Job]) -> Iterator[Callable[[], Run]]:
    """Yield what makes the run of each model, then of each job."""
    for model in config.models:
        yield partial(model_run, model, [job for job in jobs if is_of(job, model.name)], root, config)
    for job in jobs:
        yield partial(job_run, job, root, config)


def _readable(runs: Iterable[Callable[[], Run]], unread: list[str]) -> Iterator[Run]:
    """Yield the runs that can be read; what is wrong with the others is added to `unread`."""
    for make in runs:
        try:
            yield make()
        except UserError as error:
            unread.append(str(error))
