"""The states of a training on disk, to resume from: written while the training goes on, the newest two kept.

`states/step-<steps>/rank-<number>-of-<processes>.safetensors`: each process writes its own file, see `state`. A file
has its name only when all of it is on disk, and a state is complete when it has the files of all ranks. So nothing has
to be agreed while they are written, and a kill at any moment leaves the older states as they were.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from glob import glob
from pathlib import Path

import torch

from sharegpt4v.errors import UserError, printable
from sharegpt4v.files import refuse_full_disk
from sharegpt4v.training.engine import Engine
from sharegpt4v.training.ranks import Ranks
from sharegpt4v.training.state import Parts, restore, snapshot, write_part

KEPT = 2
"""Complete states on disk; one more while it is written."""


class SavedStates:
    """Saves and restores the state of what `engine` trains, in the folder `work`. All processes call it alike."""

    def __init__(self, engine: Engine, work: Path, ranks: Ranks) -> None:
        self.engine, self.folder, self.ranks = engine, work / "states", ranks
        self._writer = ThreadPoolExecutor(1, "state")  # Python joins its thread before the process ends
        self._writing: Future[None] | None = None

    def save(self, step: int) -> None:
        """Begin to write the state after `step` finished steps; the training may go on at once.

        The write before is finished first. For the copy in host memory see `state.snapshot`.
        """
        self._wait()
        values = snapshot(self.engine.fragments(), self.engine.optimiser)
        self._writing = self._writer.submit(self._write, self._place(step, self.ranks.rank, self.ranks.count), values)

    def check(self) -> None:
        """Raise the error of a write that has failed since: `UserError`, in one line. Does not wait."""
        if self._writing and self._writing.done():
            self._wait()

    def finish(self) -> None:
        """Wait until every process has written what it saved; the error of a write is raised here too."""
        self._wait()
        self.ranks.all_reduce_sum(0)

    def load(self) -> int:
        """Restore the newest complete state that can be read; return its number of finished steps, 0 without one.

        `UserError` when there are complete states and none can be read.
        """
        steps = self.ranks.broadcast_from_rank0(lambda: sorted(complete_states(self.folder), reverse=True))
        step = self._restore_first(steps) if steps else 0
        if self.ranks.rank == 0 and self.folder.exists():
            for state in self.folder.glob("step-*"):  # what a kill or a disk left incomplete
                if step_of(state) > step or step_of(state) not in steps:
                    shutil.rmtree(state, ignore_errors=True)
        return step

    def _restore_first(self, steps: Sequence[int]) -> int:
        with self.engine.restoring():
            for step, before in zip(steps, [*steps[1:], None], strict=True):
                damage = self._restore(step)
                if not self.ranks.all_reduce_sum(bool(damage))[0]:
                    return step
                if damage and before is not None:
                    told = f"{self.folder}/step-{step}: cannot be read ({damage}); resuming from step {before:,} before"
                    print(printable(told), file=sys.stderr, flush=True)
            why = damage or "another process says why"
            raise UserError(f"{self.folder}: no state of this training ({why}); delete it to begin anew")

    def _restore(self, step: int) -> str:
        """Restore a state; return why that did not work, or nothing."""
        count = complete_states(self.folder).get(step, 0)
        try:
            parts = Parts([self._place(step, rank, count) for rank in range(count)])
            restore(self.engine.fragments(), self.engine.optimiser, parts, self.ranks.count)
        except Exception as error:  # safetensors and torch raise whatever comes up in a file that is not as expected
            return (str(error).splitlines() or [type(error).__name__])[0]
        return ""

    def _place(self, step: int, rank: int, count: int) -> Path:
        return self.folder / f"step-{step}" / f"rank-{rank}-of-{count}.safetensors"

    def _write(self, path: Path, values: dict[str, torch.Tensor]) -> None:
        try:
            write_part(path, values)
        except Exception as error:
            refuse_full_disk(path, error)
            raise
        complete = sorted(complete_states(self.folder))[-KEPT:]
        for state in self.folder.glob("step-*"):
            if len(complete) == KEPT and step_of(state) < complete[0]:
                shutil.rmtree(state, ignore_errors=True)  # another process may do so too

    def _wait(self) -> None:
        if self._writing:
            written, self._writing = self._writing, None
            written.result()


def complete_states(folder: Path) -> dict[int, int]:
    """Return the finished steps of every complete state in `folder`, and how many processes wrote it."""
    ranks: dict[tuple[int, int], set[int]] = defaultdict(set)
    # Unlike Path.glob, this goes on when another process removes an old state meanwhile.
    for path in map(Path, glob("step-*/rank-*.safetensors", root_dir=folder)):
        if named := re.fullmatch(r"rank-(\d+)-of-(\d+)", path.stem):
            ranks[step_of(path.parent), int(named[2])].add(int(named[1]))
    return {step: count for (step, count), found in ranks.items() if found == set(range(count))}


def step_of(state: Path) -> int:
    """Return the number of finished steps that the folder of a state is named by."""
    return int(state.name.partition("-")[2])
