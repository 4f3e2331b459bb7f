"""Exporting a checkpoint to a layout that other programs read (paper section 5: the same model, other tools)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.folders import new_folder, refuse_other_folder
from sharegpt4v.miniature import record_of
from sharegpt4v.models.family import Family, family_named, name_in
from sharegpt4v.provenance import provenance

LAYOUTS: dict[str, Callable[[Family, Path, Path], None]] = {
    "original": lambda family, folder, out: family.export_original(folder, out),
    "vllm": lambda family, folder, out: family.export_for_vllm(folder, out),
}
"""What writes a checkpoint of a family to an empty folder, by the name of the layout."""


def export_checkpoint(folder: Path, layout: str, out: Path) -> None:
    """Write the checkpoint `folder` to `out` in one of `LAYOUTS`, with `provenance.json`; or a `UserError`."""
    refuse_other_folder(out)
    if layout not in LAYOUTS:
        raise UserError(f"layout {layout!r}: not known; expected one of {', '.join(LAYOUTS)}")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json; expected the folder of a model as this project saves it")
    with new_folder(out) as unfinished:
        LAYOUTS[layout](family_named(name_in(folder)), folder, unfinished)
        about = provenance("export", {"layout": layout}, None, [folder], __name__)
        write_json(unfinished / "provenance.json", about | record_of(False, [folder]))
