"""Whatever the Batch API answers, each question ends with a reply or a reason, and the next run completes the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import KEY, KEY_VARIABLE, clear, many_runs, questions, quick, run
from harness import Outcomes
from sharegpt4v.endpoint.account import reservations_path
from sharegpt4v.files import read_jsonl
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from spoiling import ODD_VALUES, Place, spoiled_at

ABOUT_BATCH = ("id", "status", "created_at", "input_file_id", "output_file_id", "error_file_id", "errors", "metadata")
PLACES: dict[str, list[Place]] = {
    "upload": [(), ("id",)],
    "create": [(), ("id",), ("status",), ("metadata",)],
    "list": [(), ("data",), ("has_more",), ("data", 0), *(("data", 0, name) for name in ABOUT_BATCH)],
    "poll": [(), *((name,) for name in ABOUT_BATCH), ("request_counts",), ("request_counts", "completed")],
    "content": [
        (), ("custom_id",), ("response",), ("response", "status_code"), ("response", "body"), ("error",),
        ("response", "body", "choices"), ("response", "body", "usage"), ("response", "body", "choices", 0, "message"),
    ],
}  # fmt: skip
ORDERS = st.lists(
    st.sampled_from(sorted(PLACES)).flatmap(
        lambda event: st.tuples(st.just(event), st.sampled_from(PLACES[event]), st.sampled_from([..., *ODD_VALUES]))
    ),
    min_size=1,
    max_size=5,
)


def spoiler(event: str, place: Place, new: Any) -> Callable[[bytes], bytes]:
    """What becomes of an object, or of each line of a file of results."""
    if event != "content":
        return lambda body: spoiled_at([(place, new)], body)
    return lambda body: b"".join(spoiled_at([(place, new)], line) + b"\n" for line in body.splitlines())


@pytest.fixture(scope="module")
def desk() -> Iterator[tuple[dict[str, list[Fault]], str]]:
    """A server, and what happens to its next answers by their kind."""
    orders: dict[str, list[Fault]] = {}

    def happens(event: str, number: int) -> Fault | None:
        return orders[event].pop(0) if orders.get(event) else None

    with pytest.MonkeyPatch.context() as environment, serve(lambda *about: "Good.", batch_faults=happens) as url:
        environment.setenv(KEY_VARIABLE, KEY)
        yield orders, url


@many_runs
@given(ORDERS)
def test_no_answer_of_the_batch_api_loses_a_question_or_brings_the_key_into_a_file(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: Outcomes,
    desk: tuple[dict[str, list[Fault]], str],
    spoiled: list[tuple[str, Place, Any]],
) -> None:
    orders, url = desk
    path = tmp_path_factory.getbasetemp() / "batch-replies.jsonl"
    clear(path)
    requests = questions(4)
    settings = quick(url, mode="batch", batch_requests=3, api_key_variable=KEY_VARIABLE)
    orders.clear()
    for event, place, new in spoiled:
        orders.setdefault(event, []).append(Fault(spoil=spoiler(event, place, new)))
    skipped = run(requests, settings, path, outcomes)
    if skipped is not None:
        held = {row["key"] for row in read_jsonl(path)}
        assert {settings.key(request) for request in requests} == held | skipped.keys()
        assert not list(path.with_suffix(".batches").glob("*"))
    for file in (path, reservations_path(path), *path.with_suffix(".batches").glob("*")):
        assert KEY not in file.read_text(encoding="utf-8")
    orders.clear()
    assert run(requests, settings, path) == {}
    texts = {row["key"]: row["text"] for row in read_jsonl(path)}
    assert texts.keys() == {settings.key(request) for request in requests}
