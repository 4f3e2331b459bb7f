"""A training that was stopped, killed or moved to another number of processes ends as one that never was."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from resumable import STEPS, launched, run

from full_disk import files_of_at_most
from sharegpt4v.errors import UserError
from sharegpt4v.plan.tables import read_assumptions
from sharegpt4v.training import saved_states
from sharegpt4v.training.ranks import SINGLE_RANK
from sharegpt4v.training.saved_states import KEPT, SavedStates, complete_states
from sharegpt4v.training.state import write_part
from sharegpt4v.training.torch_engine import TorchEngine

AT_EVERY_STEP: dict[str, Any] = {"checkpoint_minutes": 1e-9}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the training makes when nothing stops it."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder / "work", folder / "out")
    return folder / "out"


def losses(out: Path) -> list[float]:
    return list(json.loads((out / "losses.json").read_text()))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(out / "weights.pt", weights_only=True))


def assert_same_bytes(one: Path, other: Path) -> None:
    found = weights(other)
    assert all(value.equal(found[name]) for name, value in weights(one).items())


def engine_of(value: float) -> TorchEngine:
    """One that trains four weights of this value."""
    model = torch.nn.Linear(4, 1, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return TorchEngine(model, torch.optim.AdamW(model.parameters()), None)  # type: ignore[arg-type]  # takes no step


def test_a_stopped_training_ends_with_the_same_bytes_and_two_states_are_kept(whole: Path, tmp_path: Path) -> None:
    before = run(tmp_path / "work", tmp_path / "cut", 6, **AT_EVERY_STEP)
    assert complete_states(tmp_path / "work/states") == {5: 1, 6: 1}
    assert read_assumptions()["saved_states"] == KEPT + 1  # one more while it is written
    after = run(tmp_path / "work", tmp_path / "out", **AT_EVERY_STEP)
    assert before + after == losses(whole)
    assert_same_bytes(tmp_path / "out", whole)


def flip(path: Path) -> None:
    """Change one bit of the last tensor's data, as an ageing disk does."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_a_damaged_state_falls_back_to_the_one_before_and_says_so(
    damage: Callable[[Path], None], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, name = tmp_path / "work", "rank-0-of-1.safetensors"
    run(work, tmp_path / "cut", 6, **AT_EVERY_STEP)
    damage(work / "states/step-6" / name)
    (work / "states/step-9").mkdir()
    (work / "states/step-9/.rank-0-of-1.safetensors.1.tmp").write_text("killed while it was written")
    after = run(work, tmp_path / "out")
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "states" in line]
    assert "step-6: cannot be read (" in said and "resuming from step 5 before" in said
    assert after == losses(whole)[5:]
    assert_same_bytes(tmp_path / "out", whole)
    assert complete_states(work / "states") == {5: 1}
    assert [state.name for state in (work / "states").iterdir()] == ["step-5"]

    damage(work / "states/step-5" / name)
    with pytest.raises(UserError, match=r"work/states: no state of this training \(.*\); delete it to begin anew"):
        run(work, tmp_path / "none")


def test_the_training_goes_on_while_a_state_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write = threading.Event()

    def slowly(path: Path, values: dict[str, torch.Tensor]) -> None:
        assert may_write.wait(60)
        write_part(path, values)

    monkeypatch.setattr(saved_states, "write_part", slowly)
    engine = engine_of(1)
    states = SavedStates(engine, tmp_path, SINGLE_RANK)
    states.save(1)
    states.check()
    torch.nn.init.constant_(engine.model.weight, 2)  # a step
    assert not complete_states(tmp_path / "states")
    second = threading.Thread(target=states.save, args=(2,))
    second.start()
    time.sleep(0.05)
    assert second.is_alive() and not complete_states(tmp_path / "states")  # it waits for the first
    may_write.set()
    second.join()
    states.finish()
    assert complete_states(tmp_path / "states") == {1: 1, 2: 1}
    for step, value in ((2, 2.0), (1, 1.0)):
        other = engine_of(0)
        assert SavedStates(other, tmp_path, SINGLE_RANK).load() == step
        assert other.model.weight.tolist() == [[value] * 4]
        (tmp_path / f"states/step-{step}/rank-0-of-1.safetensors").unlink()


def test_an_error_of_the_writer_is_one_of_the_training_and_the_older_states_stay(tmp_path: Path) -> None:
    run(tmp_path / "work", tmp_path / "cut", 2, **AT_EVERY_STEP)
    told = r"states/step-\d+/rank-0-of-1\.safetensors: cannot be written \(File too large\); make room there"
    with files_of_at_most(5_000), pytest.raises(UserError, match=told) as caught:
        run(tmp_path / "work", tmp_path / "out", **AT_EVERY_STEP)
    assert "\n" not in str(caught.value)
    assert complete_states(tmp_path / "work/states") == {1: 1, 2: 1}
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_killed_at_any_moment_it_resumes_from_a_complete_state(whole: Path, tmp_path: Path) -> None:
    """By SIGKILL, most often while a state is written: one is saved at every step."""
    work, moments, reached = tmp_path / "work", random.Random(1), list[int]()
    child: Any = multiprocessing.get_context("fork").Process
    for number in range(12):
        process = child(target=run, args=(work, tmp_path / f"out{number}"), kwargs=AT_EVERY_STEP)
        process.start()
        until = time.monotonic() + 60
        while max(complete_states(work / "states"), default=0) <= max(reached, default=0) and process.is_alive():
            assert time.monotonic() < until
        time.sleep(moments.random() * 0.02)
        process.kill()
        process.join()
        reached.append(max(complete_states(work / "states")))
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert reached == sorted(reached) and len(reached) > 2
    run(work, tmp_path / "out")
    assert_same_bytes(tmp_path / "out", whole)


def test_moments_in_blocks_resume_as_they_are(tmp_path: Path) -> None:
    """As 8-bit optimisers have them: a scale for each block beside the moments, and a count of steps."""
    engine, other = engine_of(1), engine_of(0)
    for one in (engine, other):
        one.optimiser.__class__ = type("AdamW8bit", (torch.optim.AdamW,), {"__module__": "bitsandbytes.optim"})
    moments = {"step": 3, "state1": torch.arange(4, dtype=torch.uint8).view(1, 4), "absmax1": torch.tensor([0.5, 0.25])}
    engine.optimiser.state[engine.model.weight] = moments
    states = SavedStates(engine, tmp_path, SINGLE_RANK)
    states.save(3)
    states.finish()
    assert SavedStates(other, tmp_path, SINGLE_RANK).load() == 3
    found = other.optimiser.state[other.model.weight]
    assert found["step"] == 3 and found["absmax1"].equal(moments["absmax1"])
    assert found["state1"].tolist() == [[0, 1, 2, 3]] and sorted(found) == sorted(moments)


def test_another_number_of_processes_resumes_and_the_same_number_has_the_same_bytes(
    whole: Path, tmp_path: Path
) -> None:
    """Losses of one process, then two, then one agree with those of one within 1e-5, for ZeRO-2 and for ZeRO-3."""
    half = {"precision": "bfloat16"}
    first = run(tmp_path / "z2", tmp_path / "z2-first", 3)
    run(tmp_path / "z3", tmp_path / "z3-first", 3)
    ended = launched(
        [
            {"work": tmp_path / "z2", "out": tmp_path / "z2-second", "stop_after": 6},
            {"work": tmp_path / "z3", "out": tmp_path / "z3-second", "stop_after": 5, "compute": {"zero_stage": 3}},
            {"work": tmp_path / "z3", "out": tmp_path / "z3-third", "stop_after": 7, "compute": {"zero_stage": 3}},
            {"work": tmp_path / "unbroken", "out": tmp_path / "two-whole", **half},
            {"work": tmp_path / "two", "out": tmp_path / "two-cut", "stop_after": 4, **half},
            {"work": tmp_path / "two", "out": tmp_path / "two-resumed", **half},
            {"work": tmp_path / "asked", "out": tmp_path / "never", "stop_after": 2, "launcher": True, "pause": 0.3},
        ]
    )
    second, third = losses(tmp_path / "z2-second"), run(tmp_path / "z2", tmp_path / "z2-third")
    assert [len(first), len(second), len(third)] == [3, 3, STEPS - 6]
    assert first + second + third == pytest.approx(losses(whole), abs=1e-5)
    for name, value in weights(whole).items():
        assert torch.allclose(weights(tmp_path / "z2-third")[name], value, atol=1e-5), name

    divided = losses(tmp_path / "z3-second") + losses(tmp_path / "z3-third") + run(tmp_path / "z3", tmp_path / "z3-out")
    assert first + divided == pytest.approx(losses(whole), abs=1e-5)

    assert losses(tmp_path / "two-cut") + losses(tmp_path / "two-resumed") == losses(tmp_path / "two-whole")
    assert_same_bytes(tmp_path / "two-resumed", tmp_path / "two-whole")

    # The launcher was asked for the end, and told its processes.
    assert ended.returncode and "Received 10 death signal, shutting down workers" in ended.stderr, ended.stderr
    (saved,) = complete_states(tmp_path / "asked/states").items()
    assert 2 <= saved[0] < STEPS and saved[1] == 2 and not (tmp_path / "never").exists()
