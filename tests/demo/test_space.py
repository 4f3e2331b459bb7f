"""The pages' own modules, without Gradio: uploads are bounded, a Space's model answers as the engine, files agree."""

from __future__ import annotations

import asyncio
import base64
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from batch import captions_of
from conftest import PROJECT
from loaded_model import LoadedModel, notice_of
from served_model import ServedModel
from settings import INSTRUCTION, Message, Refused, Settings
from sharegpt4v.demo.page import demo_python
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Request, plain
from sharegpt4v.generation.local import Generator
from streaming_endpoint import FAILS, SLOW, streaming_endpoint
from tiny_llava import write_llava, write_pictures
from turns import messages
from uploads import MOST_BYTES, MOST_FILES, data_url

QUESTION = "What is in the image?"


def content_of(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


async def text_of(pieces: AsyncIterator[str], most: int = 10_000) -> str:
    """The first pieces of an answer."""
    found: list[str] = []
    async for piece in pieces:
        found.append(piece)
        if len(found) == most:
            break
    await pieces.aclose()  # type: ignore[attr-defined]
    return "".join(found)


def test_an_image_is_sent_as_it_is_or_upright(tmp_path: Path) -> None:
    path = tmp_path / next(iter(write_pictures(tmp_path, 1)))
    assert data_url(path).startswith("data:image/jpeg;base64,") and content_of(data_url(path)) == path.read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (30, 20)).save(tmp_path / "rare.bmp")
    for name, size in (("turned.jpg", (20, 30)), ("rare.bmp", (30, 20))):
        url = data_url(tmp_path / name)
        assert url.startswith("data:image/png;") and Image.open(io.BytesIO(content_of(url))).size == size


def test_uploads_are_bounded_and_refused_in_one_line(tmp_path: Path) -> None:
    Image.new("1", (10_000, 6_000)).save(tmp_path / "wide.png")
    (tmp_path / "heavy.jpg").write_bytes(b"\xff\xd8" + bytes(MOST_BYTES))
    (tmp_path / "page.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    cut = tmp_path / next(iter(write_pictures(tmp_path, 1)))
    cut.write_bytes(cut.read_bytes()[:200])
    for name, complaint in {
        "wide.png": "wide.png: ",
        "heavy.jpg": "heavy.jpg: 20 MiB; expected an image of at most 20 MiB",
        "page.svg": "page.svg: not an image that can be read",
        str(cut.relative_to(tmp_path)): "not an image that can be read",
    }.items():
        with pytest.raises(Refused, match=complaint) as caught:
            data_url(tmp_path / name)
        assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_a_model_that_a_space_loads_answers_as_the_engine(tmp_path: Path) -> None:
    folder = write_llava(tmp_path)
    path = tmp_path / next(iter(write_pictures(tmp_path, 1)))
    loaded, engine = LoadedModel(str(folder)), Generator(folder, 1)
    asked = messages([("What is it?", "A circle.")], QUESTION, data_url(path))
    question = engine.family.later_question([("What is it?", "A circle.")], QUESTION)
    expected = dict(engine.answer([Request(question, path, 30, engine.image_aspect_ratio)]))[0].text
    assert plain(asyncio.run(text_of(loaded.answer(asked, 30)))) == expected != ""
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n**Miniature: small models.**\n")
    assert notice_of(str(folder)) == "Miniature: small models."


def test_an_answer_that_is_not_awaited_is_ended_at_its_server() -> None:
    async def ask_and_leave(model: ServedModel) -> str:
        said = await text_of(model.answer(messages([], f"{SLOW} please", None), 100), most=3)
        for _ in range(100):
            if endpoint.left:
                break
            await asyncio.sleep(0.05)
        return said

    with streaming_endpoint(lambda question: ["a "] * 300) as endpoint:
        model = ServedModel(endpoint.base_url, "served", "secret-key-of-somebody")
        assert asyncio.run(ask_and_leave(model)) == "a a a "
        assert endpoint.left == [f"{SLOW} please"]
        with pytest.raises(Refused, match=rf"^cannot answer {FAILS} \*\*\*$"):
            asyncio.run(text_of(model.answer(messages([], f"{FAILS} secret-key-of-somebody", None), 9)))
    with pytest.raises(Refused, match="the model's server cannot be asked"):
        asyncio.run(text_of(model.answer(messages([], "?", None), 9)))


class Nobody:
    """A model that is never asked."""

    name = "nobody"

    def answer(self, messages: list[Message], most_tokens: int) -> AsyncIterator[str]:
        raise AssertionError(messages)


def test_a_batch_is_bounded() -> None:
    async def rows() -> None:
        async for _ in captions_of(Settings("caption", Nobody()), ["a.jpg"] * (MOST_FILES + 1), "?"):  # type: ignore[arg-type]
            pass

    with pytest.raises(Refused, match="501 files; expected at most 500 at a time"):
        asyncio.run(rows())


def test_without_its_environment_one_line_names_what_makes_it(tmp_path: Path) -> None:
    (tmp_path / "space").mkdir()
    with pytest.raises(UserError, match="use a clone"):
        demo_python(tmp_path)
    (tmp_path / "space/app.py").touch()
    with pytest.raises(UserError, match="run `make demo-environment`"):
        demo_python(tmp_path)


def test_the_space_says_what_the_project_says() -> None:
    locked = (PROJECT / "envs/demo.lock").read_text()
    front = (PROJECT / "space/README.md").read_text()
    assert re.search(r"^sdk_version: (\S+)$", front, re.M)[1] in re.findall(r"^gradio==(\S+)", locked, re.M)  # type: ignore[index]
    assert (PROJECT / "config/prompts/captioner.txt").read_text().strip() == INSTRUCTION
