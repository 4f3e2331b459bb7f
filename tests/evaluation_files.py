"""The synthetic world's benchmarks in their official files, with complete answers and verdicts, for tests to spoil."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.benchmarks import Benchmark, read_catalogue
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.mini.evaluation import write_benchmarks

CATALOGUE = read_catalogue()
READ = (".json", ".jsonl", ".tsv", ".txt", ".py")


def make_evaluation(folder: Path, questions: int) -> Path:
    """Write the official folders, and in `answers` and `replies` a file for each benchmark."""
    write_benchmarks(folder / "eval.zip", questions, seed=0, pixels=16)
    with zipfile.ZipFile(folder / "eval.zip") as archive:
        archive.extractall(folder)
    for name, entry in CATALOGUE.items():
        rows = answer_rows(entry, folder)
        write_rows(folder / "answers" / f"{name}.jsonl", rows)
        replies = {
            "llava-bench": ["8 6\nWell, é."] * len(rows),
            "mm-vet": {f"v1_{n}": [["0.5"]] for n in range(len(rows))},
        }
        if entry.scoring == "judge":
            path = folder / "replies" / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(replies[name], ensure_ascii=False), encoding="utf-8")
    return folder


def answer_rows(entry: Benchmark, evaluation: Path, text: str = "A red é") -> list[dict[str, Any]]:
    """The same answer to all questions of a benchmark, in rows such as `s4v answer` writes."""
    return [
        {"question_id": one.question_id, "prompt": one.stored_prompt or one.prompt, "text": text, **one.extra}
        for one in module_of(entry).questions(evaluation / entry.folder)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write JSON lines in UTF-8, accents as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def official_files(folder: str, evaluation: Path) -> list[Path]:
    """The text files of a benchmark's folder; of files side by side with the same ending, as MME's, one."""
    files = sorted(path for path in (evaluation / folder).rglob("*") if path.suffix in READ)
    return list({(path.parent, path.name if path.suffix != ".txt" else ""): path for path in files}.values())
