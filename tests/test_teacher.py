"""What the teacher room promises: the right prompt per image, no reply lost or paid twice, no bad caption let through.

The client is tested against the real server of the mini preset over loopback HTTP.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import math
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chats import budget_of, chat_settings
from conftest import kill_at_the_eighth
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.prompts import PromptBook, asks_aesthetic
from sharegpt4v.corpora.quality import REASONS, Caption, count_reasons, examine, reject_reason
from sharegpt4v.endpoint.budget import BudgetGuard, Forecast, prompt_bound
from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.pacing import Pacer, back_off, retry_after
from sharegpt4v.endpoint.request import Request, TextRequest, image_mime, prompt_hash
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, read_jsonl
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from sharegpt4v.seed_captions.gate import Gate
from sharegpt4v.seed_captions.stage import SeedImage, choose, seed_captions

PROMPTS = Path(__file__).parent.parent / "config" / "prompts" / "teacher"
KEY = "sk-a-secret-that-must-not-be-written"
Order = Callable[[int, bytes | None, str], Fault | None]
SENTENCE = "A red circle stands to the left of a tall blue square on a green ground, and a small sign says {}."


def describe(image: bytes | None, prompt: str) -> str:
    """A good caption that tells which image and prompt came over the wire."""
    return SENTENCE.format(f"{hashlib.sha256(image or b'').hexdigest()[:20]} {prompt_hash(prompt)}")


def make_images(data: Path, count: int, source: str = "coco") -> list[SeedImage]:
    (data / source).mkdir(parents=True, exist_ok=True)
    images = []
    for number in range(count):
        content = b"\xff\xd8\xff" + f"{source} {number}".encode()
        path = f"{source}/{number:012d}.jpg"
        (data / path).write_bytes(content)
        images.append(SeedImage(path, source, hashlib.sha256(content).hexdigest()))
    return images


def settings_for(url: str, **changes: object) -> ChatSettings:
    return chat_settings(url, "mini", **{"concurrency": 4, "back_off_seconds": 0.001, "attempts": 3, **changes})


def run_stage(folder: Path, images: list[SeedImage], settings: ChatSettings, **changes: object) -> Any:
    options: dict[str, Any] = {"seed": 0, "aesthetic_fraction": 0.5, "rejected_limit": 0.0, **changes}
    quality = Quality(largest_rejected_fraction=options.pop("rejected_limit"))
    return seed_captions(
        images,
        folder / "data",
        folder / "seed.json",
        folder / "work",
        PromptBook.load(PROMPTS),
        settings,
        quality,
        **options,
    )


def counts(url: str) -> dict[str, int]:
    """What the server says it received and answered."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/health") as reply:
        received: dict[str, int] = json.load(reply)
    return received


# --- prompts -----------------------------------------------------------------------------------------------------


def test_prompt_is_base_then_source_block_then_closing() -> None:
    book = PromptBook.load(PROMPTS)
    art = (PROMPTS / "sources" / "art.txt").read_text().strip()
    assert book.render("wikiart", aesthetic=False) == "\n\n".join([book.base, art, book.closing])
    assert book.render("wikiart", aesthetic=True) == "\n\n".join([book.base, art, book.closing, book.aesthetic])
    assert len({prompt_hash(book.render(source, False)) for source in book.blocks}) == 5


def test_users_own_source_gets_the_default_block_and_without_one_the_file_to_extend_is_named(tmp_path: Path) -> None:
    book = PromptBook.load(PROMPTS)
    assert book.render("my-photos", False) == book.render("coco", False)
    without_default = PromptBook(tmp_path, "base", "closing", "aesthetic", {"coco": "block"}, ("question",))
    with pytest.raises(UserError, match=r"sources\.tsv: no row for source 'my-photos'"):
        without_default.render("my-photos", False)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("coco\tgeneral\n", "line 1: expected 'source', tab, 'block'"),
        ("source\tblock\ncoco general\n", "line 2: expected 'source', tab, 'block'"),
        ("source\tblock\ncoco\tgeneral\ncoco\tgeneral\n", "line 3: source 'coco' has a row already"),
        ("source\tblock\ncoco\tnothing\n", "nothing.txt: no such file"),
        ("\n", "the file is empty"),
    ],
)
def test_broken_prompt_folder_is_one_line_with_the_place(tmp_path: Path, table: str, complaint: str) -> None:
    for name in ("base", "closing", "aesthetic", "questions", "sources/general"):
        (tmp_path / f"{name}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text("text")
    (tmp_path / "sources.tsv").write_text(table)
    with pytest.raises(UserError) as caught:
        PromptBook.load(tmp_path)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_aesthetic_part_depends_on_seed_and_path_alone_and_has_the_asked_size() -> None:
    paths = [f"coco/{number}.jpg" for number in range(4000)]
    first = [asks_aesthetic(path, 7, 0.25) for path in paths]
    assert first == [asks_aesthetic(path, 7, 0.25) for path in paths]
    assert first != [asks_aesthetic(path, 8, 0.25) for path in paths]
    assert 0.22 < sum(first) / len(first) < 0.28
    assert not any(asks_aesthetic(path, 7, 0.0) for path in paths)
    assert all(asks_aesthetic(path, 7, 1.0) for path in paths)


# --- which images ------------------------------------------------------------------------------------------------


def manifest(source: str) -> list[dict[str, str]]:
    return [
        {"path": f"{source}/{n}.jpg", "sha256": f"{source}{n}", "status": "bad" if n % 5 == 0 else "ok"}
        for n in range(50)
    ]


def test_choice_of_images_ignores_the_order_of_rows_and_grows_with_the_count() -> None:
    rows = manifest("sam")
    chosen = choose(rows, "sam", 10, seed=1)
    assert Counter(image.source for image in chosen) == {"sam": 10}
    random.Random(0).shuffle(rows)
    assert choose(rows, "sam", 10, seed=1) == chosen
    assert choose(rows, "sam", 20, seed=1)[:10] == choose(rows, "sam", None, seed=1)[:10] == chosen
    assert choose(rows, "sam", 10, seed=2) != chosen
    assert all(int(image.path.split("/")[1][:-4]) % 5 for image in chosen)


def test_too_few_images_is_an_error_and_none_takes_all() -> None:
    assert len(choose(manifest("coco"), "coco", None, seed=1)) == 40
    with pytest.raises(UserError, match=r"41 images of source 'coco' are wanted, the manifest has 40"):
        choose(manifest("coco"), "coco", 41, seed=1)


# --- the stage ---------------------------------------------------------------------------------------------------


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
from test_teacher import make_images, run_stage, settings_for
folder = Path(sys.argv[2])
run_stage(folder, make_images(folder / "data", 12), settings_for(sys.argv[3], concurrency=1))
"""


def test_after_kill_9_nothing_is_asked_twice_and_the_file_is_the_same(tmp_path: Path) -> None:
    child: list[subprocess.Popen[bytes]] = []
    started = threading.Event()
    with serve(describe, kill_at_the_eighth(child, started)) as url:
        child.append(subprocess.Popen([sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path), url]))
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


def test_a_reply_is_examined_anew_when_the_limits_change_or_for_another_image() -> None:
    request = Request("coco/000000000009.jpg", Path("data"), "coco", "hash", "Describe.")
    other = dataclasses.replace(request, image="coco/copy.jpg")
    prompts = {prompt_hash("Describe."): "Describe."}
    reply = {**request.about(), "text": f"This is 000000000009. {GOOD}", "finish_reason": "stop"}
    gate = Gate(prompts, Quality())
    reply |= gate.remarks(reply)
    assert reply["reason"] == "file name"
    assert gate.reasons([request, other], [reply, reply]) == ["file name", None]
    assert gate.reasons([request], [reply | {"reason": "what was found then"}]) == ["what was found then"]
    assert Gate(prompts, Quality(loops=5)).reasons([request], [reply | {"reason": None}]) == ["file name"]


# --- bad days ----------------------------------------------------------------------------------------------------


def first_tries_fail(fault: Fault, times: int = 1) -> Order:
    """Order the fault for the first tries of every image."""
    seen: Counter[bytes | None] = Counter()

    def order(number: int, image: bytes | None, prompt: str) -> Fault | None:
        seen[image] += 1
        return fault if seen[image] <= times else None

    return order


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        (Fault(status=500), {}),
        (Fault(status=503), {}),
        (Fault(status=429), {}),
        (Fault(status=408), {}),
        (Fault(drop=True), {}),
        (Fault(delay_seconds=1.5), {"timeout_seconds": 0.5}),
    ],
    ids=["500", "503", "429", "408", "dropped", "late"],
)
def test_passing_trouble_is_retried_and_the_attempts_are_recorded(
    tmp_path: Path, fault: Fault, changes: dict[str, Any]
) -> None:
    images = make_images(tmp_path / "data", 4)
    with serve(describe, first_tries_fail(fault)) as url:
        run_stage(tmp_path, images, settings_for(url, **changes))
        assert counts(url)["received"] == 8
    replies = list(read_jsonl(tmp_path / "work/replies.jsonl"))
    assert [row["attempts"] for row in replies] == [2, 2, 2, 2] and all(row["time"] for row in replies)


def test_retry_after_holds_everyone_and_takes_no_attempt(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 4)
    arrivals: dict[bytes | None, list[float]] = {}

    def busy_twice(number: int, image: bytes | None, prompt: str) -> Fault | None:
        times = arrivals.setdefault(image, [])
        times.append(time.monotonic())
        return Fault(status=429, retry_after="0.3") if len(times) <= 2 else None

    with serve(describe, busy_twice) as url:
        run_stage(tmp_path, images, settings_for(url, attempts=1))
    for times in arrivals.values():
        # A sleep is never shorter than asked, so this holds on the slowest machine.
        assert times[1] - times[0] >= 0.3 and times[2] - times[1] >= 0.3
    assert [row["attempts"] for row in read_jsonl(tmp_path / "work/replies.jsonl")] == [3, 3, 3, 3]


def test_trouble_that_stays_sets_the_image_aside_until_the_next_run(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 6)
    unlucky = (tmp_path / "data" / images[2].path).read_bytes()
    bad_day = True
    order = lambda number, image, prompt: Fault(status=500) if bad_day and image == unlucky else None  # noqa: E731
    with serve(describe, order) as url:
        summary = run_stage(tmp_path, images, settings_for(url), rejected_limit=0.5)
        assert summary.counts == {"coco": {"accepted": 5, "unanswered": 1}}
        (row,) = read_jsonl(tmp_path / "seed.rejected.jsonl")
        assert row["image"] == images[2].path and "500" in row["text"] and "3 attempts" in row["text"]
        bad_day = False
        assert run_stage(tmp_path, images, settings_for(url)).accepted == 6
        assert counts(url) == {"status": "ok", "received": 5 + 3 + 1, "served": 6}


def test_content_policy_is_recorded_once_and_a_bad_file_is_set_aside(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 6)
    delicate = (tmp_path / "data" / images[0].path).read_bytes()
    (tmp_path / "data" / images[1].path).write_bytes(b"another file")
    (tmp_path / "data" / images[2].path).unlink()
    fault = Fault(status=400, code="content_policy_violation", message="this image is\nnot for me")
    with serve(describe, lambda number, image, prompt: fault if image == delicate else None) as url:
        summary = run_stage(tmp_path, images, settings_for(url), rejected_limit=0.5)
        assert summary.counts == {"coco": {"accepted": 3, "refusal": 1, "unanswered": 2}}
        texts = [row["text"] for row in read_jsonl(tmp_path / "seed.rejected.jsonl")]
        assert "not for me" in texts[0] and "other SHA-256" in texts[1] and "No such file" in texts[2]
        run_stage(tmp_path, images, settings_for(url), rejected_limit=0.5)
        assert counts(url)["received"] == 4


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=401, message=f"incorrect key {KEY}"), "401, the key is missing or not accepted"),
        (Fault(status=404, message="no model mini"), "no model mini; check base_url"),
        (Fault(status=429, code="insufficient_quota", retry_after="100"), "no credit left"),
        (Fault(status=400, code="unsupported", message="unknown parameter"), "10 images in a row without a reply"),
        (Fault(status=500), "10 images in a row without a reply"),
    ],
    ids=["401", "404", "no-credit", "400-for-all", "500-for-all"],
)
def test_what_cannot_succeed_stops_the_run_with_one_line_and_keeps_what_was_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, expected: str
) -> None:
    monkeypatch.setenv("TEACHER_TEST_KEY", KEY)
    images = make_images(tmp_path / "data", 40)
    with serve(describe, lambda number, image, prompt: fault if number > 8 else None) as url:
        settings = settings_for(url, api_key_variable="TEACHER_TEST_KEY", attempts=2, concurrency=3)
        with pytest.raises(UserError) as caught:
            run_stage(tmp_path, images, settings)
        asked = counts(url)
    assert expected in str(caught.value) and "8 replies are kept" in str(caught.value)
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert asked["served"] == 8 and asked["received"] < 40
    with Ledger(tmp_path / "work" / "replies.jsonl") as ledger:
        assert len(ledger) == 8


def test_replies_under_way_when_the_run_stops_are_kept(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 8)

    def order(number: int, image: bytes | None, prompt: str) -> Fault:
        return Fault(status=401) if number == 4 else Fault(delay_seconds=0.5)

    with serve(describe, order) as url:
        with pytest.raises(UserError, match="3 replies are kept"):
            run_stage(tmp_path, images, settings_for(url, concurrency=4))
        assert counts(url) == {"status": "ok", "received": 4, "served": 3}


def test_no_request_is_sent_that_could_pass_the_budget_and_what_earlier_runs_spent_counts(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 30)

    def spent() -> float:
        with Ledger(tmp_path / "work" / "replies.jsonl") as ledger:
            return sum(BudgetGuard(budget, 1.0).cost(record) for record in ledger.records())

    with serve(describe, lambda number, image, prompt: Fault(delay_seconds=0.01)) as url:
        # A million dollars per million completion tokens: each caption costs as many dollars as it has words, about 25,
        # and could have cost 100.
        for limit in (0.9, 3.0, 3.5):
            budget = budget_of(100 * limit, 0.0, 1e6)
            with pytest.raises(UserError, match=rf"the budget of {100 * limit:.2f} USD"):
                run_stage(tmp_path, images, settings_for(url, max_tokens=100, budget=budget))
            assert spent() <= budget.limit_usd
            assert limit < 1 or spent() > budget.limit_usd - 100  # stopped no sooner than it had to be
        received = counts(url)["received"]
        run_stage(tmp_path, images[:2], settings_for(url, max_tokens=100, budget=budget_of(1.0, 0.0, 1e6)))
        assert counts(url)["received"] == received  # what is there costs nothing


def test_missing_key_and_bad_address_are_named_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEACHER_TEST_KEY", raising=False)
    images = make_images(tmp_path / "data", 1)
    with pytest.raises(UserError, match=r"\$TEACHER_TEST_KEY is not set"):
        run_stage(tmp_path, images, settings_for("http://127.0.0.1:9/v1", api_key_variable="TEACHER_TEST_KEY"))
    with pytest.raises(UserError, match="base_url is not an address"):
        run_stage(tmp_path, images, settings_for("127.0.0.1/v1"))


def test_no_file_and_no_line_holds_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEACHER_TEST_KEY", KEY)
    images = make_images(tmp_path / "data", 6)

    def order(number: int, image: bytes | None, prompt: str) -> Fault | None:
        if image == (tmp_path / "data" / images[0].path).read_bytes():
            return Fault(status=422, message=f"cannot read it, key {KEY}")
        return Fault(status=500, message=KEY) if number == 3 else None

    with serve(describe, order) as url:
        settings = settings_for(url, api_key_variable="TEACHER_TEST_KEY")
        run_stage(tmp_path, images, settings, rejected_limit=0.5)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "data" not in path.parts]
    output = capfd.readouterr()
    assert len(written) >= 5 and "asking mini at http://127.0.0.1:" in output.err
    for text in [path.read_text() for path in written] + [output.out, output.err]:
        assert KEY not in text


# --- pace --------------------------------------------------------------------------------------------------------


def test_no_minute_holds_more_requests_than_allowed() -> None:
    now = 0.0

    def clock() -> float:
        return now

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def send(count: int) -> list[float]:
        pacer = Pacer(20, None, clock, sleep)
        sent = []
        for number in range(count):
            await pacer.turn()
            sent.append(clock())
            if number == 30:
                pacer.hold(500)
        return sent

    sent = asyncio.run(send(100))
    assert sent[0] == 0 and sent[31] - sent[30] >= 500
    assert sent[-1] == pytest.approx((99 * 3 - 3) / 0.98 + 500, abs=0.3)  # and hardly slower than allowed
    for start in sent:
        assert sum(start <= moment < start + 59.999 for moment in sent) <= 20


class Timeless:
    """A clock that only moves when somebody sleeps, and a server with limits on requests and tokens in any minute."""

    def __init__(self, requests: float, tokens: float = math.inf) -> None:
        self.now, self.limits = 0.0, (requests, tokens)
        self.passed: list[tuple[float, float]] = []
        self.refused = 0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pacer(self, requests: float | None, tokens: float | None = None) -> Pacer:
        return Pacer(requests, tokens, lambda: self.now, self.sleep)

    def lets_pass(self, tokens: float) -> bool:
        minute = [used for moment, used in self.passed if moment > self.now - 60]
        if len(minute) + 1 > self.limits[0] or sum(minute) + tokens > self.limits[1]:
            self.refused += 1
            return False
        self.passed.append((self.now, tokens))
        return True

    def share(self) -> tuple[float, float]:
        """The used part of the requests and the tokens that were allowed."""
        requests, tokens = len(self.passed), sum(used for _, used in self.passed)
        return requests / self.limits[0] / self.now * 60, tokens / self.limits[1] / self.now * 60


def test_tokens_are_paced_by_an_estimate_that_replies_correct() -> None:
    server, forecast = Timeless(600, 60_000), Forecast()
    pacer, lengths = server.pacer(600, 60_000), random.Random(0)
    bound = prompt_bound(TextRequest("a", "x" * 240), image_tokens=0) + 1000

    async def send() -> None:
        for _ in range(1500):
            expected = forecast.expected(bound)
            await pacer.turn(expected)
            used = 60 + lengths.randrange(100, 300)
            assert server.lets_pass(used)
            forecast.learn(bound, used)
            pacer.correct(used, expected)

    asyncio.run(send())
    assert 0.95 < server.share()[1] <= 1 and server.refused == 0


def test_the_pace_falls_to_what_an_endpoint_of_unknown_limits_bears_and_stays_there() -> None:
    server = Timeless(60)
    pacer = server.pacer(600)

    async def send() -> None:
        while len(server.passed) < 1000:
            sent = await pacer.turn()
            if not server.lets_pass(0):
                pacer.refused(sent)
                pacer.hold(server.passed[-60][0] + 60 - server.now)

    asyncio.run(send())
    assert server.share()[0] > 0.85 and server.refused < 40


def test_the_limits_that_an_endpoint_tells_are_kept_where_they_are_lower(tmp_path: Path) -> None:
    server = Timeless(60)
    pacer = server.pacer(600)
    pacer.told({"x-ratelimit-limit-requests": "60", "x-ratelimit-limit-tokens": "soon"})
    pacer.told({"x-ratelimit-limit-requests": "6000", "x-ratelimit-limit-tokens": "0"})
    asyncio.run(take_turns(pacer, 50))
    assert 48 < server.now < 51

    told = Fault(headers={"x-ratelimit-limit-requests": "600"})
    with serve(describe, lambda number, image, prompt: told) as url:
        start = time.monotonic()
        run_stage(tmp_path, make_images(tmp_path / "data", 7), settings_for(url, concurrency=1))
        assert time.monotonic() - start >= 0.35  # the second one goes at once, and may be late


async def take_turns(pacer: Pacer, count: int) -> None:
    for _ in range(count):
        await pacer.turn()


def test_rate_limit_holds_for_the_real_client_and_counts_retries(tmp_path: Path) -> None:
    import openai  # noqa: F401 -- loading it takes longer than the waits that are measured

    images = make_images(tmp_path / "data", 3)
    with serve(describe, first_tries_fail(Fault(status=500))) as url:
        start = time.monotonic()
        run_stage(tmp_path, images, settings_for(url, requests_per_minute=600))
        assert time.monotonic() - start >= 0.5  # six requests, a tenth of a second apart


def test_waits_double_with_jitter_up_to_a_minute() -> None:
    for failures, longest in ((1, 2.0), (2, 4.0), (3, 8.0), (30, 60.0)):
        waits = {back_off(failures, first=2.0) for _ in range(50)}
        assert len(waits) > 1 and longest / 2 <= min(waits) and max(waits) <= longest


def test_retry_after_is_read_as_seconds_milliseconds_or_date() -> None:
    now = datetime(2023, 11, 7, 12, 0, 0, tzinfo=UTC)
    assert retry_after({"retry-after": "2.5"}, 60) == 2.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}, 60) == 0.25
    assert retry_after({"retry-after": "Tue, 07 Nov 2023 12:01:30 GMT"}, 600, now) == 90
    assert retry_after({"retry-after": "Tue, 07 Nov 2023 12:01:30 GMT"}, 60, now) == 60
    assert retry_after({"retry-after": "Tue, 07 Nov 2023 11:00:00 GMT"}, 60, now) is None
    assert retry_after({"retry-after": "soon"}, 60) is None and retry_after({}, 60) is None


# --- what is sent ------------------------------------------------------------------------------------------------


def test_the_files_own_bytes_are_sent_with_the_type_of_their_content(tmp_path: Path) -> None:
    content = b"\x89PNG\r\n\x1a\nreally a png"
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    received: list[tuple[bytes | None, str]] = []

    def answer(image: bytes | None, prompt: str) -> str:
        received.append((image, prompt))
        return "fine"

    request = Request("picture.jpg", tmp_path, "coco", hashlib.sha256(content).hexdigest(), "Describe.")
    with serve(answer) as url, Ledger(tmp_path / "ledger.jsonl") as ledger:
        settings = settings_for(url)
        assert asyncio.run(ask([request], settings, ledger)) == {}
        assert ledger[settings.key(request)]["text"] == "fine"
    assert received == [(content, "Describe.")]


def test_image_type_is_told_by_content() -> None:
    assert image_mime(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert image_mime(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"
    assert image_mime(b"GIF89a") == "image/gif"
    assert image_mime(b"<html>") is None


def test_endpoint_answers_text_only_questions_lists_its_model_and_refuses_nonsense() -> None:
    import openai

    with serve(lambda image, prompt: f"{image!r} {prompt}") as url:
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        reply = client.chat.completions.create(model="mini", messages=[{"role": "user", "content": "two words"}])
        assert reply.choices[0].message.content == "None two words"
        assert reply.usage is not None and reply.usage.total_tokens == 2 + 3
        assert [model.id for model in client.models.list()] == ["mini"]
        with pytest.raises(openai.BadRequestError):
            client.post("/chat/completions", body={"messages": 3}, cast_to=object)
    with pytest.raises(OSError):
        counts(url)


# --- quality -----------------------------------------------------------------------------------------------------

GOOD = (
    "The image shows a red double-decker bus in front of a brick building. To the left of the bus stand two people, "
    "one of whom wears a green coat; to the right there is a lamp post with a small white sign that reads 'Stop'. The "
    "sky above the roofs is grey, and wet patches on the road reflect the lights of the bus."
)


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        (GOOD, None),
        (GOOD + " Nothing on it is sorry or unable; it can be seen by anyone. The number 123456 is on the bus.", None),
        ("The red, red, red, red roof is very, very, very steep. " + GOOD, None),
        ("", "empty"),
        (" \n . ", "empty"),
        ("I'm sorry, but I can't assist with that request.", "refusal"),
        ("I’m sorry, but I cannot identify people. " + GOOD, "refusal"),
        ("As an AI language model I see no image. " + GOOD, "refusal"),
        (GOOD + " The description contains no imaginary content.", "prompt echo"),
        (GOOD + " As requested, the text is free of any imagined or invented details.", "prompt echo"),
        (
            GOOD + " State only what you can tell from the picture with confidence, and leave out the rest.",
            "prompt echo",
        ),
        ("This is the image sa_17478, a landmark. " + GOOD, "file name"),
        (GOOD + " " + "The bus is red and it stands in the road. " * 4, "repetition"),
        (GOOD + " and then" + " and on" * 12, "repetition"),
        (GOOD + " " + "red " * 10, "repetition"),
        ("A red bus.", "too short"),
        (" ".join(f"{GOOD} Thing {n} is here." for n in range(2)) + " x" + "yz" * 2000, "too long"),
    ],
)
def test_gate_names_what_is_wrong_with_a_caption(caption: Any, reason: str | None) -> None:
    prompt = PromptBook.load(PROMPTS).render("coco", aesthetic=True)
    assert reject_reason(caption, prompt, "sam/images/sa_17478.jpg", Quality()) == reason
    assert reason is None or reason in REASONS


def test_gate_without_a_prompt_serves_for_the_captioner() -> None:
    assert reject_reason(GOOD, "", "coco/train2017/000000000009.jpg", Quality()) is None
    echo = GOOD + " No imaginary content is included."
    assert reject_reason(echo, "", "coco/train2017/000000000009.jpg", Quality()) == "prompt echo"


def test_gate_knows_cut_off_and_filtered_replies_by_the_finish_reason() -> None:
    assert reject_reason(GOOD, "", "a.jpg", Quality(), "length") == "cut off"
    assert reject_reason(GOOD, "", "a.jpg", Quality(), "content_filter") == "refusal"


def test_ordinary_words_and_names_are_no_file_names() -> None:
    assert reject_reason(GOOD + " A dog of 2017.", "", "a/dog.jpg", Quality()) is None
    assert reject_reason(GOOD + " A dog of 2017.", "", "a/2017.jpg", Quality()) is None
    assert reject_reason(GOOD + " This is Choi Min-sik.", "", "a/Choi_Min-sik.jpg", Quality()) is None
    assert reject_reason(GOOD + " This is dog.jpg.", "", "a/dog.jpg", Quality()) == "file name"
    assert reject_reason(GOOD + " This is Choi_Min-sik.", "", "a/Choi_Min-sik.jpg", Quality()) == "file name"


def test_one_text_on_many_images_is_rejected_everywhere_and_counted_by_source() -> None:
    captions = [Caption(f"{n}.jpg", "coco", GOOD) for n in range(4)]
    captions += [Caption(f"other{n}.jpg", "sam", f"{GOOD} Number {n % 2}.") for n in range(6)]
    reasons = examine(captions, Quality(most_copies=3))
    assert reasons == ["duplicate"] * 4 + [None] * 6
    table = count_reasons([caption.source for caption in captions], reasons)
    assert table == {"coco": {"duplicate": 4}, "sam": {"accepted": 6}}
