"""What is sent to an endpoint."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from chats import counts
from seed_stage import settings_for
from sharegpt4v.endpoint.account import reservations_path
from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.request import Request, TextRequest, image_mime
from sharegpt4v.files import read_jsonl
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve


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


@pytest.mark.parametrize("costs_nothing", [False, True])
def test_only_what_may_cost_something_is_reserved(tmp_path: Path, costs_nothing: bool) -> None:
    with serve(lambda image, prompt: "fine") as url, Ledger(tmp_path / "ledger.jsonl") as ledger:
        settings = replace(settings_for(url), costs_nothing=costs_nothing)
        assert asyncio.run(ask([TextRequest(str(number), f"{number}?") for number in range(3)], settings, ledger)) == {}
        assert len(ledger) == 3
        assert len(list(read_jsonl(reservations_path(ledger.path)))) == (0 if costs_nothing else 3)


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
