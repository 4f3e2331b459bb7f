"""`s4v bridge lmms-eval`: tasks that ask our questions, samples that come back as our answers, and lmms-eval itself."""

from __future__ import annotations

import csv
import json
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
import yaml
from PIL import Image

from conftest import PROJECT, run
from evaluation_files import make_evaluation
from lmms_eval_environment import lmms_eval  # noqa: F401  (a fixture)
from sharegpt4v.bridge.lmms_eval_samples import join, read_samples
from sharegpt4v.bridge.lmms_eval_tasks import write_tasks
from sharegpt4v.bridge.lmms_eval_utils import centre_square
from sharegpt4v.catalogues.benchmarks import benchmark_named, read_catalogue
from sharegpt4v.cli import main
from sharegpt4v.evaluation.base import Question
from sharegpt4v.evaluation.comparing import asked_of
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.files import read_jsonl, write_jsonl
from sharegpt4v.models.pixels import to_square
from sharegpt4v.models.templates import CHAT_TEMPLATE, prompt_text

SIZE = 48
ASK = """
import json, sys
import utils
docs = [json.loads(line) for line in open(sys.argv[1])]
def shown(part):
    return {**part, "url": [part["url"].mode, part["url"].size]} if part["type"] == "image" else part
for doc in docs:
    messages = [{**one, "content": [shown(part) for part in one["content"]]} for one in utils.doc_to_messages(doc)]
    print(json.dumps([messages, utils.process_results(doc, ["yes"])]))
assert "sharegpt4v" not in sys.modules and utils.count([1, 2, 3]) == 3
"""


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_evaluation(tmp_path_factory.mktemp("evaluation"), 12)


@pytest.fixture(scope="module")
def tasks(evaluation: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tasks of every benchmark that there is."""
    out = tmp_path_factory.mktemp("tasks")
    folders = [(name, evaluation / entry.folder) for name, entry in read_catalogue().items()]
    assert len(write_tasks(folders, out, SIZE)) == len(folders)
    return out


def questions_of(name: str, evaluation: Path) -> list[Question]:
    entry = benchmark_named(name)
    return module_of(entry).questions(evaluation / entry.folder)


def called(tasks: Path, name: str) -> list[Any]:
    """What the functions of `utils.py` return for each question, in a Python that has only Pillow of this project."""
    script = f"import sys; sys.path[:0] = [{str(tasks)!r}, {str(Path(Image.__file__).parents[1])!r}]{ASK}"
    ended = run([sys.executable, "-I", "-S", "-c", script, str(tasks / f"{name}.jsonl")])
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("name", ["mme", "mmbench", "qbench", "scienceqa", "mmstar-text", "textvqa"])
def test_a_task_asks_our_prompt_about_our_image(name: str, evaluation: Path, tasks: Path) -> None:
    template = jinja2.Environment().from_string(CHAT_TEMPLATE)
    questions = questions_of(name, evaluation)
    asked = called(tasks, name)
    assert len(asked) == len(questions)
    for question, (messages, _) in zip(questions, asked, strict=True):
        has_image = question.image is not None
        prompt = template.render(messages=messages, bos_token="", add_generation_prompt=True)
        assert prompt == prompt_text(question.prompt, has_image, question.system)
        images = [part["url"] for one in messages for part in one["content"] if part["type"] == "image"]
        assert len(images) == has_image and all(mode == "RGB" for mode, _ in images)
        if question.image_aspect_ratio == "square":
            assert all(size == [SIZE, SIZE] for _, size in images)


def test_a_task_file_says_what_to_ask_and_how_long(evaluation: Path, tasks: Path) -> None:
    class Loader(yaml.SafeLoader):
        """With lmms-eval's mark of a function."""

    Loader.add_constructor("!function", lambda _, node: str(node.value))
    functions = set(re.findall(r"^def (\w+)", (tasks / "utils.py").read_text(), re.MULTILINE))
    for name in read_catalogue():
        task = yaml.load((tasks / f"s4v_{name.replace('-', '_')}.yaml").read_text(), Loader)
        assert task["tag"] == "s4v" and task["task"] == f"s4v_{name.replace('-', '_')}"
        assert Path(task["dataset_kwargs"]["data_files"]["test"]) == tasks / f"{name}.jsonl"
        questions = questions_of(name, evaluation)
        assert {task["generation_kwargs"]["max_new_tokens"]} == {one.max_new_tokens for one in questions}
        assert task["generation_kwargs"]["do_sample"] is False and task["reasoning_tags"] == "none"
        named = re.findall(r"utils\.(\w+)", json.dumps(task))
        assert named and {*named} <= functions
        rows = list(read_jsonl(tasks / f"{name}.jsonl"))
        assert len({asked_of(json.loads(row["asked"])) for row in rows}) == len(rows) == len(questions)


@pytest.mark.parametrize("size", [(90, 31), (31, 90), (48, 48), (48, 100), (7, 5), (640, 480), (333, 334)])
def test_the_crop_is_that_of_our_protocol(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    cropped = centre_square(image, SIZE)
    assert np.array_equal(np.asarray(cropped), np.asarray(to_square(image, SIZE, "square")))
    assert np.array_equal(np.asarray(cropped), np.asarray(to_square(cropped, SIZE, "pad")))


def logged(tasks: Path, name: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Samples as lmms-eval 0.7.3 logs them, of answers `texts` to the questions of a task."""
    return [
        {"doc_id": place, "target": row["question_id"], "filtered_resps": f" {text}", "input": row["prompt"],
         "s4v": {"benchmark": name, "asked": row["asked"], "text": text}}
        for place, (row, text) in enumerate(zip(read_jsonl(tasks / f"{name}.jsonl"), texts, strict=True))
    ]  # fmt: skip


def answered(questions: Sequence[Question], texts: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"question_id": one.question_id, "prompt": one.stored_prompt or one.prompt, "text": text, **one.extra}
        for one, text in zip(questions, texts, strict=True)
    ]


def test_samples_are_joined_by_question_and_never_by_position(
    evaluation: Path, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = questions_of("mme", evaluation)
    texts = [f"{'yes' if place % 3 else 'no'} {place}" for place in range(len(questions))]
    ours, logs, out = tmp_path / "ours", tmp_path / "logs/model", tmp_path / "theirs"
    write_jsonl(ours / "mme.jsonl", answered(questions, texts))
    samples = logged(tasks, "mme", [f"{text}</s> " for text in texts])
    samples[4]["s4v"]["text"] = "another"
    missing = samples.pop(7)
    random.Random(1).shuffle(samples)
    write_jsonl(logs / "20260101_samples_s4v_mme.jsonl", [samples[0], *samples])
    write_jsonl(
        logs / "20260101_samples_s4v_gqa.jsonl", logged(tasks, "gqa", ["yes"] * len(questions_of("gqa", evaluation)))
    )

    assert (
        main(["bridge", "lmms-eval", "--join", str(tmp_path / "logs"), "--answers", str(ours), "--out", str(out)]) == 0
    )
    told = capsys.readouterr()
    count = len(questions)
    assert told.out.splitlines()[1].split() == ["mme", str(count), str(count - 2), "1", "1", "1", "0"]
    assert f"mme {questions[4].question_id}: different; ours 'yes 4', lmms-eval's 'another'" in told.out
    assert f"mme {questions[7].question_id}: missing" in told.out and "gqa: not joined; no " in told.err
    with open(out / "differences.csv", newline="") as file:
        assert [(row["question_id"], row["what"]) for row in csv.DictReader(file)] == [
            (questions[4].question_id, "different"), (questions[7].question_id, "missing")
        ]  # fmt: skip
    rows = list(read_jsonl(out / "mme.jsonl"))
    expected = {asked_of(row): row["text"] for row in answered(questions, texts)}
    expected[asked_of(json.loads(missing["s4v"]["asked"]))] = ""
    found = {asked_of(row): row["text"] for row in rows}
    assert {asked for asked in expected if expected[asked] != found.get(asked, "")} == {
        asked_of(answered(questions[4:5], ["another"])[0])
    }
    assert {row["model_id"] for row in rows} == {"theirs"} and len({row["answer_id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("name", ["mme", "mmbench", "qbench", "gqa", "textvqa"])
def test_what_comes_back_scores_as_our_answers_do(name: str, evaluation: Path, tasks: Path, tmp_path: Path) -> None:
    questions = questions_of(name, evaluation)
    texts = ["Yes" if place % 2 else "B" for place in range(len(questions))]
    write_jsonl(tmp_path / "ours.jsonl", answered(questions, texts))
    write_jsonl(tmp_path / "samples.jsonl", logged(tasks, name, texts)[::-1])
    (samples,) = read_samples(tmp_path / "samples.jsonl")
    joined = join(samples, tmp_path / "ours.jsonl")
    assert (joined.equal, joined.differences, str(joined.completeness)) == (len(questions), [], "")
    assert main(["bridge", "lmms-eval", "--join", str(tmp_path / "samples.jsonl"), "--out", str(tmp_path)]) == 0
    data = str(evaluation / benchmark_named(name).folder)
    scores = []
    for file in (tmp_path / "ours.jsonl", tmp_path / f"{name}.jsonl"):
        out = tmp_path / "score.json"
        assert main(["score", name, "--data", data, "--answers", str(file), "--out", str(out)]) == 0
        scores.append(json.loads(out.read_text()))
    assert scores[0]["columns"] == scores[1]["columns"] and scores[0]["parts"] == scores[1]["parts"]


def test_what_cannot_be_done_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "samples.jsonl").write_text('{"doc_id": 0, "doc": {}}\n')
    (tmp_path / "empty").mkdir()
    for arguments, expected in (
        ([], "expected --out FOLDER, or --join SAMPLES"),
        (["--join", tmp_path / "samples.jsonl"], "--join: expected --answers, --out or both"),
        (
            ["--join", tmp_path / "samples.jsonl", "--out", tmp_path],
            "row 1: no field 's4v'; expected a sample of a task",
        ),
        (["--join", tmp_path / "empty", "--out", tmp_path], "no samples; expected files such as"),
        (["--out", tmp_path / "tasks", "--benchmarks", "no-such"], "no-such"),
    ):
        assert main(["bridge", "lmms-eval", *map(str, arguments)]) == 1
        told = capsys.readouterr().err
        assert expected in told and told.count("\n") == 1, told


@pytest.mark.slow
@pytest.mark.usefixtures("lmms_eval")
def test_lmms_eval_answers_as_the_run_does(smoke: Path) -> None:
    """Five benchmarks and a sixth whose images are cropped and whose conversation has a system sentence of its own."""
    names = ["mme", "mmbench", "seed", "gqa", "textvqa", "qbench"]
    script, model = PROJECT / "benchmarks/lmms_eval_equal.py", "sharegpt4v-7b"
    command = [sys.executable, str(script), f"checkpoints/{model}/finetuned", "--answers", f"results/answers/{model}"]
    ended = run([*command, "--benchmarks", *names], smoke)
    count = sum(len((smoke / f"results/answers/{model}/{name}.jsonl").read_text().splitlines()) for name in names)
    assert count > 100 and f"{count} of {count} answers to 6 benchmarks are equal" in ended.stdout, ended
    assert ended.returncode == 0, ended.stdout + ended.stderr
