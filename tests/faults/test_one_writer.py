"""Two runs on one ledger or one work directory: one writes, the other is told so, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from asking import questions, quick
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.prompts import PromptBook
from sharegpt4v.endpoint.account import reservations_path
from sharegpt4v.endpoint.client import ask
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from sharegpt4v.seed_captions.stage import seed_captions

COUNT = 40
# Asks until it may; says how often it was told that the other one writes.
CHILD = """
import asyncio, sys, time
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from asking import questions, quick
from sharegpt4v.errors import UserError
from sharegpt4v.ledger import Ledger
from sharegpt4v.endpoint.client import ask
url, path, mode, count = sys.argv[3:]
print("ready", flush=True)
sys.stdin.readline()
refused = 0
while True:
    try:
        with Ledger(Path(path)) as ledger:
            asyncio.run(ask(questions(int(count)), quick(url, mode=mode, batch_requests=7, concurrency=2), ledger))
        break
    except UserError as error:
        assert "is writing it; wait until that has ended" in str(error), error
        refused += 1
        time.sleep(0.01)
print(refused)
"""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """What stands in a ledger, without what differs from run to run."""
    shown = ("key", "name", "text", "model", "finish_reason")
    rows = [{name: row[name] for name in shown} for row in read_jsonl(path)]
    return sorted(rows, key=lambda row: str(row["key"]))


@pytest.mark.parametrize("mode", ["direct", "batch"])
def test_two_runs_on_one_ledger_give_what_one_after_the_other_gives_and_ask_nothing_twice(
    tmp_path: Path, mode: str
) -> None:
    path, tests = tmp_path / "ledger.jsonl", Path(__file__).parent
    asked: Counter[str] = Counter()

    def late(number: int, image: bytes | None, prompt: str) -> Fault:
        asked[prompt] += 1
        return Fault(delay_seconds=0.01)

    with serve(lambda image, prompt: f"Answer to {prompt}", late) as url:
        command = [sys.executable, "-c", CHILD, str(tests), str(tests.parent), url, str(path), mode, str(COUNT)]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        for child in children:
            assert child.stdout and child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin
            child.stdin.write("\n")
            child.stdin.flush()
        refused = [int(child.communicate()[0]) for child in children]
        assert [child.returncode for child in children] == [0, 0] and sum(refused) > 0
        assert set(asked.values()) == {1} and len(asked) == COUNT
        with Ledger(tmp_path / "alone.jsonl") as ledger:
            asyncio.run(ask(questions(COUNT), quick(url), ledger))
    assert rows_of(path) == rows_of(tmp_path / "alone.jsonl")
    names = {path.name, reservations_path(path).name, "ledger.batches"}
    assert {one.name for one in tmp_path.iterdir()} - names == {"alone.jsonl", "alone.reservations.jsonl"}


def test_a_second_stage_on_a_work_directory_is_told_who_writes_before_anything_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []
    book = PromptBook.load(Path(__file__).resolve().parents[2] / "config" / "prompts" / "teacher")

    def seed(url: str) -> None:
        seed_captions(
            [], tmp_path / "data", tmp_path / "out.json", tmp_path / "work", book, quick(url), Quality(),
            seed=1, aesthetic_fraction=0.0,
        )  # fmt: skip

    with serve(lambda image, prompt: "", lambda number, image, prompt: asked.append(prompt)) as url:
        with Ledger(tmp_path / "work" / "replies.jsonl"), pytest.raises(UserError) as caught:
            seed(url)
        assert f"replies.jsonl: process {os.getpid()} on " in str(caught.value) and str(caught.value).isprintable()
        assert not asked and not (tmp_path / "out.json").exists()
        seed(url)
    assert (tmp_path / "out.json").exists()


def test_threads_that_read_a_ledger_while_it_is_written_get_each_its_own_record(tmp_path: Path) -> None:
    """A position in the file that all share would give one reader the line of another."""
    wrong: list[int] = []
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        for number in range(200):
            ledger.append(str(number), {"value": "x" * (number * 37 % 500)})

        def read(start: int) -> None:
            wrong.extend(n for n in range(start, 200) for _ in range(5) if ledger[str(n)]["key"] != str(n))

        readers = [threading.Thread(target=read, args=[start]) for start in range(4)]
        for reader in readers:
            reader.start()
        for number in range(200, 260):
            ledger.append(str(number), {"value": number})
        for reader in readers:
            reader.join()
    assert not wrong
