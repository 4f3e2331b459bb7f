"""How long `s4v stage seed_captions` takes to find its place again among 102,025 replies, and how much memory.

    python benchmarks/teacher_resume.py

makes manifests that list the images of the paper's preset (or, with `--all`, as many as the sources have), and a ledger
of a reply to each that is asked about. Then it runs the command, each time in a process of its own: where nothing is
left to ask; where the last 100 are, of a server on this machine; and where all replies have to be examined again. It
prints the seconds and the largest resident memory of each, and for comparison what parsing the ledger alone takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from sharegpt4v import layout
from sharegpt4v.config import Config, load
from sharegpt4v.corpora.prompts import PromptBook, asks_aesthetic
from sharegpt4v.endpoint.completion import record_of
from sharegpt4v.endpoint.request import Request, prompt_hash
from sharegpt4v.images.manifest import ManifestRow, read_manifest, write_manifest
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.seed_captions.gate import Gate
from sharegpt4v.seed_captions.stage import choose
from sharegpt4v.stages.seed_captions import settings_of

PROJECT = Path(__file__).resolve().parents[1]
ASKED = {"coco": 50027, "llava": 30000, "sam": 20000, "web-celebrity": 498, "web-landmark": 500, "wikiart": 500,
         "share_textvqa": 500}  # fmt: skip
IN_ALL = ASKED | {"coco": 118287, "llava": 558128, "sam": 570000}
LEFT = 100
CHILD = """
import re, sys, time
start = time.perf_counter()
from sharegpt4v.cli import main
code = main(sys.argv[1:])
seconds, busy = time.perf_counter() - start, time.process_time()
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(f"{seconds:.1f} s ({busy:.1f} s of one core), at most {peak:.0f} MiB")
sys.exit(code)
"""


WORDS = sorted({word for word in (PROJECT / "README.md").read_text().lower().split() if word.isalpha()})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="manifests of all images of the sources, 1.25 million")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serve(lambda image, prompt: caption(image or b"")) as url:
        os.chdir(folder)
        for source, count in (IN_ALL if options.all else ASKED).items():
            write_manifest(layout.manifest(source), rows(source, count))
        teacher = {"base_url": url, "model": "gpt-4o", "api_key_variable": None, "captions": ASKED}
        Path("preset.json").write_text(json.dumps({"base": str(PROJECT / "config/paper-7b.yaml"), "teacher": teacher}))
        config = load(Path("preset.json"))
        ledger = layout.WORK / "seed_captions" / "replies.jsonl"
        ledger.parent.mkdir(parents=True)
        with open(ledger, "wb") as file:
            for record in replies(config, url):
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        lines = ledger.read_bytes().splitlines(keepends=True)
        print(f"{len(lines):,} replies of {sum(map(len, lines)) / len(lines):.0f} bytes in the ledger")
        start = time.perf_counter()
        for line in lines:
            orjson.loads(line)
        print(f"parsing the ledger's lines, no more: {time.perf_counter() - start:.2f} s")
        run("nothing left to ask", url, 0)
        last = [orjson.loads(line)["image"] for line in lines[-LEFT:]]
        ledger.write_bytes(b"".join(lines[:-LEFT]))
        for image in last:
            (layout.DATA / image).parent.mkdir(parents=True, exist_ok=True)
            (layout.DATA / image).write_bytes(content(image))
        run(f"the last {LEFT} to ask", url, LEFT)
        plain = [{name: value for name, value in orjson.loads(line).items() if name != "gate"} for line in lines]
        ledger.write_bytes(b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in plain))
        run("nothing left to ask, but the limits of the quality gate have changed", url, LEFT)


def content(image: str) -> bytes:
    """Return an image file, as far as the client looks at it."""
    return b"\xff\xd8\xff" + image.encode()


def caption(image: bytes) -> str:
    """Return a text of about 1,000 characters; it depends on the image."""
    return " ".join(random.Random(image).choices(WORDS, k=165))


def rows(source: str, count: int) -> Iterator[ManifestRow]:
    """Yield the manifest of a source of so many images."""
    for number in range(count):
        path = f"{source}/images/{number:012d}.jpg"
        digest = hashlib.sha256(content(path)).hexdigest()
        yield ManifestRow(
            path=path, source=source, sha256=digest, bytes=100, width=640, height=480, mode="RGB", format="JPEG",
            archive="", status="ok", note="", licence="",
        )  # fmt: skip


def replies(config: Config, url: str) -> Iterator[dict[str, Any]]:
    """Yield the ledger's lines, as the program would have written them."""
    teacher, settings = config.teacher, settings_of(config.teacher, url)
    book = PromptBook.load(layout.of_project(teacher.prompts))
    prompts = [book.render(source, aesthetic) for source in teacher.captions for aesthetic in (False, True)]
    gate = Gate({prompt_hash(prompt): prompt for prompt in prompts}, teacher.quality)
    for source, count in teacher.captions.items():
        for image in choose(read_manifest(layout.manifest(source)), source, count, config.seed):
            prompt = book.render(source, asks_aesthetic(image.path, config.seed, teacher.aesthetic_fraction))
            request = Request(image.path, layout.DATA, source, image.sha256, prompt)
            text = caption(content(image.path))
            told = {"answered_by": "gpt-4o-2024-08-06", "text": text, "finish_reason": "stop", "prompt_tokens": 890}
            record = record_of(request.about(), settings, 1) | told | {"completion_tokens": 214}
            yield {"key": settings.key(request), **record, **gate.remarks(record)}


def run(what: str, url: str, expected: int) -> None:
    """Run the command and print seconds and memory; the server must have been asked so many times in all."""
    command = [sys.executable, "-c", CHILD, "seed", "--config", "preset.json"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    with urllib.request.urlopen(url.removesuffix("/v1") + "/health") as reply:
        assert json.load(reply)["served"] == expected
    count = sum(1 for line in open(layout.SEED_CAPTIONS, "rb") if line.startswith(b"{"))
    print(f"{what}: {ended.stdout.strip()}; {count:,} captions")


if __name__ == "__main__":
    main()
