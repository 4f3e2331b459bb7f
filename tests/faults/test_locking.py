"""One writer at a time: whoever comes second is told who writes, and no death of a holder locks anybody out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import CASES, Outcomes
from sharegpt4v.errors import UserError
from sharegpt4v.locking import WriterLock

HOLD = """
import sys
from sharegpt4v.locking import WriterLock
with WriterLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
# Whoever holds the lock finds no trace of another holder, and removes its own before it lets go.
COMPETE = """
import os, sys
from sharegpt4v.errors import UserError
from sharegpt4v.locking import WriterLock
path, times = sys.argv[1], int(sys.argv[2])
held = 0
for _ in range(times):
    try:
        with WriterLock(path):
            os.close(os.open(f"{path}.inside", os.O_CREAT | os.O_EXCL))
            held += 1
            os.unlink(f"{path}.inside")
    except UserError as error:
        assert "is writing it; wait until that has ended" in str(error), error
print(held)
"""


def hold(path: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path), *arguments]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline() == "held\n"
    return child


def test_the_second_writer_is_told_who_writes_and_can_write_after_any_end_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for number in (signal.SIGKILL, signal.SIGTERM):
        child = hold(path, "--out", "a\nb\x1b[31m")
        with pytest.raises(UserError) as caught:
            WriterLock(path)
        told = str(caught.value)
        assert told.startswith(f"{path}: process {child.pid} on ") and "(since 20" in told and "--out" in told
        assert told.isprintable()
        child.send_signal(number)
        child.communicate()
        with WriterLock(path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_excludes_other_locks_of_the_same_process_and_is_given_back_once(tmp_path: Path) -> None:
    first = WriterLock(tmp_path / "folder")
    with pytest.raises(UserError, match=f"process {os.getpid()} on "):
        WriterLock(tmp_path / "folder")
    first.release()
    second = WriterLock(tmp_path / "folder")
    first.release()  # which must not take the second one's lock away
    with pytest.raises(UserError):
        WriterLock(tmp_path / "folder")
    second.release()


def test_a_place_that_cannot_hold_a_lock_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken.lock").mkdir()
    for path in (tmp_path / "file" / "below", tmp_path / "taken"):
        with pytest.raises(UserError, match=r"cannot be written \(.*\); make it writable"):
            WriterLock(path)


def test_of_many_processes_one_at_a_time_holds_the_lock(tmp_path: Path, outcomes: Outcomes) -> None:
    command = [sys.executable, "-c", COMPETE, str(tmp_path / "ledger.jsonl"), str(CASES)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    held = [int(child.communicate()[0]) for child in children]
    assert [child.returncode for child in children] == [0] * 4
    outcomes["held"] = sum(held)
    outcomes["refused in one line"] = 4 * CASES - sum(held)
