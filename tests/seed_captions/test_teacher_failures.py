"""What a teacher that fails costs: retries, skipped images, a stopped run, the budget, secrets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from chats import budget_of, counts
from seed_stage import describe, first_tries_fail, make_images, run_stage, settings_for
from sharegpt4v.endpoint.budget import BudgetGuard
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault

KEY = "sk-a-secret-that-must-not-be-written"


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
