"""Push a set, a model or a folder to the Hub: which folder it is, whether it may go, and the upload."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage
from sharegpt4v.errors import UserError
from sharegpt4v.sharing.columns import PARQUET
from sharegpt4v.sharing.hub import upload
from sharegpt4v.sharing.permission import refuse_unless_licensed
from sharegpt4v.sharing.shared_folder import shared_folder

if TYPE_CHECKING:
    from sharegpt4v.config import Config

EXPORTED = layout.WORK / "shared"
"""Where sets are exported to before they are pushed."""


def folder_of(config: Config, name: str) -> Path:
    """Return the folder of what is pushed: a folder, a set of the run, exported as Parquet, or a model of the run."""
    if (path := Path(name)).is_dir():
        return path
    sets, models = lineage.data_sets(config), lineage.checkpoints(config)
    if name in sets:
        return _exported(config, name)
    if name in models:
        return models[name]
    raise UserError(f"{name}: no folder, set or model; expected one of {', '.join([*sets, *models])}, or a folder")


def _exported(config: Config, name: str) -> Path:
    from sharegpt4v.report.cards.data import data_card
    from sharegpt4v.sharing.export import Settings, export_data_set
    from sharegpt4v.sharing.sets import data_set
    from sharegpt4v.sharing.splits import Splits

    out = EXPORTED / name
    settings = Settings(PARQUET, Splits(config.seed, {}))
    export_data_set(data_set(config, name), out, settings, partial(data_card, config, name))
    return out


def push(
    config: Config, path: Path, repository: str, *, private: bool, dry_run: bool, despite_licence: str | None
) -> None:
    """Push a folder; a dry run lists what would go. A `UserError` when it has no card or may not be passed on."""
    folder = shared_folder(path)
    refuse_unless_licensed(config, folder, despite_licence)
    total = f"{len(folder.files):,} files, {sum(folder.files.values()):,} bytes"
    if dry_run:
        print("".join(f"{size:>16,}  {name}\n" for name, size in folder.files.items()), end="")
        print(f"{total} of a {folder.kind} would go to {repository}; nothing was sent")
        return
    address, new = upload(
        folder, repository, private, f"Despite its terms: {despite_licence}" if despite_licence else ""
    )
    what = total if new else f"nothing new; {total} were there already"
    print(f"{address}: {what}", file=sys.stderr)
