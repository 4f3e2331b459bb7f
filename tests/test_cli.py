"""The command `s4v`: its help, its errors, how it ends."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import BIN, ENVIRONMENT, PROJECT, run
from sharegpt4v.cli import VERBS, main
from sharegpt4v.pipeline.stages import STAGES

S4V = str(BIN / "s4v")


def test_help_lists_the_verbs() -> None:
    text = run([S4V, "--help"]).stdout.partition("VERB\n")[2]
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("    ") and line[4] != " "]
    assert listed == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example_that_its_parser_takes(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"sharegpt4v.verbs.{verb.replace('-', '_')}")
    text = str(module.__doc__).partition("Example")[2]
    examples = [shlex.split(line.partition("s4v ")[2]) for line in text.splitlines() if "s4v " in line]
    assert examples and all(example[0] == verb for example in examples)
    called: list[Any] = []
    monkeypatch.setattr(module, "run", called.append)
    assert [main(example) for example in examples] == [0] * len(examples)
    assert len(called) == len(examples)


def test_help_of_stage_lists_the_stages_in_the_order_of_the_pipeline() -> None:
    text = run([S4V, "stage", "--help"]).stdout.partition("STAGE\n")[2]
    assert re.findall(r"^    (\w+)", text, re.MULTILINE) == list(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_an_example_that_runs_it_with_its_item(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"sharegpt4v.stages.{name}")
    examples = [shlex.split(line.partition("s4v ")[2]) for line in str(module.__doc__).splitlines() if "  s4v " in line]
    assert examples and all(example[:2] == ["stage", name] for example in examples)
    called: list[tuple[object, ...]] = []
    monkeypatch.setattr(module, "run", lambda config, *items: called.append(items))
    assert [main(example) for example in examples] == [0] * len(examples)
    assert all(len(items) == bool(STAGES[name].item) for items in called)


def test_the_completion_of_a_shell_knows_stages_and_options() -> None:
    printed = run([S4V, "--print-completion", "bash"])
    assert printed.returncode == 0 and "finetuning" in printed.stdout and "--judge-replies" in printed.stdout
    assert subprocess.run(["bash", "-n"], input=printed.stdout, text=True, check=False).returncode == 0


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, sharegpt4v.cli as c; c.build_parser().format_help(); print(*sys.modules)"
    loaded = set(run([sys.executable, "-c", code]).stdout.split())
    assert {"sharegpt4v.verbs.caption", "sharegpt4v.stages.captions"} <= loaded
    assert not loaded & {"torch", "transformers", "pandas", "pyarrow", "pydantic", "mlflow", "openai", "matplotlib"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["stage", "source", "cocoa"], "source 'cocoa' is not in the config; expected one of coco, llava"),
        (["stage", "finetuning", "gpt"], "model 'gpt' is not in the config; expected one of llava-7b"),
        (["stage", "language_model", "70b"], "size '70b' is not in base_models.llm; expected one of 7b, 13b"),
        (["stage", "captions", "2-of-2"], "shard '2-of-2'; expected which of how many"),
        (["stage", "pretraining_corpus"], "00000-of-00002.jsonl: cannot be read (No such file"),
        (["stage", "seed_captions", "--config", "none.yaml"], "none.yaml: no such file"),
        (["stage", "figures", "datasets"], "results/datasets.csv: no such table"),
        (["caption", "--images", "nowhere", "--out", "x.jsonl"], "nowhere: no such file or folder"),
        (["score", "mme", "--answers", "none.jsonl", "--out", "x.json"], "none.jsonl: no such file"),
    ],
)
def test_what_a_user_can_mend_is_one_line(arguments: list[str], expected: str, tmp_path: Path) -> None:
    ended = run([S4V, *arguments], tmp_path)
    assert ended.returncode == 1
    assert expected in ended.stderr and ended.stderr.count("\n") == 1
    assert list(tmp_path.rglob("*.json*")) == []


def test_config_shows_what_a_preset_comes_to() -> None:
    shown = run([S4V, "config", "--config", "config/smoke.yaml"])
    assert shown.returncode == 0
    assert "name: smoke" in shown.stdout and "  base_url: mini" in shown.stdout


def test_a_wrong_config_is_told_a_line_per_mistake(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text(f"base: {os.path.relpath(PROJECT / 'config/config.yaml', tmp_path)}\nsede: 3\nseed: soon\n")
    ended = run([S4V, "config", "--config", str(preset)])
    assert ended.returncode == 1
    lines = ended.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{preset}:") for line in lines)


def test_a_verb_that_there_is_not_is_answered_with_the_nearest(tmp_path: Path) -> None:
    for mistyped, nearest in (
        ("captoin", "'caption'"), ("tabel", "'table'"), ("xyzzy", "s4v --help"),
        ("stage finetunning", "'finetuning'"), ("stage xyzzy", "s4v stage --help"),
    ):  # fmt: skip
        ended = run([S4V, *mistyped.split()], tmp_path)
        assert ended.returncode == 2 and nearest in ended.stderr and ended.stderr.count("\n") == 1


def test_without_a_config_a_command_takes_that_of_the_run_in_its_folder(smoke: Path, tmp_path: Path) -> None:
    assert "name: smoke" in run([S4V, "config"], smoke).stdout
    assert "name: mini" in run([S4V, "config"], tmp_path).stdout


def test_a_folder_of_images_that_is_not_there_is_found_by_config(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text(
        f"base: {PROJECT / 'config/smoke.yaml'}\nsources: {{folder_sources: {{mine: {tmp_path}/mine}}}}\n"
    )
    ended = run([S4V, "config", "--config", str(preset)])
    assert ended.returncode == 1 and f"sources.folder_sources.mine: {tmp_path}/mine: no such folder" in ended.stderr
    (tmp_path / "mine").mkdir()
    assert run([S4V, "config", "--config", str(preset)]).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_asked_to_end_it_says_so_in_one_line(number: signal.Signals, tmp_path: Path) -> None:
    config = {"base": str(PROJECT / "config/config.yaml"), "mini": {"images": {"coco": 200_000}}}
    (tmp_path / "large.json").write_text(json.dumps(config))
    command = [S4V, "stage", "synthetic_world", "--config", "large.json"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background has them ignore Ctrl-C, and children inherit that
        preexec_fn=lambda: [signal.signal(asked, signal.SIG_DFL) for asked in (signal.SIGINT, signal.SIGHUP)],
    ) as process:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:  # until it draws; before, Python is starting
            status = Path(f"/proc/{process.pid}/status").read_text() if Path("/proc").is_dir() else ""
            caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
            if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
                break
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == "s4v stage synthetic_world: stopped; the same command resumes\n"
