"""The examples of docs/extending work as they stand there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from conftest import BIN, ENVIRONMENT, PROJECT, run


def test_a_benchmark_is_a_file_and_a_row(tmp_path: Path) -> None:
    page = (PROJECT / "docs/extending/benchmark.md").read_text()
    (module,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    row, command = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert len(module.split('"""\n', 1)[1].splitlines()) <= 30
    for folder in ("src", "config"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src/sharegpt4v/evaluation/benchmarks/pope.py").write_text(module)
    with open(tmp_path / "config/benchmarks.tsv", "a") as table:
        table.write(row)
    data = tmp_path / "data/eval/pope"
    (data / "images").mkdir(parents=True)
    truths = ["yes", "no", "no", "yes"]
    asked = [{"question_id": n, "image": "1.jpg", "text": "Is there a dog?", "label": t} for n, t in enumerate(truths)]
    (data / "questions.jsonl").write_text("".join(f"{json.dumps(question)}\n" for question in asked))
    said = ["Yes, there is.", "No.", "Yes", "no"]
    answers = [{"question_id": number, "text": text} for number, text in enumerate(said)]
    (tmp_path / "answers.jsonl").write_text("".join(f"{json.dumps(answer)}\n" for answer in answers))

    environment = ENVIRONMENT | {"PYTHONPATH": str(tmp_path / "src")}
    ended = run([str(BIN / "s4v"), *command.split()[1:]], tmp_path, environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "POPE 50.0 ± 25.0\n"
    (tmp_path / "answers.jsonl").write_text(json.dumps(answers[0]) + "\n")
    ended = run([str(BIN / "s4v"), *command.split()[1:]], tmp_path, environment)
    assert ended.returncode == 1 and "3 missing (first: 1)" in ended.stderr
