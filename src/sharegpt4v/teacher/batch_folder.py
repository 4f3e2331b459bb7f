"""The batches under way, on disk: a file with the state of each and one with what it asks for, under its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sharegpt4v.files import read_json, write_json


class BatchFolder:
    """The folder `<ledger>.batches`. `states` are the states by the batches' names, as they are on disk.

    A state has the batch's id (None until the endpoint has given one), the time it was handed in, the number of its
    requests and the tokens of their prompts at most.
    """

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_suffix(".batches")
        self.states: dict[str, dict[str, Any]] = {file.stem: read_json(file) for file in self.path.glob("*.json")}

    def asked(self, name: str) -> dict[str, Any]:
        """Return what the requests of a batch say of themselves, by key."""
        return dict(read_json(self.path / f"{name}.asked"))

    def begin(self, name: str, state: dict[str, Any], asked: dict[str, Any]) -> None:
        """Write down a batch that is about to be handed in."""
        write_json(self.path / f"{name}.asked", asked)
        self.change(name, state)

    def change(self, name: str, state: dict[str, Any]) -> None:
        """Write down how a batch stands."""
        write_json(self.path / f"{name}.json", state)
        self.states[name] = state

    def forget(self, name: str) -> None:
        """Take away a batch whose replies are kept, or that has never been made."""
        for kind in ("json", "asked"):
            (self.path / f"{name}.{kind}").unlink(missing_ok=True)
        del self.states[name]
