"""The generation engine: the same answers in batches as alone, each at its own limit, broken images told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Answer, Request, plain, texts
from sharegpt4v.generation.local import Generator
from tiny_llava import write_llava, write_pictures

WORDS = ("circle", "square", "red", "night", "small", "top left")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Request]]:
    """A model folder, and requests of many lengths, with and without images."""
    folder = tmp_path_factory.mktemp("generation")
    data = folder / "data"
    pictures = [data / path for path in write_pictures(data, 12)]
    requests = []
    for number, picture in enumerate(pictures):
        question = f"Is there a {' or a '.join(WORDS[: 1 + number % 6])}?"
        image = picture.read_bytes() if number % 2 else picture
        requests.append(Request(question, image, 16, ("pad", "square")[number % 2]))
        requests.append(Request(question, None, 16))
    settings = write_llava(folder) / "generation_config.json"
    stored = json.loads(settings.read_text())
    stored["suppress_tokens"].append(stored["eos_token_id"])  # no random answer ends by itself
    settings.write_text(json.dumps(stored))
    return settings.parent, requests


def answers_of(generator: Any, requests: list[Request]) -> list[str]:
    found = list(texts(generator, requests))
    assert len(dict(found)) == len(found) == len(requests)
    return [text for _, text in sorted(found)]


def test_answers_in_batches_are_those_alone(world: tuple[Path, list[Request]]) -> None:
    folder, requests = world
    alone = answers_of(Generator(folder, 1), requests)
    for size in (5, 16):
        assert answers_of(Generator(folder, size), requests) == alone
    assert len(set(alone)) > len(requests) // 2  # else equal answers would show nothing


def test_the_image_decides_the_answer(world: tuple[Path, list[Request]]) -> None:
    folder, requests = world
    answers = answers_of(Generator(folder, 4), [Request("What is it?", r.image, 16) for r in requests if r.image])
    assert len(set(answers)) > 1


@pytest.mark.parametrize("image_aspect_ratio", ["square", "pad"])
def test_engine_writes_what_transformers_writes_by_itself(tmp_path: Path, image_aspect_ratio: str) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from sharegpt4v.images.loading import open_rgb

    folder = write_llava(tmp_path, image_aspect_ratio)
    pictures = [tmp_path / "data" / path for path in write_pictures(tmp_path / "data", 40)]
    questions = [f"Is there a {' or a '.join(WORDS[: 1 + number % 6])}?" for number in range(40)]
    requests = [
        Request(question, picture, 16, image_aspect_ratio)
        for question, picture in zip(questions, pictures, strict=True)
    ]
    own = dict(Generator(folder, 16).answer(requests))

    # Nothing of the project but its folder: weights, processor, chat template, generation settings.
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    model: Any = AutoModelForImageTextToText.from_pretrained(folder)
    conversations = [
        [{"role": "user", "content": [{"type": "image", "image": open_rgb(picture)}, {"type": "text", "text": text}]}]
        for text, picture in zip(questions, pictures, strict=True)
    ]
    for size in (1, 40):
        written = []
        for first in range(0, 40, size):
            inputs = processor.apply_chat_template(
                conversations[first : first + size], add_generation_prompt=True, tokenize=True, return_dict=True,
                return_tensors="pt", processor_kwargs={"padding": True},
            )  # fmt: skip
            with torch.no_grad():
                ids = model.generate(**inputs, max_new_tokens=16)[:, inputs["input_ids"].shape[1] :]
            for row in ids:
                ended = "stop" if model.generation_config.eos_token_id in row else "length"
                written.append((plain(processor.decode(row, skip_special_tokens=True)), ended))
        assert written == [(own[index].text, own[index].finish_reason) for index in range(40)], size
    assert len(set(written)) > 20


def test_what_is_no_text_is_never_written(tmp_path: Path) -> None:
    from sharegpt4v.models.building import load_llava
    from sharegpt4v.models.saving import save_llava

    folder = write_llava(tmp_path)
    model, processor = load_llava(folder)
    tokens = len(processor.tokenizer)
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    model.resize_token_embeddings(tokens + 3, mean_resizing=False)
    likeliest = model.lm_head.weight.data.norm(dim=1).max() * 10
    model.lm_head.weight.data[[image, tokens, tokens + 2]] = likeliest * torch.sign(torch.randn(3, 32))
    save_llava(model, processor, tmp_path / "biased")
    assert load_llava(tmp_path / "biased")[0].generation_config.suppress_tokens == [image, *range(tokens, tokens + 3)]

    def written(never: Any) -> set[int]:
        generator: Any = Generator(tmp_path / "biased", 4)
        ids: list[int] = []
        generator.never = generator.never if never else generator.never[:0]
        read = generator._read

        def noted(row: list[int]) -> Answer:
            ids.extend(row)
            answer: Answer = read(row)
            return answer

        generator._read = noted
        list(generator.answer([Request(word, None, 16) for word in WORDS]))
        return set(ids)

    no_text = {image, *range(tokens, tokens + 3)}
    assert written(never=False) & no_text and not written(never=True) & no_text


def test_each_request_has_its_own_limit(world: tuple[Path, list[Request]]) -> None:
    folder, requests = world
    generator = Generator(folder, 8)
    found = {}
    for limit in (1, 5, 16):
        for index, request in enumerate(requests[:4]):
            found[limit, index] = Request(request.question, request.image, limit)
    keys = list(found)
    mixed = {keys[index]: answer for index, answer in generator.answer(list(found.values()))}
    for limit, index in keys:
        assert [(0, mixed[limit, index])] == list(generator.answer([found[limit, index]]))
    lengths = [sum(len(mixed[limit, index].text) for index in range(4)) for limit in (1, 5, 16)]
    assert 0 < lengths[0] < lengths[1] < lengths[2]
    assert {mixed[1, index].finish_reason for index in range(4)} == {"length"}


def test_broken_image_is_an_error_that_names_it(world: tuple[Path, list[Request]], tmp_path: Path) -> None:
    folder, requests = world
    broken = tmp_path / "broken.jpg"
    assert isinstance(requests[0].image, Path)
    broken.write_bytes(requests[0].image.read_bytes()[:400])
    mixed = [requests[0], Request(requests[0].question, broken, 4), requests[1]]
    generator = Generator(folder, 3)
    answers = dict(generator.answer(mixed))
    assert [answers[index].error is None for index in range(3)] == [True, False, True]
    assert answers[0].text == answers_of(generator, requests[:1])[0]
    with pytest.raises(UserError, match=r"broken\.jpg: the image cannot be decoded"):
        list(texts(generator, mixed))


def test_end_mark_ends_an_answer_and_no_other(
    world: tuple[Path, list[Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, requests = world

    def answered(size: int, end: Any = None) -> list[Any]:
        generator = Generator(folder, size)
        generator.tokenizer.eos_token = end or generator.tokenizer.eos_token
        return [answer for _, answer in sorted(generator.answer(requests), key=lambda one: one[0])]

    written: list[list[int]] = []
    read = Generator._read

    def noted(self: Generator, ids: list[int]) -> Answer:
        written.append(ids)
        return read(self, ids)

    monkeypatch.setattr(Generator, "_read", noted)
    whole = answered(8)
    longest = max(written, key=len)
    word = Generator(folder, 1).tokenizer.convert_ids_to_tokens(longest[len(longest) // 2])
    ended = answered(8, word)  # a word of the answers, taken for the end mark
    assert ended == answered(1, word)
    assert {"stop", "length"} == {answer.finish_reason for answer in ended}
    for before, after in zip(whole, ended, strict=True):
        assert before.text.startswith(after.text)
        assert (before == after) == (after.finish_reason == "length")


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        Generator(tmp_path)
