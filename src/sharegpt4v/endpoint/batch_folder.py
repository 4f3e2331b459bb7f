"""The batches under way, on disk: a file with the state of each and one with what it asks for, under its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from sharegpt4v.endpoint.completion import Part
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json


class State(Part):
    """A batch: its id (None until the endpoint has given one), the time it was submitted, how many requests it has, and
    the most tokens that all their prompts have together, and that one of them has."""

    id: str | None
    time: float
    requests: int = Field(ge=0)
    prompt_tokens: int = Field(ge=0)
    longest_prompt: int | None = None


class BatchFolder:
    """The folder `<ledger>.batches`. `states` are the states by the batches' names, as they are on disk."""

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_suffix(".batches")
        self.states = {file.stem: _read(file) for file in sorted(self.path.glob("*.json"))}

    def asked(self, name: str) -> dict[str, Any]:
        """Return what the requests of a batch say of themselves, by key."""
        return dict(read_json(self.path / f"{name}.asked"))

    def begin(self, name: str, state: State, asked: dict[str, Any]) -> None:
        """Write down a batch that is about to be submitted."""
        write_json(self.path / f"{name}.asked", asked)
        self.change(name, state)

    def change(self, name: str, state: State) -> None:
        """Write down the state of a batch."""
        write_json(self.path / f"{name}.json", state.model_dump())
        self.states[name] = state

    def forget(self, name: str) -> None:
        """Take away a batch whose replies are kept, or that has never been made."""
        for kind in ("json", "asked"):
            (self.path / f"{name}.{kind}").unlink(missing_ok=True)
        del self.states[name]


def _read(path: Path) -> State:
    try:
        return State.model_validate(read_json(path))
    except ValidationError:
        raise UserError(f"{path}: not the state of a batch; expected it as s4v has written it") from None
