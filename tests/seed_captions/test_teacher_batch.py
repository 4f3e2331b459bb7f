"""What asking by batch promises: the same replies as asking directly, whatever goes wrong, and none paid for twice.

The client is tested against the Batch API of the mini endpoint, over loopback HTTP and through the package `openai`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chats import budget_of, counts
from conftest import PROJECT
from seed_stage import describe, first_tries_fail, make_images, run_stage
from seed_stage import settings_for as direct_settings
from sharegpt4v.endpoint.budget import BudgetGuard
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, read_jsonl
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault


def settings_for(url: str, **changes: object) -> Any:
    return direct_settings(url, **{"mode": "batch", "batch_requests": 8, "poll_seconds": 0.01, **changes})


def batches_of(url: str) -> list[Any]:
    """All batches that the server knows, in the order they were made."""
    import openai

    return list(openai.OpenAI(base_url=url, api_key="none").batches.list())[::-1]


def only(event: str, *numbers: int, **fault: Any) -> Callable[[str, int], Fault | None]:
    """Order a fault for the events of these numbers."""
    return lambda happened, number: Fault(**fault) if happened == event and number in numbers else None


def test_batches_make_the_same_file_as_single_requests_and_the_mode_may_change(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 20)
    with serve(describe) as url:
        run_stage(tmp_path, images, settings_for(url))
        assert [batch.status for batch in batches_of(url)] == ["completed"] * 3
        rows = read_json(tmp_path / "seed.json")
        provenance = (tmp_path / "seed.provenance.jsonl").read_bytes()
        ids = Counter(row["batch"] for row in read_jsonl(tmp_path / "work/replies.jsonl"))
        assert ids == {"batch_1": 8, "batch_2": 8, "batch_3": 4}
        run_stage(tmp_path, images, direct_settings(url))
        assert counts(url)["received"] == 20 and not list((tmp_path / "work" / "replies.batches").iterdir())
        (tmp_path / "work" / "replies.jsonl").unlink()
        run_stage(tmp_path, images, direct_settings(url))
        assert read_json(tmp_path / "seed.json") == rows
        assert (tmp_path / "seed.provenance.jsonl").read_bytes() == provenance


def test_a_file_of_requests_is_no_larger_than_allowed(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 9)
    (tmp_path / "data" / "coco" / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(9000))
    large = type(images[0])("coco/large.jpg", "coco", "6" * 64)
    with serve(describe) as url:
        run_stage(tmp_path, images, settings_for(url, batch_bytes=5000))
        assert 3 <= len(batches_of(url)) <= 5 and counts(url)["received"] == 9
        summary = run_stage(tmp_path, [*images, large], settings_for(url, batch_bytes=5000), rejected_limit=0.5)
    assert summary.counts == {"coco": {"accepted": 9, "unanswered": 1}}


def test_each_failure_in_a_batch_is_met_as_in_single_requests(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 8)
    content = [(tmp_path / "data" / image.path).read_bytes() for image in images]
    (tmp_path / "data" / images[3].path).write_bytes(b"another file")
    passing = first_tries_fail(Fault(status=503))

    def order(number: int, image: bytes | None, prompt: str) -> Fault | None:
        if image == content[0]:
            return Fault(status=400, code="content_policy_violation", message="not for me")
        if image == content[1]:
            return Fault(status=422, code="unsupported", message="cannot read it")
        if image == content[2]:
            return Fault(status=500)
        return passing(number, image, prompt) if image == content[4] else None

    with serve(describe, order) as url:
        summary = run_stage(tmp_path, images, settings_for(url), rejected_limit=0.5)
        assert summary.counts == {"coco": {"accepted": 4, "refusal": 1, "unanswered": 3}}
        assert [len(batches_of(url)), counts(url)["received"]] == [3, 7 + 2 + 1]
    texts = [row["text"] for row in read_jsonl(tmp_path / "seed.rejected.jsonl")]
    for text, part in zip(texts, ["not for me", "cannot read it", "(3 attempts)", "other SHA-256"], strict=True):
        assert part in text


def test_what_an_expired_batch_has_got_is_kept_and_the_rest_is_handed_in_anew(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 8)
    with serve(describe, batch_faults=only("run", 1, expires_after=5)) as url:
        assert run_stage(tmp_path, images, settings_for(url)).accepted == 8
        assert [batch.status for batch in batches_of(url)] == ["expired", "completed"]
        assert counts(url)["received"] == 8


def test_batches_wait_for_each_other_when_the_queue_is_full_and_shrink_when_that_does_not_help(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 24)
    full = only("run", 2, 4, status=400, code="token_limit_exceeded", message="enqueued token limit reached")
    slow = lambda number, image, prompt: Fault(delay_seconds=0.02)  # noqa: E731
    with serve(describe, slow, batch_faults=full) as url:
        assert run_stage(tmp_path, images, settings_for(url)).accepted == 24
        assert counts(url)["received"] == 24 and [batch.status for batch in batches_of(url)].count("failed") == 2

    (tmp_path / "work" / "replies.jsonl").unlink()
    small = lambda event, number: (  # noqa: E731
        Fault(status=400, code="token_limit_exceeded") if event == "run" and number < 3 else None
    )
    with serve(describe, batch_faults=small) as url:
        assert run_stage(tmp_path, images[:8], settings_for(url)).accepted == 8
        assert [batch.status for batch in batches_of(url)] == ["failed"] * 2 + ["completed"] * 4  # 8, 4, and 2 each


def test_a_batch_that_fails_for_another_reason_stops_the_run_in_one_line(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 8)
    with serve(describe, batch_faults=only("run", 1, status=400, message="billing\nhard limit")) as url:
        with pytest.raises(UserError) as caught:
            run_stage(tmp_path, images, settings_for(url))
        assert "batch batch_1 failed: billing hard limit; 0 replies are kept" in str(caught.value)
        assert run_stage(tmp_path, images, settings_for(url)).accepted == 8


@pytest.mark.parametrize("event", ["upload", "create", "poll", "content"])
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 503}], ids=["dropped", "503"])
def test_passing_trouble_with_the_endpoint_makes_no_batch_twice(
    tmp_path: Path, event: str, fault: dict[str, Any]
) -> None:
    images = make_images(tmp_path / "data", 12)
    with serve(describe, batch_faults=only(event, 1, 2, **fault)) as url:
        assert run_stage(tmp_path, images, settings_for(url)).accepted == 12
        assert len(batches_of(url)) == 2 and counts(url)["received"] == 12


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], f"{sys.argv[1]}/seed_captions"]
from test_teacher_batch import make_images, run_stage, settings_for
folder = Path(sys.argv[2])
run_stage(folder, make_images(folder / "data", 16), settings_for(sys.argv[3]))
"""


@pytest.mark.parametrize("event", ["create", "poll", "content"])
def test_after_kill_9_at_any_point_the_same_command_goes_on(tmp_path: Path, event: str) -> None:
    child: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def kill(happened: str, number: int) -> Fault | None:
        # At the second of each: one batch has come so far already.
        if happened != event or number != 2:
            return None
        started.wait()
        os.kill(child[0].pid, signal.SIGKILL)
        child[0].wait()
        return Fault(drop=True)

    with serve(describe, batch_faults=kill) as url:
        child.append(subprocess.Popen([sys.executable, "-c", CHILD, str(PROJECT / "tests"), str(tmp_path), url]))
        started.set()
        assert child[0].wait() == -signal.SIGKILL and not (tmp_path / "seed.json").exists()
        assert run_stage(tmp_path, make_images(tmp_path / "data", 16), settings_for(url)).accepted == 16
        assert len(batches_of(url)) == 2 and counts(url)["received"] == 16


def test_asking_directly_cancels_the_batches_under_way_and_keeps_what_they_have_got(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 16)
    cancelled = threading.Event()

    def order(event: str, number: int) -> Fault | None:
        if event == "cancel":
            cancelled.set()
        return Fault(status=401) if event == "poll" and number == 3 else None

    slow = lambda number, image, prompt: Fault(delay_seconds=0 if number < 6 or cancelled.is_set() else 1)  # noqa: E731
    with serve(describe, slow, batch_faults=order) as url:
        with pytest.raises(UserError, match="401"):
            run_stage(tmp_path, images, settings_for(url))
        assert run_stage(tmp_path, images, direct_settings(url)).accepted == 16
        assert counts(url)["received"] == 16
        assert "cancelled" in [batch.status for batch in batches_of(url)]
    by = [("batch" in row) for row in read_jsonl(tmp_path / "work" / "replies.jsonl")]
    assert by.count(True) >= 5 and by.count(False) >= 1


def test_no_batch_is_handed_in_that_could_pass_the_budget_at_the_batch_price(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 30)
    # A request may cost 100 words of half a dollar each; it does cost about 12 dollars.
    budget = budget_of(300.0, 0.0, 1e6)
    with serve(describe) as url:
        settings = settings_for(url, max_tokens=100, batch_requests=50, budget=budget, batch_factor=0.5)
        with pytest.raises(UserError, match=r"the budget of 300\.00 USD"):
            run_stage(tmp_path, images, settings)
        sizes = Counter(row["batch"] for row in read_jsonl(tmp_path / "work" / "replies.jsonl"))
        assert sizes["batch_1"] == 6
        with Ledger(tmp_path / "work" / "replies.jsonl") as ledger:
            assert 300 - 50 < sum(BudgetGuard(budget, 0.5).cost(record) for record in ledger.records()) <= 300


def test_a_batch_that_is_refused_for_the_name_of_a_parameter_is_asked_again_under_the_other(tmp_path: Path) -> None:
    images = make_images(tmp_path / "data", 20)
    with serve(describe, refuses_max_tokens=True) as url:
        summary = run_stage(tmp_path, images, settings_for(url, batch_requests=10))
        assert summary.counts == {"coco": {"accepted": 20}}
        assert counts(url)["served"] == 20 and counts(url)["received"] <= 40
