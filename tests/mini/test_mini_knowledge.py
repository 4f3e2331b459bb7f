"""What a miniature knows, by benchmarks/mini_knowledge.py: perfect and wrong answers, and a finished run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import mini_knowledge

from conftest import PROJECT, run
from sharegpt4v.config.generation import Generation
from sharegpt4v.generation.engine import Answer, Engine, Request
from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.evaluation.asking import OBJECT_ASPECTS


class Says(Engine):
    """A model that says what it is given, in another order than it was asked."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    @classmethod
    def start(cls, model: Path | None, settings: Generation, work: Path) -> Self:
        """Nobody starts it."""
        raise NotImplementedError

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """The texts, from the last to the first."""
        assert len(requests) == len(self.texts)
        return ((number, Answer(self.texts[number], "stop")) for number in reversed(range(len(requests))))


def test_captions_count_by_their_facts() -> None:
    true = [caption(mini_knowledge.new_scene("caption", number)[0]) for number in range(20)]
    right, said = mini_knowledge.caption_rates(Says(true), 20).values()
    assert right == said == [1.0] * len(right) and len(right) > 20 * 3
    first_sentences = [text.partition(".")[0] for text in true]
    right, said = mini_knowledge.caption_rates(Says(first_sentences), 20).values()
    assert right == [1.0] * 40 and sum(said) == 40 and len(said) > 20 * 3  # how many objects, and the background
    right, said = mini_knowledge.caption_rates(Says([*true[1:], true[0]]), 20).values()
    assert 0 < sum(right) < len(right) and sum(right) == sum(said)


def test_answers_count_by_aspect_and_form() -> None:
    asked = list(mini_knowledge._asked(5))
    rates = mini_knowledge.answer_rates(Says([truth.upper() for _, _, truth in asked]), 5)
    assert rates == {f"{form}: {aspect}": [1.0] * 5 for form in ("open", "yes/no") for aspect in OBJECT_ASPECTS}
    always = mini_knowledge.answer_rates(Says(["yes"] * len(asked)), 5)
    truths = [truth for name, _, truth in asked if name == "yes/no: size"]
    assert always["open: size"] == [0.0] * 5 and sum(always["yes/no: size"]) == truths.count("yes")


def test_a_finished_run_is_measured(smoke: Path) -> None:
    script = [sys.executable, str(PROJECT / "benchmarks/mini_knowledge.py"), str(smoke), "--pictures", "6"]
    ended = run(script)
    assert ended.returncode == 0, ended.stderr[-2000:]
    tables = ended.stdout.strip().split("\n\n")
    assert [table.split("  ")[0] for table in tables] == ["vision tower", "llm-7b", "sharegpt4v-7b"]
    assert re.search(r"^choice of 4 +\d+ +6$", tables[1], re.MULTILINE)
    assert len(re.findall(r"^(?:open|yes/no): \w+ +\d+ +6$", tables[2], re.MULTILINE)) == 12
    for line in ended.stdout.splitlines():
        if line and "of 100" not in line:
            assert line.split()[-2] == "-" or 0 <= int(line.split()[-2]) <= 100
