"""The model behind the demo: prompts as trained, streams that are the engine's answers, refusals of one line."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sharegpt4v.demo.conversation import Conversation, read_conversation
from sharegpt4v.demo.server import application
from sharegpt4v.demo.streaming import StreamingGenerator
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Answer, Request
from sharegpt4v.loopback import served, server_of
from sharegpt4v.models.templates import IMAGE, encode, v1_text
from tiny_auto import write_auto
from tiny_llava import write_llava, write_pictures

QUESTIONS = ("What is in the image?", "Is it red?", "Why?")
ANSWERS = ("A red circle.", "Yes.")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    data = tmp_path_factory.mktemp("data")
    return (data / next(iter(write_pictures(data, 1)))).read_bytes()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> StreamingGenerator:
    return StreamingGenerator(write_llava(tmp_path_factory.mktemp("model")), 1)


@pytest.fixture(scope="module")
def address(model: StreamingGenerator) -> Iterator[str]:
    with served(server_of(application(model, "tiny")), "model server") as address:
        yield address


def url_of(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def turns(picture: bytes | None, questions: tuple[str, ...] = QUESTIONS) -> list[dict[str, Any]]:
    """A conversation of the protocol that ends with the last question; the image comes with the first."""
    said = [text for one in zip(questions, (*ANSWERS, ""), strict=False) for text in one][: 2 * len(questions) - 1]
    messages: list[dict[str, Any]] = [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(said)]
    if picture:
        image = {"type": "image_url", "image_url": {"url": url_of(picture)}}
        messages[0]["content"] = [image, {"type": "text", "text": said[0]}]
    return messages


def post(address: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{address}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)


def pieces_of(model: StreamingGenerator, conversation: Conversation) -> tuple[list[str], Answer]:
    pieces: list[str] = []
    answer = model.write(model.prepare(conversation), pieces.append)
    return pieces, answer


@pytest.mark.parametrize("shows", [True, False])
def test_a_conversation_is_the_text_that_models_are_trained_on(
    model: StreamingGenerator, picture: bytes, shows: bool
) -> None:
    asked = model.prepare(read_conversation({"messages": turns(picture if shows else None)}))
    said = [text for one in zip(QUESTIONS, (*ANSWERS, "No."), strict=True) for text in one]
    said[0] = f"{IMAGE}\n{said[0]}" if shows else said[0]
    rows = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(said)]
    trained = encode(model.tokenizer, *v1_text(rows, shows), model.image_tokens).ids
    assert trained[: len(asked.ids)] == asked.ids and (asked.image is not None) == shows
    # And that of the template which others find in the checkpoint.
    messages = turns(picture if shows else None)
    text = model.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    image = model.family.image_id(model.tokenizer)
    assert [one for one in asked.ids if one != image] == [one for one in ids if one != image]


@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl"])
def test_the_pieces_of_a_stream_are_the_answer_of_the_engine(
    kind: str, model: StreamingGenerator, picture: bytes, tmp_path: Path
) -> None:
    tested = model if kind == "llava" else StreamingGenerator(write_auto(kind, tmp_path / "model"), 1)
    for image in (picture, None):
        pieces, answer = pieces_of(tested, Conversation([], QUESTIONS[0], image, max_new_tokens=40))
        request = Request(QUESTIONS[0], image, 40, tested.image_aspect_ratio, True)
        assert answer == dict(tested.answer([request]))[0] and answer.text
        assert "".join(pieces) == answer.text and sum(map(bool, pieces)) > 3


def test_whoever_takes_no_more_ends_the_writing(model: StreamingGenerator, picture: bytes) -> None:
    seen: list[str] = []

    def enough(piece: str) -> None:
        seen.append(piece)
        if len(seen) == 3:
            raise StopAsyncIteration

    with pytest.raises(StopAsyncIteration):
        model.write(model.prepare(Conversation([], QUESTIONS[0], picture, max_new_tokens=400)), enough)
    assert len(seen) == 3


def test_what_a_model_cannot_read_is_one_line(model: StreamingGenerator, picture: bytes) -> None:
    complaints = [
        (Conversation([], "a</s>b", picture), r"a text holds </s>, which the model reads as a mark"),
        (Conversation([], f"the {IMAGE}", picture), "a text holds <image>"),
        (Conversation([], "?", b"no image"), r"the image cannot be decoded \(cannot identify"),
        (Conversation([], "red " * 3000, picture), r"tokens long, and the model reads [\d,]+; start a new one"),
    ]
    for conversation, complaint in complaints:
        with pytest.raises(UserError, match=complaint) as caught:
            model.prepare(conversation)
        assert "\n" not in str(caught.value)


def test_the_server_answers_in_both_ways(address: str, model: StreamingGenerator, picture: bytes) -> None:
    expected = pieces_of(model, read_conversation({"messages": turns(picture), "max_tokens": 30}))[1]
    body = {"model": "tiny", "messages": turns(picture), "max_tokens": 30}
    choice = post(address, body).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (expected.text, expected.finish_reason)
    streamed = post(address, body | {"stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line]
    assert len(events) > 5 and events[-1] == "[DONE]"
    assert httpx.get(f"{address}/v1/models", trust_env=False).json()["data"][0]["id"] == "tiny"


def test_the_server_is_for_this_machine_and_its_own_page(address: str, picture: bytes) -> None:
    body = {"messages": turns(picture, QUESTIONS[:1]), "max_tokens": 1}
    assert post(address, body, host="evil.example").status_code == 400
    form = httpx.post(f"{address}/v1/chat/completions", content="{}", headers={"content-type": "text/plain"})
    assert form.status_code == 400 and "application/json" in form.json()["error"]["message"]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "messages: List should have at least 1 item"),
        ("no", "messages: Input should be a valid list"),
        ([{"role": "user"}], "messages.0.content: Field required; expected a chat completion request"),
        ([{"role": "assistant", "content": "a"}], "expected turns of user and assistant, one after the other"),
        ([{"role": "user", "content": "a"}] * 2, "expected turns of user and assistant, one after the other"),
        (
            [*turns(None, QUESTIONS[:2])[:2], *turns(b"x", QUESTIONS[:1])],
            "an image after the first question; expected it with the first: start a new conversation",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}],
            "an image is no data URL; expected one in base64, as addresses are not fetched",
        ),
        (turns(b"no image"), "the image cannot be decoded (cannot identify the format of the image)"),
    ],
)
def test_a_bad_request_is_answered_in_one_line(address: str, messages: Any, complaint: str) -> None:
    answered = post(address, {"messages": messages, "stream": True})
    message = answered.json()["error"]["message"]
    assert answered.status_code == 400 and complaint in message and "\n" not in message, message


def test_the_next_question_is_answered_soon_after_a_stop(address: str, picture: bytes) -> None:
    body = {"messages": turns(picture, QUESTIONS[:1]), "max_tokens": 1500, "stream": True}
    with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=60, trust_env=False) as streamed:
        lines = streamed.iter_lines()
        assert [next(lines) for _ in range(6)]
        whole = time.monotonic()
    answered = post(address, body | {"max_tokens": 2, "stream": False})
    assert answered.status_code == 200 and time.monotonic() - whole < 10
