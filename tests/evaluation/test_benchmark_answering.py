"""Answering: official rows, one model load, nothing asked twice after a kill, the same bytes every time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharegpt4v.config.generation import Generation
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation import answering
from sharegpt4v.evaluation.sidecar import provenance_of
from sharegpt4v.generation.engine import Answer, Engine
from sharegpt4v.models.templates import SYSTEM

SHORT = "Answer the question using a single word or phrase."
World = tuple[list[tuple[str, Path, Path]], Path, Path]


class CountingEngine(Engine):
    """Stands in for the model: answers from last to first, and can be killed after some answers."""

    def __init__(self, killed_after: int | None = None) -> None:
        self.prompts: list[str] = []
        self.requests: list[Any] = []
        self.loads = 0
        self.killed_after = killed_after

    @classmethod
    def start(cls, model: Path | None, settings: Generation, work: Path) -> CountingEngine:
        return cls()

    def open(self, model: Path | None, settings: Generation, work: Path) -> CountingEngine:
        self.loads += 1
        return self

    def answer(self, requests: Any) -> Iterator[tuple[int, Answer]]:
        for index in reversed(range(len(requests))):
            if self.killed_after is not None and len(self.prompts) == self.killed_after:
                raise KeyboardInterrupt
            self.requests.append(requests[index])
            self.prompts.append(requests[index].question)
            yield index, Answer(f" answer to “{requests[index].question.split('?')[0][-1]}”</s> ", "stop")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two benchmarks' folders and a model folder; returns the arguments of `answer`."""
    model = tmp_path / "checkpoints" / "tiny-7b_v2"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")

    gqa = tmp_path / "eval" / "gqa"
    (gqa / "images").mkdir(parents=True)
    (gqa / "images/n1.jpg").write_bytes(b"one")
    rows = [{"question_id": str(n), "image": "n1.jpg", "text": f"Is it {n}?\n{SHORT}"} for n in range(5)]
    (gqa / "llava_gqa_testdev_balanced.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    science = tmp_path / "eval" / "scienceqa"
    (science / "images/test/7").mkdir(parents=True)
    (science / "images/test/7/image.png").write_bytes(b"seven")
    items = [
        {"id": "7", "image": "7/image.png", "conversations": [{"value": "<image>\nIs it 7?\nA. a\nB. b"}]},
        {"id": "8", "conversations": [{"value": "Is it 8?\nA. a\nB. b"}]},
    ]
    (science / "llava_test_CQM-A.json").write_text(json.dumps(items))
    jobs = [("gqa", gqa, tmp_path / "out/gqa.jsonl"), ("scienceqa", science, tmp_path / "out/scienceqa.jsonl")]
    return jobs, model, tmp_path / "work"


def test_official_rows(world: World) -> None:
    jobs, model, work = world
    engine = CountingEngine()
    answering.answer(jobs, model, "tiny-7b", work, open_engine=engine.open)
    rows = [json.loads(line) for line in jobs[1][2].read_text().splitlines()]
    assert [list(row) for row in rows] == [["question_id", "prompt", "text", "answer_id", "model_id", "metadata"]] * 2
    assert rows[0]["prompt"].startswith("<image>\nIs it 7?") and rows[1]["prompt"].startswith("Is it 8?")
    assert rows[0]["text"] == "answer to “7”"
    assert rows[0]["model_id"] == "tiny-7b"
    assert len({row["answer_id"] for row in rows}) == 2 and all(len(row["answer_id"]) == 22 for row in rows)
    assert jobs[1][2].read_text().isascii()
    assert [json.loads(line)["question_id"] for line in jobs[0][2].read_text().splitlines()] == [
        "0",
        "1",
        "2",
        "3",
        "4",
    ]
    assert engine.loads == 1


def test_what_the_model_is_given(world: World) -> None:
    jobs, model, work = world
    engine = CountingEngine()
    answering.answer(jobs, model, "tiny-7b", work, open_engine=engine.open)
    request = {request.question: request for request in engine.requests}[f"Is it 3?\n{SHORT}"]
    assert request.image == jobs[0][1] / "images/n1.jpg"
    assert (request.max_new_tokens, request.image_aspect_ratio, request.system) == (128, "pad", None)
    text_only = next(request for request in engine.requests if "Is it 8?" in request.question)
    assert text_only.image is None and "<image>" not in text_only.question


def test_a_question_may_bring_its_own_system_sentence(world: World, tmp_path: Path) -> None:
    _, model, work = world
    data = tmp_path / "eval/qbench"
    (data / "images_llvisionqa").mkdir(parents=True)
    (data / "images_llvisionqa/7.jpg").write_bytes(b"seven")
    row = {"img_path": "7.jpg", "question": "Is it sharp?", "candidates": ["Yes", "No"], "correct_ans": "No"}
    (data / "llvisionqa_dev.json").write_text(json.dumps([row]))
    engine = CountingEngine()
    answering.answer([("qbench", data, tmp_path / "qbench.jsonl")], model, "tiny-7b", work, open_engine=engine.open)
    prompt = "Is it sharp?\nChoose between one of the options as follows:\nA. Yes\nB. No\n"
    (request,) = engine.requests
    assert (request.question, request.system) == (prompt, SYSTEM.replace("user", "human"))
    assert json.loads((tmp_path / "qbench.jsonl").read_text())["prompt"] == prompt


def test_killed_run_goes_on_and_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    jobs, model, work = world
    answering.answer(jobs, model, "tiny-7b", tmp_path / "other", open_engine=CountingEngine().open)
    expected = [out.read_bytes() for _, _, out in jobs]
    for _, _, out in jobs:
        out.unlink()

    killed = CountingEngine(killed_after=3)
    with pytest.raises(KeyboardInterrupt):
        answering.answer(jobs, model, "tiny-7b", work, open_engine=killed.open)
    assert not jobs[0][2].exists()
    second = CountingEngine()
    answering.answer(jobs, model, "tiny-7b", work, open_engine=second.open)
    assert len(second.prompts) == 4 and not set(second.prompts) & set(killed.prompts)
    assert [out.read_bytes() for _, _, out in jobs] == expected

    third = CountingEngine()
    answering.answer(jobs, model, "tiny-7b", work, open_engine=third.open)
    assert third.loads == 0  # nothing left to ask, so the model is not loaded


def test_another_model_or_image_is_asked_again(world: World) -> None:
    jobs, model, work = world
    answering.answer(jobs, model, "tiny-7b", work, open_engine=CountingEngine().open)
    (jobs[0][1] / "images/n1.jpg").write_bytes(b"changed")
    engine = CountingEngine()
    answering.answer(jobs, model, "tiny-7b", work, open_engine=engine.open)
    assert len(engine.prompts) == 5
    (model / "README.md").write_text("a model card does not change the answers")
    (model / "model.safetensors").write_bytes(b"other weights")
    engine = CountingEngine()
    answering.answer(jobs, model, "tiny-7b", work, open_engine=engine.open)
    assert len(engine.prompts) == 7


def test_missing_files_are_found_before_the_model_is_loaded(world: World) -> None:
    jobs, model, work = world
    engine = CountingEngine()
    (jobs[1][1] / "images/test/7/image.png").unlink()
    with pytest.raises(UserError, match=r"scienceqa, question 7: no image .*image.png"):
        answering.answer(jobs, model, "tiny-7b", work, open_engine=engine.open)
    with pytest.raises(UserError, match=r"no config.json; expected the folder of a model"):
        answering.answer(jobs, model.parent, "tiny-7b", work, open_engine=engine.open)
    with pytest.raises(UserError, match="benchmark 'gqb' is not in"):
        answering.answer([("gqb", *jobs[0][1:])], model, "tiny-7b", work, open_engine=engine.open)
    assert engine.loads == 0


def test_without_missing_files_the_others_are_answered(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    jobs, model, work = world
    (jobs[0][1] / "images/n1.jpg").unlink()
    engine = CountingEngine()
    answering.answer(jobs, model, "tiny-7b", work, open_engine=engine.open, without_missing=True)
    said = capsys.readouterr().err
    assert "gqa: not answered; gqa, question 0: no image" in said and "it comes from LLaVA's eval.zip (https://" in said
    assert jobs[0][2].read_text() == "" and len(jobs[1][2].read_text().splitlines()) == 2
    assert len(engine.prompts) == 2


def test_it_stands_beside_the_answers_how_they_came_about(world: World) -> None:
    jobs, model, work = world
    answering.answer(jobs, model, "tiny-7b", work, open_engine=CountingEngine().open)
    about = json.loads(jobs[0][2].with_name("gqa.provenance.json").read_text())
    assert about["model"] == "tiny-7b" and about["model_sha256"] == answering.fingerprint(model)
    assert provenance_of(jobs[0][2], "answers") == about
    jobs[0][2].write_text("{}\n")
    with pytest.raises(UserError, match=r"not about this content of .*gqa.jsonl; run s4v answer again, or delete it"):
        provenance_of(jobs[0][2], "answers")


def test_a_broken_question_file_names_file_row_and_field(world: World) -> None:
    jobs, model, work = world
    path = jobs[0][1] / "llava_gqa_testdev_balanced.jsonl"
    path.write_text(path.read_text() + '{"question_id": "5", "image": "n1.jpg"}\n')
    with pytest.raises(UserError, match=r"balanced.jsonl, row 6: no field 'text'; expected a text"):
        answering.answer(jobs, model, "tiny-7b", work)
    path.write_text("")
    with pytest.raises(UserError, match="gqa: the question file is empty"):
        answering.answer(jobs, model, "tiny-7b", work)
    path.unlink()
    with pytest.raises(UserError, match=r"no share4v_gqa_testdev_balanced.jsonl or llava_gqa_testdev_balanced.jsonl"):
        answering.answer(jobs, model, "tiny-7b", work)
