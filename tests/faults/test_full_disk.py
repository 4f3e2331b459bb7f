"""A full disk is one line wherever it is met, and nothing that was paid is lost beyond the requests under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from asking import clear, many_runs, questions, quick, run
from chats import budget_of
from full_disk import files_of_at_most
from harness import CASES, Outcomes
from sharegpt4v.cli import main
from sharegpt4v.endpoint.account import reservations_path
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, read_jsonl, write_json, write_jsonl, write_text
from sharegpt4v.folders import new_folder
from sharegpt4v.mini.endpoint import serve

SMOKE = Path(__file__).resolve().parents[2] / "config" / "smoke.yaml"


@pytest.fixture(scope="module")
def counting() -> Iterator[tuple[list[str], str]]:
    """A server that answers everything, and what it was asked."""
    asked: list[str] = []
    with serve(lambda image, prompt: "Some words.", lambda number, image, prompt: asked.append(prompt)) as url:
        yield asked, url


def keys_in(path: Path) -> set[str]:
    return {row["key"] for row in read_jsonl(path)} if path.exists() else set()


@many_runs
@given(st.sampled_from(["direct", "batch"]), st.integers(1, 12), st.integers(1, 4), st.integers(0, 5000))
def test_what_was_paid_before_a_disk_was_full_is_kept_or_counted_and_the_same_command_resumes(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: Outcomes,
    counting: tuple[list[str], str],
    mode: str,
    count: int,
    concurrency: int,
    limit: int,
) -> None:
    asked, url = counting
    path = tmp_path_factory.getbasetemp() / "full.jsonl"
    clear(path)
    asked.clear()
    budget = budget_of(1000.0, 1000.0, 1000.0)
    settings = quick(url, mode=mode, concurrency=concurrency, batch_requests=5, budget=budget, batch_factor=0.5)
    with files_of_at_most(limit):
        run(questions(count), settings, path, outcomes)
    lost = len(asked) - len(keys_in(path)) if mode == "direct" else 0
    assert lost <= concurrency
    if mode == "direct":
        assert len(keys_in(reservations_path(path))) >= len(asked)
    assert run(questions(count), settings, path) == {}
    assert keys_in(path) == {settings.key(request) for request in questions(count)}
    assert len(asked) == count + lost and not list(path.with_suffix(".batches").glob("*"))


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_a_file_that_does_not_fit_leaves_the_old_one_and_no_other(
    tmp_path: Path, outcomes: Outcomes, mode: str
) -> None:
    path = tmp_path / "file.json"
    write_text(path, "old")
    for size in range(0, 50 * min(CASES, 2000), 50):
        for write in (
            lambda size=size: write_json(path, ["x" * size]),
            lambda size=size: write_jsonl(path, ["x" * 90] * (size // 90)),
            lambda size=size: write_text(path, "x" * size),
        ):
            with files_of_at_most(5000):
                outcomes.of(write)
            assert [one.name for one in tmp_path.iterdir()] == ["file.json"]
        fails = pytest.raises(UserError, match=r"file.json: cannot be written \(File too large\)")
        with files_of_at_most(5000), fails, open_atomically(path, mode) as file:
            file.write("x" * 20_000 if mode == "w" else b"x" * 20_000)


def too_many_words(folder: Path) -> None:
    Tokenizer(WordLevel({f"word{number}": number for number in range(5000)}, "word0")).save(str(folder / "words.json"))


@pytest.mark.parametrize(
    "write",
    [
        too_many_words,
        lambda folder: save_file({"weights": torch.zeros(100, 100)}, folder / "model.safetensors"),
        lambda folder: torch.save({"weights": torch.zeros(100, 100)}, (folder / "state.pt").open("wb")),
        lambda folder: (folder / "file").write_bytes(bytes(20_000)),
    ],
    ids=["tokenizers", "safetensors", "torch", "plain"],
)
def test_a_checkpoint_that_does_not_fit_leaves_the_old_one_and_no_other(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    (tmp_path / "model").mkdir()
    fails = pytest.raises(UserError, match=r"/model: cannot be written \(File too large\); make room there")
    with files_of_at_most(5000), fails, new_folder(tmp_path / "model") as folder:
        write(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["model"] and not list((tmp_path / "model").iterdir())


@pytest.mark.parametrize("limit", [100, 30_000])
def test_a_verb_that_writes_by_whatever_means_ends_in_one_line_and_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: int
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["stage", "synthetic_world", "--config", str(SMOKE)]
    with files_of_at_most(limit):
        assert main(command) == 1
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "pictures/s" not in line]
    assert "File too large" in told and "make room" in told
    assert main(command) == 0
