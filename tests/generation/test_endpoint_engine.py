"""Captions and answers asked of an address: what the seed captions' client promises holds for them too."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sharegpt4v.config.endpoint import Budget, Endpoint
from sharegpt4v.config.generation import Generation
from sharegpt4v.endpoint.request import image_mime
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Answer, Request, about_engine, open_engine
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from tiny_llava import write_pictures


def settings(url: str, model: str = "mini", **more: Any) -> Generation:
    """What asks the model at an address."""
    asked = {"base_url": url, "model": model, "api_key_variable": None, "attempts": 2, **more}
    return Generation(engine="endpoint", endpoint=Endpoint(**asked))


def answers(generation: Generation, requests: list[Request], work: Path) -> list[Answer]:
    """The answers in the order of the requests, each of which has exactly one."""
    with open_engine(None, generation, work) as engine:
        found = list(engine.answer(requests))
    assert sorted(place for place, _ in found) == list(range(len(requests)))
    return [answer for _, answer in sorted(found, key=lambda one: one[0])]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [tmp_path / path for path in write_pictures(tmp_path, 6)]


def test_each_request_is_answered_once_and_never_asked_again(tmp_path: Path, pictures: list[Path]) -> None:
    asked = []

    def reply(image: bytes | None, prompt: str) -> str:
        asked.append((image, prompt))
        return f" {prompt} {len(image or b'')}</s> "

    requests = [Request(f"Question {n % 2}?", picture, 8) for n, picture in enumerate(pictures)]
    without = [Request("Without an image?", None, 4, system="Be brief."), Request("Question 0?", None, 9)]
    requests += [without[0], requests[0], without[1]]
    with serve(reply) as url:
        first = answers(settings(url), requests, tmp_path / "work")
        assert [one.text for one in first[:6]] == [
            f"Question {n % 2}? {picture.stat().st_size}" for n, picture in enumerate(pictures)
        ]
        assert first[6].text == "Be brief.\nWithout an image? 0" and first[7] == first[0]
        assert {one.finish_reason for one in first} == {"stop"}
        assert len(asked) == 8  # the equal one went once
        assert answers(settings(url), requests, tmp_path / "work") == first and len(asked) == 8
        answers(settings(url), [Request("Question 0?", pictures[0], 7)], tmp_path / "work")
        assert len(asked) == 9  # another limit is another question


def test_an_image_goes_as_its_own_bytes_unless_it_has_to_be_turned(tmp_path: Path, pictures: list[Path]) -> None:
    sent: list[bytes] = []
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(turned, exif=exif)
    Image.new("RGB", (8, 6)).save(tmp_path / "odd.tiff")

    def reply(image: bytes | None, prompt: str) -> str:
        sent.append(image or b"")
        return "fine"

    with serve(reply) as url:
        for request in (
            Request("?", pictures[0], 4),
            Request("?", pictures[0].read_bytes(), 5),
            Request("?", turned, 4, upright=True),
            Request("?", tmp_path / "odd.tiff", 4),
        ):
            answers(settings(url), [request], tmp_path / "work")
    assert sent[0] == sent[1] == pictures[0].read_bytes()
    assert [image_mime(image) for image in sent[2:]] == ["image/png"] * 2
    assert Image.open(io.BytesIO(sent[2])).size == (20, 40) and Image.open(io.BytesIO(sent[3])).size == (8, 6)


def test_what_is_wrong_with_one_is_its_error_and_the_rest_goes_on(tmp_path: Path, pictures: list[Path]) -> None:
    broken = []
    for number in range(12):  # more than the failures of an endpoint that stop a run
        broken.append(tmp_path / f"broken{number}.jpg")
        broken[-1].write_bytes(b"\x00not an image" * (number + 1))
    refused = base64.b64encode(pictures[1].read_bytes())

    def faults(number: int, image: bytes | None, prompt: str) -> Fault | None:
        if image and base64.b64encode(image) == refused:
            return Fault(status=400, code="invalid_image", message="the image is refused")
        if image == pictures[2].read_bytes():
            return Fault(status=400, code="content_policy", message="against the content policy")
        return Fault(finish_reason="length") if image == pictures[3].read_bytes() else None

    requests = [Request("What is it?", path, 8) for path in (*broken, *pictures)]
    with serve(lambda image, prompt: "A picture.", faults) as url:
        found = answers(settings(url), requests, tmp_path / "work")
    assert all(one.error and "the image cannot be decoded (" in one.error for one in found[:12])
    assert found[13].error == "400 the image is refused"
    assert found[14].error is not None and "content policy forbids an answer" in found[14].error
    assert found[15] == Answer("A picture.", "length")
    assert [one.text for one in (found[12], *found[16:])] == ["A picture."] * 3


def test_what_stops_all_is_one_line(tmp_path: Path, pictures: list[Path]) -> None:
    requests = [Request("What is it?", picture, 8) for picture in pictures]
    with serve(lambda image, prompt: "fine", lambda *_: Fault(status=404, message="no such model")) as url:
        with pytest.raises(UserError, match="404 no such model; check base_url, model 'other'") as error:
            answers(settings(url, "other"), requests, tmp_path / "work")
        assert "\n" not in str(error.value)
    spent = Budget(limit_usd=1e-9, prompt_usd_per_million=1, completion_usd_per_million=1)
    with serve(lambda image, prompt: "fine") as url:
        with pytest.raises(UserError, match=r"endpoint\.budget\.image_tokens is missing"):
            answers(settings(url, budget=spent), requests, tmp_path / "b")
        with pytest.raises(UserError, match="budget"):
            answers(settings(url, budget=spent.model_copy(update={"image_tokens": 100})), requests, tmp_path / "c")
    with pytest.raises(UserError, match="needs an address"):
        open_engine(None, Generation().model_copy(update={"engine": "endpoint"}), tmp_path)


def test_taking_no_more_withdraws_what_is_asked(tmp_path: Path, pictures: list[Path]) -> None:
    requests = [Request(f"Question {n}?", pictures[n % 6], 8) for n in range(200)]
    asked: list[str] = []

    def reply(image: bytes | None, prompt: str) -> str:
        asked.append(prompt)
        return prompt

    with serve(reply) as url:
        generation = settings(url, concurrency=4)
        with open_engine(None, generation, tmp_path / "work") as engine:
            replies = engine.answer(requests)
            place, answer = next(replies)
            assert answer.text == f"Question {place}?"
            replies.close()  # type: ignore[attr-defined]
        before = len(asked)
        assert before < 100
        assert len(answers(generation, requests, tmp_path / "work")) == 200
        assert len(asked) <= 200 + 4  # those under way when the first run was left were asked again
    assert about_engine(generation) == {"engine": "endpoint", "base_url": url, "model": "mini"}
