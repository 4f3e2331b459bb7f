"""The stage of the seed captions: rows, provenance, limits, kills."""

from __future__ import annotations

import dataclasses
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from chats import counts
from conftest import PROJECT, kill_at_the_eighth
from seed_stage import GOOD, PROMPTS, describe, make_images, run_stage, settings_for
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.prompts import PromptBook, asks_aesthetic
from sharegpt4v.corpora.verdicts import record_of, verdict_key
from sharegpt4v.endpoint.request import Request, prompt_hash
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, read_jsonl
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from sharegpt4v.seed_captions.gate import Gate
from sharegpt4v.seed_captions.stage import SeedImage


def test_rows_are_in_input_order_in_the_published_form_with_provenance_beside(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 12) + make_images(tmp_path / "data", 5, "wikiart")
    random.Random(3).shuffle(images)
    late = lambda number, image, prompt: Fault(delay_seconds=0.05) if number % 3 == 0 else None  # noqa: E731
    with serve(describe, late) as url:
        summary = run_stage(tmp_path, images, settings_for(url))

    rows = read_json(tmp_path / "seed.json")
    book = PromptBook.load(PROMPTS)
    for image, row in zip(images, rows, strict=True):
        prompt = book.render(image.source, asks_aesthetic(image.path, 0, 0.5))
        assert row["id"] == Path(image.path).stem and row["image"] == image.path
        human, gpt = row["conversations"]
        assert human["from"] == "human" and human["value"].removeprefix("<image>\n") in book.questions
        assert gpt == {"from": "gpt", "value": describe((tmp_path / "data" / image.path).read_bytes(), prompt)}
    provenance = list(read_jsonl(tmp_path / "seed.provenance.jsonl"))
    prompts = read_json(tmp_path / "seed.prompts.json")
    assert [row["image"] for row in provenance] == [image.path for image in images]
    assert [row["sha256"] for row in provenance] == [image.sha256 for image in images]
    assert all(prompt_hash(prompts[row["prompt_hash"]]) == row["prompt_hash"] for row in provenance)
    assert all(row["model"] == "mini" and row["prompt_tokens"] > 50 for row in provenance)
    assert summary.accepted == 17 and summary.counts == {"coco": {"accepted": 12}, "wikiart": {"accepted": 5}}
    assert list(read_jsonl(tmp_path / "seed.rejected.jsonl")) == []


def test_second_run_asks_nothing_and_another_model_or_setting_asks_again(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 6)
    with serve(describe) as url:
        run_stage(tmp_path, images, settings_for(url))
        first = (tmp_path / "seed.json").read_bytes()
        run_stage(tmp_path, images, settings_for(url, concurrency=2, attempts=9))
        assert counts(url)["received"] == 6
        assert (tmp_path / "seed.json").read_bytes() == first
        changes: list[dict[str, Any]] = [{"temperature": 0.5}, {"image_detail": "low"}, {"max_tokens": 99}]
        for times, change in enumerate(changes, start=2):
            run_stage(tmp_path, images, settings_for(url, **change))
            assert counts(url)["received"] == 6 * times


def test_same_file_under_two_names_is_asked_once_and_gets_two_rows(tmp_path: Path) -> None:
    (image,) = make_images(tmp_path / "data", 1)
    (tmp_path / "data" / "coco" / "copy.jpg").write_bytes((tmp_path / "data" / image.path).read_bytes())
    with serve(describe) as url:
        run_stage(
            tmp_path,
            [image, SeedImage("coco/copy.jpg", "coco", image.sha256)],
            settings_for(url),
            aesthetic_fraction=0.0,
        )
        assert counts(url)["received"] == 1
    assert [row["image"] for row in read_json(tmp_path / "seed.json")] == [image.path, "coco/copy.jpg"]


CHILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from seed_stage import make_images, run_stage, settings_for
folder = Path(sys.argv[2])
run_stage(folder, make_images(folder / "data", 12), settings_for(sys.argv[3], concurrency=1))
"""


def test_after_kill_9_nothing_is_asked_twice_and_the_file_is_the_same(tmp_path: Path) -> None:
    child: list[subprocess.Popen[bytes]] = []
    started = threading.Event()
    with serve(describe, kill_at_the_eighth(child, started)) as url:
        child.append(subprocess.Popen([sys.executable, "-c", CHILD, str(PROJECT / "tests"), str(tmp_path), url]))
        started.set()
        assert child[0].wait() == -signal.SIGKILL
        assert counts(url)["served"] == 7 and not (tmp_path / "seed.json").exists()
        images = make_images(tmp_path / "data", 12)
        run_stage(tmp_path, images, settings_for(url))
        assert counts(url)["served"] == len(images)
    assert [row["image"] for row in read_json(tmp_path / "seed.json")] == [image.path for image in images]


def test_rejected_above_the_limit_fails_in_one_line_keeps_the_replies_and_writes_no_captions(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 10)
    refuse = lambda number, image, prompt: Fault(text="I'm sorry, I can't help with that.") if number <= 3 else None  # noqa: E731
    with serve(describe, refuse) as url:
        with pytest.raises(UserError) as caught:
            run_stage(tmp_path, images, settings_for(url), rejected_limit=0.2)
        assert "3 of 10 images have no usable caption (3 refusal), the limit is 20.0%" in str(caught.value)
        assert "\n" not in str(caught.value) and not (tmp_path / "seed.json").exists()
        assert {row["reason"] for row in read_jsonl(tmp_path / "work" / "rejected.jsonl")} == {"refusal"}
        assert (tmp_path / "work" / "rejected.html").read_text().count("<td>refusal</td>") == 3

        summary = run_stage(tmp_path, images, settings_for(url), rejected_limit=0.3)
        assert counts(url)["received"] == 10
    assert (summary.accepted, summary.rejected) == (7, 3)
    rejected = list(read_jsonl(tmp_path / "seed.rejected.jsonl"))
    accepted = {row["image"] for row in read_json(tmp_path / "seed.json")}
    assert {row["image"] for row in rejected} | accepted == {image.path for image in images}
    assert all(row["text"] == "I'm sorry, I can't help with that." for row in rejected)
    page = (tmp_path / "seed.rejected.html").read_text()
    pictures = re.findall(r'<img [^>]*src="([^"]*)"', page)
    assert [tmp_path / picture for picture in pictures] == [tmp_path / "data" / row["image"] for row in rejected]
    assert "<tr><td>coco</td><td>7</td><td>3</td></tr>" in page


def test_a_reply_is_examined_anew_when_the_limits_change_or_for_another_image(tmp_path: Path) -> None:
    request = Request("coco/000000000009.jpg", Path("data"), "coco", "hash", "Describe.")
    other = dataclasses.replace(request, image="coco/copy.jpg")
    prompts = {prompt_hash("Describe."): "Describe."}
    reply = {**request.about(), "text": f"This is 000000000009. {GOOD}", "finish_reason": "stop"}
    gate = Gate(prompts, Quality())
    reply |= gate.remarks(reply)
    assert reply["reason"] == "file name"
    assert gate.reasons([request, other], [reply, reply]) == ["file name", None]
    assert gate.reasons([request], [reply | {"reason": "what was found then"}]) == ["what was found then"]
    with Ledger(tmp_path / "reviewed.jsonl") as ledger:
        for image, verdict in ((request.image, "accepted"), (other.image, "rejected")):
            ledger.append(verdict_key(image, reply["text"]), record_of(image, reply["text"], verdict, None))
    reviewed = Gate(prompts, Quality(reviewed=tmp_path / "reviewed.jsonl"))
    assert reviewed.version == gate.version and reviewed.reasons([request, other], [reply, None]) == [
        None,
        "unanswered",
    ]
    assert reviewed.reasons([request, other], [reply, reply]) == [None, "reviewed"]
    assert Gate(prompts, Quality(loops=5)).reasons([request], [reply | {"reason": None}]) == ["file name"]
