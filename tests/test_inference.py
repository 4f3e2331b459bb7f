"""Two lines of Python load a model that answers, captions and converses, from images in any form."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import PROJECT
from sharegpt4v import load
from sharegpt4v.captions.rows import read_instruction
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.generation.engine import Request
from sharegpt4v.generation.local import Generator
from sharegpt4v.inference import Model
from sharegpt4v.miniature import NOTICE, RECORD
from sharegpt4v.models.templates import IMAGE, encode, v1_text
from tiny_llava import write_llava, write_pictures

QUESTION = "What is in the image?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder, batch_size=4)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    data = tmp_path_factory.mktemp("data")
    return [data / path for path in write_pictures(data, 10)]


def test_an_answer_is_that_of_the_engine(model: Model, folder: Path, images: list[Path]) -> None:
    request = Request(QUESTION, images[0], 12, "square")  # as the checkpoint was trained
    assert model.ask(images[0], QUESTION, 12) == dict(Generator(folder).answer([request]))[0].text
    assert model.ask(None, "Hello?", 12) != model.ask(images[0], "Hello?", 12)


def test_every_form_of_an_image_is_the_same_image(model: Model, images: list[Path]) -> None:
    opened = Image.open(images[1])
    expected = model.ask(images[1], QUESTION, 12)
    forms: list[Any] = [str(images[1]), images[1].read_bytes(), opened, np.asarray(opened)]
    assert [model.ask(form, QUESTION, 12) for form in forms] == [expected] * 4
    grey = np.zeros((8, 6), np.uint8)
    assert model.ask(grey, QUESTION, 12) == model.ask(np.stack([grey] * 3, -1), QUESTION, 12)


def test_captions_come_in_order_with_progress(
    model: Model, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    captions = list(model.caption(images, QUESTION, 12))
    assert captions == [model.ask(image, QUESTION, 12) for image in images] and len(set(captions)) > 1
    assert "captions 10/10 images" in capsys.readouterr().err
    trained_with = read_instruction(PROJECT / "config/prompts/captioner.txt")
    assert list(model.caption(images, max_new_tokens=9)) == list(model.caption(images, trained_with, 9))


def test_a_conversation_is_the_text_that_models_are_trained_on(model: Model, images: list[Path]) -> None:
    chat = model.chat()
    first = chat.ask(QUESTION, images[0], 12)
    second = chat.ask("Is it red?", max_new_tokens=12)
    assert chat.rounds == [(QUESTION, first), ("Is it red?", second)]
    engine = model._engine
    family, tokenizer, tokens = engine.family, engine.tokenizer, engine.image_tokens
    turns = [(QUESTION, "A red circle."), ("Is it red?", "Yes.")]
    asked = family.prompt_ids(tokenizer, family.later_question(turns[:1], turns[1][0]), True, None, tokens)
    said = [f"{IMAGE}\n{QUESTION}", "A red circle.", "Is it red?", "Yes."]
    rows = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(said)]
    assert encode(tokenizer, *v1_text(rows), tokens).ids[: len(asked)] == asked
    with pytest.raises(UserError, match="an image after the first question; expected it with the first"):
        chat.ask("And this?", images[1])


def test_what_cannot_be_an_image_is_one_line(model: Model, images: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    complaints: dict[str | bytes, str] = {
        str(broken): r"broken\.png: the image cannot be decoded",
        str(tmp_path / "none.png"): r"none\.png: the image cannot be decoded",
        b"no image": "image 1: the image cannot be decoded",
        "https://example.org/a.png": "an address, which is not fetched; expected the path of a file",
    }
    for image, complaint in complaints.items():
        with pytest.raises(UserError, match=complaint) as caught:
            model.ask(image, QUESTION)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="ndarray: no image"):
        model.ask(np.zeros((2, 2, 7)), QUESTION)
    with pytest.raises(UserError, match=r"no config\.json; expected the folder of a model"):
        load(tmp_path)


def test_the_package_starts_without_torch() -> None:
    told = "import sharegpt4v, sys; assert 'torch' not in sys.modules; sharegpt4v.load; sharegpt4v.nothing"
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True)
    assert "AttributeError: module 'sharegpt4v' has no attribute 'nothing'" in ended.stderr


def test_pixels_of_a_file_in_memory_are_those_on_disk(images: list[Path], model: Model) -> None:
    file = io.BytesIO()
    Image.open(images[2]).save(file, "PNG")
    assert model.ask(file.getvalue(), QUESTION, 12) == model.ask(Image.open(images[2]), QUESTION, 12)


def test_a_model_of_the_miniature_says_so(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(folder)
    assert NOTICE not in capsys.readouterr().err
    shutil.copytree(folder, tmp_path / "drawn")
    write_json(tmp_path / "drawn/provenance.json", RECORD)
    load(tmp_path / "drawn")
    assert capsys.readouterr().err.count(NOTICE) == 1
