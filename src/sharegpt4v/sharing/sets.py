"""The sets that can be exported: of a run the seed captions, all captions of the captioner, the corpora; or a file.

Rows are read as a stream, and can be read as often as needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v import layout, lineage
from sharegpt4v.corpora.arithmetic import row_source
from sharegpt4v.corpora.rejected import rejected_captions
from sharegpt4v.corpora.rows import caption_of, source_of
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl, sidecar
from sharegpt4v.llava_format.checks import check_row
from sharegpt4v.llava_format.reading import read_array, read_shard
from sharegpt4v.sharing.columns import Kind, Row

if TYPE_CHECKING:
    from sharegpt4v.config import Config

SEED, CAPTIONS = "seed", "captions"  # the sets whose rows have a verdict


@dataclass(frozen=True)
class DataSet:
    """A set that can be exported: its name, its rows, the files that they are read from, and its LLaVA JSON if any."""

    name: str
    kind: Kind
    rows: Callable[[], Iterator[Row]]
    inputs: tuple[Path, ...]
    json: Path | None = None


def data_set(config: Config, name: str) -> DataSet:
    """Return a set by its name in the run, or by the path of a LLaVA JSON file.

    A `UserError` lists the names when there is no such set, and names the file that is not there yet.
    """
    known = lineage.data_sets(config)
    if name not in known:
        if (file := Path(name)).suffix == ".json" and file.is_file():
            return conversations(file.stem, file)
        raise UserError(f"{name}: no such set; expected one of {', '.join(known)}, or a LLaVA JSON file")
    if name == CAPTIONS:
        return _captions(config)
    file = known[name]
    _expect(file)
    return _seed(file) if name == SEED else conversations(name, file)


def conversations(name: str, file: Path) -> DataSet:
    """Return the set of the rows of a LLaVA JSON file."""

    def rows() -> Iterator[Row]:
        for number, row in enumerate(read_array(file), start=1):
            place = f"{file}, row {number}"
            check_row(row, place)
            turns = [{"from": turn["from"], "value": turn["value"]} for turn in row["conversations"]]
            about = {
                "id": str(row.get("id", "")),
                "image_path": row.get("image") or "",
                "source": row_source(row, place),
            }
            yield about | {"conversations": turns}

    return DataSet(name, "conversations", rows, (file,), file)


def _expect(*files: Path) -> None:
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: not there yet; make it first: snakemake {file}")


def _captions(config: Config) -> DataSet:
    from sharegpt4v.pipeline.targets import shards

    files = tuple(layout.caption_shard(shard) for shard in shards(config))
    _expect(*files)

    def rows() -> Iterator[Row]:
        for file in files:
            for row in read_shard(file):
                yield _caption(row["image"], row["caption"], row.get("reason") or "", row["sha256"])

    return DataSet(CAPTIONS, "captions", rows, files)


def _seed(file: Path) -> DataSet:
    """The accepted captions in the order of the file, then the rejected ones; published ones have no sidecars."""
    notes, rejected = sidecar(file, "provenance.jsonl"), sidecar(file, "rejected.jsonl")

    def accepted_rows() -> Iterator[Row]:
        about: Iterator[Any] = read_jsonl(notes) if notes.is_file() else iter(())
        for number, row in enumerate(read_array(file), start=1):
            image, caption = caption_of(row, f"{file}, row {number}")
            note = next(about, {}) if notes.is_file() else {"image": image}
            if note.get("image") != image:
                raise UserError(f"{notes}, line {number}: not about {image}; make {file.name} again, which writes both")
            known = {name: note.get(name) or "" for name in ("prompt_hash", "model")}
            yield _caption(image, caption, "", note.get("sha256") or "") | known

    def rejected_rows() -> Iterator[Row]:
        for one in rejected_captions(file):
            yield _caption(one.image, one.text, one.reason, "")

    inputs = tuple(path for path in (file, notes, rejected) if path.is_file())
    return DataSet(SEED, "captions", lambda: chain(accepted_rows(), rejected_rows()), inputs, file)


def _caption(image: str, caption: str, reason: str, sha256: str) -> Row:
    return {
        "image_path": image,
        "source": source_of(image),
        "sha256": sha256,
        "caption": caption,
        "status": "rejected" if reason else "accepted",
        "reason": reason,
        "prompt_hash": "",
        "model": "",
    }
