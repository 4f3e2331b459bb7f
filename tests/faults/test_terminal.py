"""Names that steer a terminal: whatever a command prints about them is text, and a page shows them as text."""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import BIN, ENVIRONMENT, PROJECT
from harness import Outcomes, many_cases
from sharegpt4v.cli import build_parser, main
from sharegpt4v.errors import UserError, printable
from sharegpt4v.pipeline.failures import tell_failures
from sharegpt4v.progress import Progress

HOSTILE = "a\x1b[2J\x1b]0;pwned\x07\rb\x08\u202egnp\u2066\x9b31m\u2028.jpg"
DEFECT = "import sys, sharegpt4v.cli as c; c.main(['table']); raise ValueError(sys.argv[1])"
S4V = str(BIN / "s4v")


def shown_in_terminal(command: Sequence[str | bytes], folder: Path, **variables: str) -> str:
    """What a command writes to its terminal. Line ends are those of a terminal."""
    master, slave = pty.openpty()
    environment = ENVIRONMENT | variables
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:  # nobody has it open any more
        pass
    os.close(master)
    assert process.wait() in (0, 1, 2)
    return written.decode()


def is_text(shown: str) -> bool:
    return bool(shown) and all(line.isprintable() for line in shown.replace("\r\n", "\n").split("\n"))


def test_a_terminal_sees_text_alone(tmp_path: Path) -> None:
    not_utf8 = os.fsencode(HOSTILE) + b"\xff"
    commands: tuple[list[str | bytes], ...] = (
        [S4V, "config", "--config", HOSTILE],
        [S4V, "config", "--config", not_utf8],
        [S4V, HOSTILE],
        [S4V, "table", f"--{HOSTILE}"],
        [S4V, "score", "gqa", "--answers", HOSTILE, "--out", "x"],
        [sys.executable, "-c", DEFECT, HOSTILE],
    )
    for command in commands:
        assert is_text(shown_in_terminal(command, tmp_path)), command
        assert is_text(shown_in_terminal(command, tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii"))


def test_captions_of_files_with_such_names(smoke: Path, tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    image = next((smoke / "data/sam/images").glob("*.*"))
    (folder / f"whole{HOSTILE}").write_bytes(image.read_bytes())
    for name in (f"broken{HOSTILE}".encode(), b"broken\xff.jpg"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"no image")
    command = [S4V, "caption", "--images", str(folder), "--out", str(tmp_path / f"out{HOSTILE}.jsonl")]
    shown = shown_in_terminal(command, smoke)
    assert is_text(shown) and "2 errors" in shown


def arguments_of(verb: str, parser: argparse.ArgumentParser) -> list[str]:
    """A command line of a verb in which all that is free is hostile."""
    arguments = [verb]
    if verb == "stage":
        return [verb, "source", HOSTILE]
    for action in parser._actions:
        if isinstance(action, argparse._StoreAction):
            values = (
                [str(next(iter(action.choices)))]
                if action.choices
                else ["1" if action.type in (int, float) else HOSTILE]
            )
            arguments += [action.option_strings[0], *values] if action.option_strings else values
    return arguments


def test_every_verb_refuses_names_that_are_none_in_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcomes: Outcomes
) -> None:
    monkeypatch.chdir(tmp_path)
    (verbs,) = [one for one in build_parser()._actions if isinstance(one, argparse._SubParsersAction)]
    for verb, parser in verbs.choices.items():
        arguments = arguments_of(verb, parser)
        assert main(arguments) in (0, 1), arguments
        shown = capsys.readouterr()
        assert is_text(shown.out + shown.err), (arguments, shown)
        outcomes["refused in text"] += 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@many_cases
@given(text=st.text(st.characters() | st.sampled_from(HOSTILE), max_size=40))
def test_any_text(text: str, outcomes: Outcomes) -> None:
    shown = printable(text)
    assert shown.isprintable() and printable(shown) == shown
    assert str(UserError(text, text)).split("\n") == [shown, shown]
    assert Progress(text, 1, "images").line(1.0, text).isprintable()
    outcomes["shown as text"] += 1


def test_the_end_of_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("logs").mkdir()
    Path("logs/a.log").write_text(f"one {HOSTILE}\n", newline="")
    Path("snakemake.log").write_text("log: logs/a.log (check log file(s) for error details)\n")
    tell_failures("snakemake.log")
    assert is_text(capsys.readouterr().err)


def test_what_stops_a_run(tmp_path: Path) -> None:
    command = [
        "snakemake",
        "--configfile",
        "config/smoke.yaml",
        "--config",
        f"name={HOSTILE}",
        "--directory",
        str(tmp_path),
    ]
    shown = shown_in_terminal([str(BIN / command[0]), *map(str, command[1:])], PROJECT)
    assert is_text(shown) and "command line: " in shown
