"""What each benchmark asks a model, word for word: the first prompts of every column, frozen in golden/prompts.txt.

A difference is a change of what the paper's columns measure. When it is meant, delete the golden file, run this test
once, and look at what git shows.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from conftest import PROJECT
from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.mini.evaluation import write_benchmarks
from sharegpt4v.models.templates import prompt_text

GOLDEN = PROJECT / "tests/golden" / "prompts.txt"
EACH = 2


def first_prompts(evaluation: Path) -> str:
    """The first questions of every benchmark: how the image is taken, the limit, the whole prompt, what is stored."""
    blocks = []
    for name, benchmark in read_catalogue().items():
        for question in module_of(benchmark).questions(evaluation / benchmark.folder)[:EACH]:
            image = question.image_aspect_ratio if question.image is not None else "no image"
            head = f"=== {name}, {question.question_id!r}: {image}, {question.max_new_tokens} new tokens"
            text = prompt_text(question.prompt, question.image is not None, question.system)
            stored = question.stored_prompt
            blocks.append("\n".join([head, text, *([] if stored is None else [f"--- stored as\n{stored}"])]))
    return "\n\n".join(blocks) + "\n"


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """The benchmarks of the synthetic world, in the tree of LLaVA's eval.zip."""
    write_benchmarks(tmp_path / "eval.zip", 8, seed=0, pixels=48)
    with zipfile.ZipFile(tmp_path / "eval.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_the_first_prompts_of_every_benchmark(evaluation: Path) -> None:
    found = first_prompts(evaluation)
    if not GOLDEN.exists():
        GOLDEN.write_text(found)
        raise AssertionError(f"{GOLDEN} was not there and has been written; look at it and commit it")
    assert found == GOLDEN.read_text()


def test_the_tree_of_sharegpt4vs_playground_is_read_as_well(evaluation: Path) -> None:
    for path in [*evaluation.rglob("llava_*"), *evaluation.rglob("llava-*.jsonl")]:
        path.rename(path.with_name(path.name.replace("llava", "share4v", 1)))
    wild, vet = evaluation / "llava-bench-in-the-wild", evaluation / "mm-vet"
    for folder, moved in ((wild, list(wild.iterdir())), (vet, [vet / "images"])):
        (folder / "resources").mkdir()
        for path in moved:
            path.rename(folder / "resources" / path.name)
    (evaluation / "MME/MME_Benchmark_release_version").rename(evaluation / "MME/MME_Benchmark_release")
    chinese = "mmbench_dev_cn_20231003.tsv"
    (evaluation / "mmbench_cn" / chinese).rename(evaluation / "mmbench" / chinese)
    assert first_prompts(evaluation) == GOLDEN.read_text()
