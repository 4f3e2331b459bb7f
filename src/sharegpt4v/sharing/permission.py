"""Whether what is pushed may be given to others, by the licences of what it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v.sharing.shared_folder import SharedFolder

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def refuse_unless_licensed(config: Config, folder: SharedFolder, despite: str | None) -> None:
    """Raise a `UserError` when a licence forbids to give a folder to others, unless `despite` says why it may go."""
