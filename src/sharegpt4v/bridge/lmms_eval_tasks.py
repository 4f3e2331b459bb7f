"""Our benchmarks as tasks of lmms-eval: the same prompts, images and limits, question by question.

A folder for `lmms_eval --include_path`: for each benchmark `s4v_<benchmark>.yaml` and its questions,
`<benchmark>.jsonl`, and one `utils.py`, which works without this project. Images that are files stay where they are;
those that a benchmark's own file holds are written to `images/`. Nothing is scored there: `lmms_eval_samples` reads the
answers.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.evaluation.base import Question
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.files import write_bytes, write_jsonl, write_text

TASK = """\
# Written by `s4v bridge lmms-eval`; do not edit.
task: {task}
tag: s4v
dataset_path: json
dataset_kwargs: {{"data_files": {{"test": {file}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: prompt
doc_to_messages: !function utils.doc_to_messages
doc_to_target: question_id
generation_kwargs: {{"max_new_tokens": {limit}, "temperature": 0, "do_sample": false, "num_beams": 1, "until": []}}
reasoning_tags: none
process_results: !function utils.process_results
metric_list:
  - metric: s4v
    aggregation: !function utils.count
    higher_is_better: true
"""


class Written(NamedTuple):
    """A benchmark that is a task now: its name there, how many questions it has, and how many of them no image."""

    task: str
    questions: int
    without_image: int

    def __str__(self) -> str:
        lacking = self.without_image
        note = (
            f", {lacking:,} of them without an image: lmms-eval's llava_hf answers nothing to those" if lacking else ""
        )
        return f"{self.task}: {self.questions:,} questions{note}"


def write_tasks(
    benchmarks: Iterable[tuple[str, Path]], out: Path, image_size: int, without_missing: bool = False
) -> list[Written]:
    """Write a task for each (benchmark, its data folder) into the folder `out`.

    `image_size` is the side of the model's input in pixels: what is centre-cropped by our protocol is so before
    lmms-eval pads it. A `UserError` for what is missing or malformed; but `without_missing`, a benchmark whose files
    are not at hand is reported and left out.
    """
    out, written = out.resolve(), []
    for name, data in benchmarks:
        entry = benchmark_named(name)
        try:
            questions = module_of(entry).questions(data)
            rows = list(_rows(name, questions, out, image_size))
        except MissingFile as error:
            if not without_missing:
                raise
            print(f"{name}: no task; {entry.what_to_get(error)}", file=sys.stderr)
            continue
        written.append(_write_task(name, rows, _limit(name, questions), out))
    if not written:
        raise UserError("no task is written: expected the files of at least one benchmark; s4v doctor says what to get")
    write_text(out / "utils.py", Path(__file__).with_name("lmms_eval_utils.py").read_text(encoding="utf-8"))
    return written


def _write_task(name: str, rows: Sequence[dict[str, Any]], limit: int, out: Path) -> Written:
    file, task = out / f"{name}.jsonl", f"s4v_{name.replace('-', '_')}"
    write_jsonl(file, rows)
    write_text(out / f"{task}.yaml", TASK.format(task=task, file=json.dumps(str(file)), limit=limit))
    return Written(task, len(rows), sum(not row["image"] for row in rows))


def _limit(name: str, questions: Sequence[Question]) -> int:
    """Return the limit on new tokens, of which a task of lmms-eval has one."""
    limits = {question.max_new_tokens for question in questions}
    if len(limits) != 1:
        raise UserError(f"{name}: {len(limits)} limits on new tokens; expected one, as lmms-eval has one for a task")
    return limits.pop()


def _rows(name: str, questions: Sequence[Question], out: Path, image_size: int) -> Iterator[dict[str, Any]]:
    """Yield what `lmms_eval_utils` reads: `asked` is the answer row as JSON, without its text."""
    for question in questions:
        stored = question.prompt if question.stored_prompt is None else question.stored_prompt
        asked = {"question_id": question.question_id, "prompt": stored, "text": "", **question.extra}
        yield {
            "benchmark": name,
            "question_id": str(question.question_id),
            "prompt": question.prompt,
            "system": question.system or "",
            "image": "" if question.image is None else str(_image_file(name, question, out)),
            "square": image_size if question.image_aspect_ratio == "square" else 0,
            "asked": json.dumps(asked),
        }


def _image_file(name: str, question: Question, out: Path) -> Path:
    """Return the file of an image, absolute; bytes are written to one that their hash names."""
    image = question.image
    if isinstance(image, bytes):
        file = out / "images" / hashlib.sha256(image).hexdigest()
        if not file.exists():
            write_bytes(file, image)
        return file
    assert image is not None
    if not image.is_file():
        raise MissingFile(f"{name}, question {question.question_id}: no image {image}; expected a file there")
    return image.resolve()
