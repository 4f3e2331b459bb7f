"""How a run starts: the environment of its jobs, its config, and the folder, which is for one run at a time."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.config import Config, load, missing_keys
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.job_record import FOLDER_VARIABLE
from sharegpt4v.lifetime import end_others_with_this
from sharegpt4v.official_files import official_files
from sharegpt4v.pipeline.leftovers import end_leftovers, remove_leftovers
from sharegpt4v.pipeline.slurm import end_leftover_jobs, keep_asking, pass_on_warnings

# Of all commands: Snakemake's own, and that a warning of Slurm's ends nothing that does not handle it, such as tee.
SHELL_PREFIX = "set -euo pipefail; trap '' USR1; "


def prepare_environment() -> None:
    """Let jobs find `s4v` where this Python is, leave a record, and run one thread each: they run side by side.

    Under Slurm, also let the run tolerate what happens there. SIGUSR1, by which Slurm announces a time limit, is for
    the stage alone: it is handed on to it, and ends neither Snakemake nor the shell around the stage.
    """
    from snakemake.shell import shell

    shell.prefix(SHELL_PREFIX)
    with suppress(ValueError):  # not in the main thread
        pass_on_warnings()
    keep_asking()
    end_others_with_this()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ[FOLDER_VARIABLE] = str(layout.JOBS)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other on a busy machine are slow


def read_config(config_files: list[Path], overrides: Mapping[str, Any], dry_run: bool = False) -> Config:
    """Return the config of a run: the file given (default: the mini preset) with the command line's keys over it.

    Any mistake in it ends the program with one line per mistake; so does a missing key, unless nothing will be run.
    """
    try:
        if len(config_files) > 1:
            raise UserError("more than one --configfile; expected one, which may build on another by `base: FILE`")
        config = load(Path(os.path.relpath(config_files[0] if config_files else layout.DEFAULT_CONFIG)), overrides)
        layout.sources(config)
        layout.require_folders(config)
        if not dry_run and (missing := missing_keys(endpoints(config), os.environ)):
            raise UserError(*missing)
    except UserError as error:
        sys.exit(str(error))  # Snakemake would put a traceback around an exception
    return config


def require_official_files(config: Config, dag: Any) -> None:
    """End the program where the jobs of Snakemake's graph need a benchmark's file that only a person can bring.

    A line for each says how, before anything is trained or asked.
    """
    rows = official_files(config)
    wanted = {job.wildcards_dict["source"] for job in dag.jobs if job.rule.name == "source" and dag.needrun(job)}
    lines = [
        f"benchmark {need.whom}: {need.remedy}, or set benchmarks.missing to report: its column stays empty then"
        for name, row in rows.items()
        if name in wanted
        for need in kind_of_source(row).needs(row, config)
        if need.stops
    ]
    if lines:
        sys.exit("\n".join(lines))


def begin(config: Config) -> None:
    """Take this folder for one run at a time, and write the resolved config for the verbs (only when it changed).

    What a run that was killed left is ended and removed: jobs in Slurm, processes, temporary files.
    """
    try:
        lock_folder()
        end_leftover_jobs(Path.cwd())
        end_leftovers(Path.cwd())
        remove_leftovers(Path.cwd())
    except UserError as error:
        sys.exit(str(error))
    resolved = config.model_dump(mode="json")
    if not layout.RUN_CONFIG.exists() or read_json(layout.RUN_CONFIG) != resolved:
        write_json(layout.RUN_CONFIG, resolved)


def lock_folder() -> None:
    """Lock this folder until the process ends; a `UserError` when a run is working in it.

    The lock is the kernel's, so that a run that was killed leaves none behind.
    """
    layout.WORK.mkdir(exist_ok=True)
    lock = os.open(layout.WORK / "lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(f"{Path.cwd()}: another run is working in this folder; wait for it, or stop it") from None


def endpoints(config: Config) -> dict[str, Endpoint]:
    """Return the sections, by their keys, whose endpoints a run asks: none for captions that are provided."""
    files = {"teacher": layout.SEED_CAPTIONS, "captions.endpoint": layout.PRETRAINING_CORPUS}
    provided = {name for name, file in files.items() if layout.is_provided(config, file)}
    return {name: section for name, section in config.endpoints.items() if name not in provided}
