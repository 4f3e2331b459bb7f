"""Rows that end make room for the next request: answers stay those of transformers, and no row is computed in vain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Answer, Request, plain
from sharegpt4v.generation.local import Generator
from sharegpt4v.images.loading import open_rgb
from tiny_llava import write_llava, write_pictures

LIMITS = (24, 3, 11, 1, 17, 6)
WORDS = ("circle", "square", "red", "night", "small", "top left")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Request]]:
    """A model folder; and requests of many lengths and limits, with and without images."""
    folder = tmp_path_factory.mktemp("continuous")
    pictures = [folder / path for path in write_pictures(folder, 10)]
    requests = []
    for number, picture in enumerate(pictures):
        question = f"Is there a {' or a '.join(WORDS[: 1 + number % 5])}?"
        requests += [Request(question, image, LIMITS[(number + (image is None)) % 6]) for image in (picture, None)]
    return write_llava(folder), requests


def generator_of(folder: Path, size: int, penalty: float = 1.0) -> Generator:
    """An engine whose answers also end at every twentieth id, so that a random model ends some of them."""
    generator = Generator(folder, size)
    generator.ends = [*generator.ends, *range(5, len(generator.tokenizer), 20)]
    generator.penalty = penalty
    return generator


@torch.inference_mode()
def by_transformers(generator: Generator, request: Request) -> tuple[Answer, int]:
    """What `model.generate` answers to one request alone, and with how many new ids."""
    image = None
    if isinstance(request.image, Path):
        image = generator.images[request.image_aspect_ratio].prepare(open_rgb(request.image))
    ids = torch.tensor([generator._ids(request)])
    ends = [*generator.ends, generator.tokenizer.eos_token_id]
    new = generator.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), **(generator._tensors([image]) if image else {}),
        max_new_tokens=request.max_new_tokens, do_sample=False, eos_token_id=ends,
    )[0, ids.shape[1] :].tolist()  # fmt: skip
    ended = new[-1] in ends
    text = generator.tokenizer.decode(new[:-1] if ended else new, skip_special_tokens=True)
    return Answer(plain(text), "stop" if ended else "length"), len(new)


def watched(generator: Generator) -> list[tuple[int, int]]:
    """The list of rows and positions of every forward that the engine does from now on."""
    shapes: list[tuple[int, int]] = []

    def note(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        shapes.append(tuple(inputs["input_ids"].shape))

    generator.model.register_forward_pre_hook(note, with_kwargs=True)
    return shapes


@pytest.mark.parametrize("size", [1, 4, 9])
def test_answers_are_those_of_transformers_and_no_row_is_computed_in_vain(
    world: tuple[Path, list[Request]], size: int
) -> None:
    folder, requests = world
    generator = generator_of(folder, size)
    expected = [by_transformers(generator, request) for request in requests]
    shapes = watched(generator)
    answers = dict(generator.answer(requests))
    assert [answers[index] for index in range(len(requests))] == [answer for answer, _ in expected]
    assert {answer.finish_reason for answer in answers.values()} == {"stop", "length"}
    assert len({answer.text for answer in answers.values()}) > len(requests) // 2
    assert max(rows for rows, _ in shapes) == size
    assert sum(rows for rows, width in shapes if width == 1) == sum(new for _, new in expected)
    assert sum(rows for rows, width in shapes if width > 1) == len(requests)


def test_a_penalty_is_on_the_ids_of_each_row(world: tuple[Path, list[Request]]) -> None:
    folder, requests = world
    plain, alone, together = (
        dict(generator_of(folder, size, penalty).answer(requests)) for size, penalty in ((1, 1), (1, 1.5), (5, 1.5))
    )
    assert together == alone != plain


def test_each_answer_comes_as_soon_as_it_is_finished(world: tuple[Path, list[Request]]) -> None:
    folder, requests = world
    generator = Generator(folder, 4)
    generator.never = torch.tensor([*generator.never.tolist(), generator.tokenizer.eos_token_id])
    asked = [Request(requests[0].question, requests[0].image, limit) for limit in (5, 12, 1, 9, 2)]
    shapes = watched(generator)
    came = [(index, len([1 for _, width in shapes if width == 1])) for index, _ in generator.answer(asked)]
    # The four longest begin; the fifth takes the place of that with the limit 2, after two steps.
    assert came == [(4, 2), (2, 3), (0, 5), (3, 9), (1, 12)]


@pytest.mark.parametrize("fails", [lambda rows, width: rows > 2, lambda rows, width: rows > 2 and width == 1])
def test_a_batch_that_memory_does_not_hold_is_halved(
    world: tuple[Path, list[Request]], capsys: pytest.CaptureFixture[str], fails: Any
) -> None:
    folder, requests = world
    expected = dict(generator_of(folder, 1).answer(requests))
    generator = generator_of(folder, 9)
    run_out_of_memory(generator, fails)
    capsys.readouterr()
    found = list(generator.answer(requests))
    assert dict(found) == expected and len(found) == len(requests)
    assert generator.batch_size == 2
    assert [line for line in capsys.readouterr().err.splitlines() if "memory" in line] == [
        "The GPU has no memory for 9 requests at a time; now 4.",
        "The GPU has no memory for 4 requests at a time; now 2.",
    ]


def test_memory_that_runs_out_on_the_way_loses_no_answer(world: tuple[Path, list[Request]]) -> None:
    folder, requests = world
    expected = dict(generator_of(folder, 1).answer(requests))
    generator = generator_of(folder, 8)
    forwards = iter(range(10**6))
    run_out_of_memory(generator, lambda rows, width: next(forwards) == 30)
    found = list(generator.answer(requests))
    assert dict(found) == expected and len(found) == len(requests) and generator.batch_size == 4


def test_memory_for_no_request_is_a_user_error(world: tuple[Path, list[Request]]) -> None:
    folder, requests = world
    generator = Generator(folder, 2)
    run_out_of_memory(generator, lambda rows, width: True)
    with pytest.raises(UserError, match="the GPU has no memory for a single request beside the model"):
        list(generator.answer(requests[:3]))


def run_out_of_memory(generator: Generator, fails: Any) -> None:
    """Let forwards fail as those on a full GPU do, where `fails(rows, positions)`."""

    def check(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        if fails(*inputs["input_ids"].shape):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    generator.model.register_forward_pre_hook(check, with_kwargs=True)
