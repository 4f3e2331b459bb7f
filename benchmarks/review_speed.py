"""How soon `s4v review` shows captions at the paper's size, and the obvious alternative: reading all of it as JSON.

    python benchmarks/review_speed.py --captions 1246901

generates shards of so many captions (deterministic; words by Zipf's law, one caption in 50 rejected), indexes them,
starts the command anew and asks it for pages over HTTP, each for the first time. Then the same rows are parsed into one
list, and the same pages are taken out of that. Both have to give the same rows.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
from caption_statistics import generated

from sharegpt4v.files import write_jsonl

SHARD_ROWS = 10_000
PAGE = 50
REASONS = ["cut off", "prompt echo", "repetition", "too short"]
PAGES: dict[str, dict[str, str]] = {
    "the first page": {},
    "behind row 1,000,000": {"after": "1000000"},
    "in front of row 600,000": {"before": "600000"},
    "one source": {"source": "coco"},
    "one reason": {"reason": "repetition"},
    "source, reason, length": {"source": "sam", "reason": "cut off", "shortest": "600", "longest": "900"},
    "a word of nearly all captions": {"text": "the"},
    "the same, behind row 1,000,000": {"text": "the", "after": "1000000"},
    "two common words, a rare reason": {"text": "of with", "reason": "too short"},
    "a rare word": {"text": "another"},
    "a phrase": {"text": '"of the"'},
    "what is nowhere": {"text": "nowherewhatever"},
}


def main() -> None:
    """Generate, measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=1_246_901)
    parser.add_argument("--words", type=int, default=200, help="per caption, on average")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "data/captions"
        characters = write_shards(shards, options.captions, options.words)
        print(f"{options.captions:,} captions of {characters:.0f} characters on average, {size_of(shards):.2f} GB")
        first, _ = opened(Path(folder))
        print(f"index built, and the first page shown: {first:.1f} s, {size_of(Path(folder, '.work/review')):.2f} GB")
        ours, pages = opened(Path(folder), PAGES)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            plain, plain_pages, memory = pool.submit(plainly, shards).result()
    print(f"opened, from the command to the first page: {ours:.2f} s")
    print(f"JSON read whole: {plain:.2f} s, {plain / ours:.1f} x")
    print(f"memory: {pages.pop('memory'):.0f} MiB; JSON read whole: {memory:.0f} MiB")
    print("page | s4v review, ms | list, ms | x")
    for name, (seconds, numbers) in pages.items():
        plain_seconds, plain_numbers = plain_pages[name]
        if numbers != plain_numbers:
            sys.exit(f"{name}: {numbers[:5]}... and {plain_numbers[:5]}...; expected the same rows")
        print(f"{name} | {1000 * seconds:.0f} | {1000 * plain_seconds:.0f} | {plain_seconds / seconds:.0f}")
    print("all pages are the same rows")


def write_shards(folder: Path, count: int, words: int) -> float:
    """Write shards as the stage `captions` does; return the characters of a caption on average."""
    captions, characters = islice(generated(words), count), 0
    number = 0
    while shard := list(islice(captions, SHARD_ROWS)):
        start = number * SHARD_ROWS
        write_jsonl(folder / f"{number:05d}.jsonl", (_row(start + i, *one) for i, one in enumerate(shard)))
        characters += sum(len(text) for _, text in shard)
        number += 1
    return characters / count


def _row(number: int, source: str, text: str) -> dict[str, Any]:
    reason = REASONS[number // 50 % len(REASONS)] if number % 50 == 0 else None
    status = "rejected" if reason else "accepted"
    image = f"{source}/images/{number:012d}.jpg"
    return {"image": image, "sha256": f"{number:064x}", "caption": text, "status": status, "reason": reason}


def opened(folder: Path, pages: dict[str, dict[str, str]] | None = None) -> tuple[float, dict[str, Any]]:
    """Start the command; return the seconds to the first page, and those of each of `pages` with its rows."""
    command = [sys.executable, "-m", "sharegpt4v.cli", "review", "data/captions", "--port", "0"]
    start = time.perf_counter()
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        with httpx.Client(trust_env=False, timeout=60) as client:
            client.get(address).raise_for_status()
            client.get(f"{address}rows").raise_for_status()
            seconds = time.perf_counter() - start
            taken: dict[str, Any] = {}
            for name, asked in (pages or {}).items():
                start = time.perf_counter()
                answer = client.get(f"{address}rows", params=asked).raise_for_status()
                taken[name] = time.perf_counter() - start, [row["number"] for row in answer.json()["rows"]]
        taken["memory"] = psutil.Process(server.pid).memory_info().rss / 2**20
        return seconds, taken
    finally:
        server.terminate()
        server.wait()


def plainly(shards: Path) -> tuple[float, dict[str, tuple[float, list[int]]], float]:
    """Parse everything and filter the list; return the seconds, the pages with theirs, and the memory in MiB."""
    start = time.perf_counter()
    rows = [orjson.loads(line) for shard in sorted(shards.iterdir()) for line in shard.read_bytes().splitlines()]
    seconds, pages = time.perf_counter() - start, {}
    for name, asked in PAGES.items():
        start = time.perf_counter()
        found = islice((i for i in places(len(rows), asked) if passes(rows[i], asked)), PAGE)
        pages[name] = sorted(found), time.perf_counter() - start
    memory = psutil.Process().memory_info().rss / 2**20
    return seconds, {name: (taken, numbers) for name, (numbers, taken) in pages.items()}, memory


def places(count: int, asked: dict[str, str]) -> Iterator[int]:
    """Yield the rows to be looked at, in the order in which the page fills."""
    if "before" in asked:
        return iter(range(min(int(asked["before"]), count) - 1, -1, -1))
    return iter(range(int(asked.get("after", -1)) + 1, count))


def passes(row: dict[str, Any], asked: dict[str, str]) -> bool:
    """Whether a row passes the filter of a page."""
    text = asked.get("text", "")
    phrases = [text.strip('"')] if text.startswith('"') else text.split()
    return (
        asked.get("source", row["image"].partition("/")[0]) == row["image"].partition("/")[0]
        and asked.get("reason", row["reason"]) == row["reason"]
        and int(asked.get("shortest", 0)) <= len(row["caption"]) <= int(asked.get("longest", 10**9))
        and all(re.search(rf"\b{one}\b".replace(" ", r"\W+"), row["caption"], re.IGNORECASE) for one in phrases)
    )


def size_of(folder: Path) -> float:
    """Return how large the files of a folder are, in GB."""
    return sum(os.path.getsize(file) for file in folder.iterdir()) / 1e9


if __name__ == "__main__":
    main()
