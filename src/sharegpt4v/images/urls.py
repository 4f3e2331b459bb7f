"""URL lists (the paper's web images, OCR-VQA) through img2dataset, which lives in an environment of its own.

img2dataset exits with 0 whatever happens, never tries a failed URL again, and numbers images by order of arrival. So
here each run asks only for what is not on disk yet, images are joined to their names by the `name` column, and every
failure comes back with its reason.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.images.catalogue import resolve
from sharegpt4v.images.listing import Listing, link_or_copy
from sharegpt4v.images.paths import safe_name
from sharegpt4v.progress import Progress

HEADER = ["url", "name"]
URLS_PER_SHARD = 1_000


@dataclass(frozen=True)
class Crawler:
    """How img2dataset is run: its command, threads, and per URL the seconds to wait and the further tries.

    It is stopped when for `stall_s` seconds it has written nothing: it can hang at the very end.
    """

    command: Path = Path("img2dataset")
    threads: int = 16
    timeout_s: int = 10
    retries: int = 2
    stall_s: float = 900.0


def read_url_list(path: Path, mini_base_url: str | None = None) -> dict[str, str]:
    """Read a tab-separated list with the header `url name` into URL by image name; ``mini:`` URLs are resolved."""
    urls: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split("\t")
        if number == 1:
            if cells != HEADER:
                raise UserError(f"{path}, line 1: {line[:60]!r}; expected the tab-separated columns url and name")
            continue
        try:
            url, name = cells
            name = safe_name(name)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}; expected a URL, a tab and a relative file name") from None
        if name in urls:
            raise UserError(f"{path}, line {number}: the name {name!r} was given before; names have to differ")
        urls[name] = resolve(url, mini_base_url)
    if not urls:
        raise UserError(f"{path}: no URLs in it; expected one per line after the header")
    return urls


def read_ocr_vqa(path: Path) -> dict[str, str]:
    """Read OCR-VQA's ``dataset.json`` into URL by image name: its `imageURL`s by id.

    Every name ends in ``.jpg``, whatever the image is, because the rows of LLaVA's mix say so.
    """
    books, expected = read_json(path), "expected OCR-VQA's dataset.json, an imageURL for each id"
    urls: dict[str, str] = {}
    for id, book in (books if isinstance(books, dict) else {}).items():
        try:
            urls[safe_name(f"{id}.jpg")] = str(book["imageURL"])
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{path}, {id!r}: an id or an imageURL is amiss; {expected}") from None
    if not urls:
        raise UserError(f"{path}: no images in it; {expected}")
    return urls


def fetch_urls(urls: Mapping[str, str], folder: Path, work: Path, crawler: Crawler) -> Listing:
    """Bring the images of `urls` (URL by name) to ``folder/name``, byte for byte as served.

    Those on disk already are not asked for again, those that failed are. `work` holds the round that is under way; one
    that was killed is collected first.
    """
    output = work / "img2dataset"
    _collect(output, folder)
    wanted = {name: url for name, url in urls.items() if not (folder / name).exists()}
    reasons: dict[str, str] = {}
    if wanted:
        shutil.rmtree(output, ignore_errors=True)
        _run(wanted, output, work, crawler)
        reasons = _collect(output, folder)
    shutil.rmtree(output, ignore_errors=True)
    failures = {
        name: f"{reasons.get(name, 'img2dataset gave no answer')} ({url})"
        for name, url in wanted.items()
        if not (folder / name).exists()
    }
    return Listing([name for name in urls if name not in failures], failures)


def check_success_rate(source: str, listing: Listing, smallest_success_rate: float) -> None:
    """Raise a `UserError` with the three commonest reasons when less than that share (0 to 1) of the URLs was had."""
    found, failed = len(listing.found), len(listing.failures)
    if found < smallest_success_rate * (found + failed):
        reasons = Counter(reason.rpartition(" (")[0] for reason in listing.failures.values()).most_common(3)
        commonest = ", ".join(f"{count:,} times {reason}" for reason, count in reasons)
        raise UserError(
            f"{source}: {found:,} of {found + failed:,} URLs could be fetched, expected at least "
            f"{smallest_success_rate:.0%}; commonest reasons: {commonest}; run again to retry, or lower the rate"
        )


def _run(wanted: Mapping[str, str], output: Path, work: Path, crawler: Crawler) -> None:
    """Run img2dataset over the wanted URLs; it writes shards of images into `output`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    output.mkdir(parents=True)
    # Parquet, because its reader guesses types of text files: names such as 000123 would become numbers.
    table = work / "wanted.parquet"
    pq.write_table(pa.table({"url": list(wanted.values()), "name": list(wanted)}), table)
    options = {
        "url_list": table.absolute(), "input_format": "parquet", "url_col": "url",
        "save_additional_columns": '["name"]', "output_folder": output.absolute(), "output_format": "files",
        "resize_mode": "no", "disable_all_reencoding": True, "extract_exif": False, "compute_hash": "sha256",
        "processes_count": 1, "thread_count": crawler.threads, "number_sample_per_shard": URLS_PER_SHARD,
        "timeout": crawler.timeout_s, "retries": crawler.retries, "enable_wandb": False,
    }  # fmt: skip
    command = [str(crawler.command), *(f"--{name}={value}" for name, value in options.items())]
    loopback = "127.0.0.1,localhost"
    no_proxy = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), loopback]))
    # Its augmentation library would ask the network for a newer version of itself.
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "no_proxy": no_proxy, "NO_PROXY": no_proxy}
    log = work / "img2dataset.log"
    with open(log, "wb") as log_file:
        try:
            process = subprocess.Popen(
                command, stdout=log_file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        except OSError as error:
            raise UserError(
                f"cannot run {command[0]} ({error.strerror}); expected the command img2dataset of its own environment"
            ) from None
        try:
            stalled = not _ends(process, output, Progress("URLs", len(wanted), "URLs"), crawler.stall_s)
        finally:
            _stop(process)
    if process.returncode != 0 and not stalled:
        last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise UserError(f"img2dataset ended with code {process.returncode} ({last}); see {log}")


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


def _collect(output: Path, folder: Path) -> dict[str, str]:
    """Move the images of a round, also of one that was killed, to their names; return the reasons of the failures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for description in sorted(output.glob("*/*.json")):
        image = description.with_suffix(".jpg")  # img2dataset's suffix for anything
        try:
            about = read_json(description)
            if hashlib.sha256(image.read_bytes()).hexdigest() == about["sha256"]:
                link_or_copy(image, folder / about["name"])
        except (UserError, OSError):
            continue  # cut off by a kill; its name is asked for again
    reasons: dict[str, str] = {}
    for shard in sorted(output.glob("*.parquet")):
        try:
            rows = pq.read_table(shard, columns=["name", "status", "error_message"]).to_pylist()
        except (pa.ArrowException, OSError):
            continue
        reasons |= {row["name"]: str(row["error_message"]) for row in rows if row["status"] != "success"}
    return reasons
