"""The two judged benchmarks in small, and a judge on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chats import chat_settings
from sharegpt4v.endpoint.settings import ChatSettings

PREFIX = "Grade.\n\nQuestion | Ground truth | Prediction | Correctness\n--- | --- | --- | ---\nWhat? | a | a | 1.0\n"


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(texts: list[str], model: str = "tiny") -> list[dict[str, Any]]:
    return [{"question_id": n, "prompt": "", "text": text, "model_id": model} for n, text in enumerate(texts)]


@pytest.fixture
def wild(tmp_path: Path) -> Path:
    """LLaVA-Bench with one question of each category, the last two on one image."""
    folder = tmp_path / "llava-bench-in-the-wild"
    categories = ("conv", "detail", "complex")
    images = ("001.jpg", "002.jpg", "002.jpg")
    asked = zip(images, categories, strict=True)
    jsonl(
        folder / "questions.jsonl",
        [
            {"question_id": n, "image": image, "category": category, "text": f"What is {n}?"}
            for n, (image, category) in enumerate(asked)
        ],
    )
    contexts: list[dict[str, Any]] = [
        {"image": "002.jpg", "caption": ["One.", "Two."]},
        {"image": "001.jpg", "caption": "A cat."},
    ]
    jsonl(folder / "context.jsonl", contexts)
    references = [{"question_id": n, "text": f"It is {n}.", "answer_id": f"r{n}"} for n in range(3)]
    jsonl(folder / "answers_gpt4.jsonl", references)
    rules = {f"llava_bench_{name}": {"role": "Assistant", "prompt": "Rate.\nBriefly."} for name in categories}
    (folder / "rule.json").write_text(json.dumps(rules | {"default": {"role": "Assistant", "prompt": "No."}}))
    return folder


@pytest.fixture
def vet(tmp_path: Path) -> Path:
    """MM-Vet with four questions."""
    folder = tmp_path / "mm-vet"
    (folder / "images").mkdir(parents=True)
    truths = ["1 <AND> 2", "cat<OR>dog", "blue", "STOP"]
    capabilities = [["math", "ocr"], ["rec"], ["rec"], ["ocr", "math"]]
    pairs = zip(truths, capabilities, strict=True)
    items = {f"v1_{n}": {"question": f"Q{n}?", "answer": t, "capability": c} for n, (t, c) in enumerate(pairs)}
    (folder / "mm-vet.json").write_text(json.dumps(items))
    rows = [{"question_id": n, "image": f"v1_{n}.png", "text": f"Q{n}?", "category": "conv"} for n in range(4)]
    jsonl(folder / "llava-mm-vet.jsonl", rows)
    (folder / "mm-vet_evaluator.py").write_text(f'import openai\n\nprompt = """{PREFIX}"""\nraise SystemExit\n')
    return folder


def settings_for(url: str, **changes: object) -> ChatSettings:
    return chat_settings(url, "mini-judge", **{"concurrency": 4, "back_off_seconds": 0.001, "attempts": 2, **changes})
