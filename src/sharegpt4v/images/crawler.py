"""Running img2dataset, which downloads lists of web addresses and lives in an environment of its own.

It exits with 0 whatever happens, never tries a failed address again, and numbers images by order of arrival. So images
are joined to their names by the `name` column. Others write the lists, so it runs under a guard, `crawler_guard`: http
and https alone, no private addresses, limits of bytes and seconds, and an end with the job that started it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.image_paths import inside
from sharegpt4v.images import crawler_guard
from sharegpt4v.images.listing import link_or_copy
from sharegpt4v.progress import Progress
from sharegpt4v.project import of_project

URLS_PER_SHARD = 1_000
SLOWEST = 20  # times the seconds to wait that one image may take
MOST_BYTES = 100_000_000  # of one image
STALL_S = 900.0  # without a file written, after which it is stopped: it can hang at the very end
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def crawl(wanted: Mapping[str, str], output: Path, work: Path, settings: Sources, allowed: tuple[str, ...]) -> None:
    """Run img2dataset over the `wanted` URLs (by name); it writes shards of images into `output`.

    `allowed` are hosts with their port that it may ask although they are private. A `UserError` when it fails.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    crawler = settings.img2dataset
    output.mkdir(parents=True)
    # Parquet, because its reader guesses types of text files: names such as 000123 would become numbers.
    table = work / "wanted.parquet"
    pq.write_table(pa.table({"url": list(wanted.values()), "name": list(wanted)}), table)
    options = {
        "url_list": table.absolute(), "input_format": "parquet", "url_col": "url",
        "save_additional_columns": '["name"]', "output_folder": output.absolute(), "output_format": "files",
        "resize_mode": "no", "disable_all_reencoding": True, "extract_exif": False, "compute_hash": "sha256",
        "processes_count": 1, "thread_count": crawler.threads, "number_sample_per_shard": URLS_PER_SHARD,
        "timeout": crawler.timeout_seconds, "retries": crawler.retries, "enable_wandb": False,
    }  # fmt: skip
    command = [str(of_project(crawler.command)), *(f"--{name}={value}" for name, value in options.items())]
    environment = _guarded(work, settings, allowed)
    log = work / "img2dataset.log"
    with open(log, "wb") as log_file:
        try:
            process = subprocess.Popen(
                command, stdout=log_file, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
                preexec_fn=partial(_end_with, os.getpid(), ctypes.CDLL(None).prctl),
            )  # fmt: skip
        except OSError as error:
            raise UserError(
                f"cannot run {command[0]} ({error.strerror}); expected the command img2dataset of its own environment"
            ) from None
        try:
            stalled = not _ends(process, output, Progress("URLs", len(wanted), "URLs"), STALL_S)
        finally:
            _stop(process)
    if process.returncode != 0 and not stalled:
        last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise UserError(f"img2dataset ended with code {process.returncode} ({last}); see {log}")


def _guarded(work: Path, settings: Sources, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the environment in which Python runs the guard before img2dataset; `work` takes its copy."""
    folder = work / "guard"
    folder.mkdir(exist_ok=True)
    shutil.copy(crawler_guard.__file__, folder / "sitecustomize.py")
    limits = {"bytes": MOST_BYTES, "seconds": SLOWEST * settings.img2dataset.timeout_seconds}
    loopback = "127.0.0.1,localhost"
    no_proxy = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), loopback]))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder.absolute()), os.environ.get("PYTHONPATH")])),
        crawler_guard.VARIABLE: json.dumps({"allowed": allowed, "private": settings.allow_private_addresses, **limits}),
        "no_proxy": no_proxy,
        "NO_PROXY": no_proxy,
        # Its augmentation library would ask the network for a newer version of itself.
        "NO_ALBUMENTATIONS_UPDATE": "1",
    }


def _end_with(parent: int, prctl: Callable[[int, int], int]) -> None:
    """Let the kernel end this process, which is about to become img2dataset, when `parent` has ended."""
    prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)


def _ends(process: subprocess.Popen[bytes], output: Path, progress: Progress, stall_s: float) -> bool:
    """Wait for img2dataset while it writes; False when it has written nothing for too long."""
    last_change, newest = time.monotonic(), 0
    while process.poll() is None:
        time.sleep(0.2)
        changed = max(path.stat().st_mtime_ns for path in [output, *output.glob("0*")])
        if changed != newest:
            last_change, newest = time.monotonic(), changed
        done = sum(int(read_json(stats)["count"]) for stats in output.glob("*_stats.json") if stats.stat().st_size)
        if done > progress.done:
            progress.advance(done - progress.done)
        if time.monotonic() - last_change > stall_s:
            return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End img2dataset with all of its workers, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def collect(output: Path, folder: Path) -> dict[str, str]:
    """Move the images of a round, also of one that was killed, to their names; return the reasons of the failures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for description in sorted(output.glob("*/*.json")):
        image = description.with_suffix(".jpg")  # img2dataset's suffix for anything
        try:
            about = read_json(description)
            if hashlib.sha256(image.read_bytes()).hexdigest() == about["sha256"]:
                link_or_copy(image, inside(folder, about["name"]))
        except (UserError, OSError, KeyError, TypeError):
            continue  # cut off by a kill; its name is asked for again
    reasons: dict[str, str] = {}
    for shard in sorted(output.glob("*.parquet")):
        try:
            rows = pq.read_table(shard, columns=["name", "status", "error_message"]).to_pylist()
        except (pa.ArrowException, OSError):
            continue
        reasons |= {row["name"]: str(row["error_message"]) for row in rows if row["status"] != "success"}
    return reasons
