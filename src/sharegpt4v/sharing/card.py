"""The card of an exported data set: the text that it is given, its files and columns, and the metadata by which
`datasets.load_dataset` finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.files import write_text
from sharegpt4v.sharing.columns import (
    COLUMNS,
    CONVERSATIONS,
    IMAGE,
    IMAGE_ABOUT,
    LLAVA,
    PARQUET,
    WEBDATASET,
    features_of,
)
from sharegpt4v.sharing.sets import DataSet
from sharegpt4v.sharing.splits import Counts

if TYPE_CHECKING:
    import datasets

CARD = "README.md"
CardOf = Callable[[str], str]
"""Gives a card, with metadata, in which stands how to load the set."""


def write_card(
    folder: Path,
    data: DataSet,
    format: str,
    images: bool,
    files: Mapping[str, Sequence[Path]],
    counts: Counts,
    card_of: CardOf,
) -> None:
    """Write the card of a set to `folder`; a `UserError` when its metadata is no YAML."""
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    text = card_of("\n".join(_loading(data, format, images, counts)))
    try:
        card = DatasetCard(text)
    except Exception as error:  # of the parser of YAML, or of what checks the metadata
        raise UserError(
            f"card: its metadata cannot be read ({one_line(error)}); expected YAML between --- lines"
        ) from None
    found = [
        {"split": split, "path": [path.relative_to(folder).as_posix() for path in paths]}
        for split, paths in files.items()
    ]
    features = _loaded(data, format, images)
    MetadataConfigs({"default": {"data_files": found}}).to_dataset_card_data(card.data)
    DatasetInfosDict({"default": DatasetInfo(features=features)}).to_dataset_card_data(card.data)
    write_text(folder / CARD, f"{str(card).strip()}\n")


def given_card(text: str) -> CardOf:
    """Return a card of somebody's own, under which comes how to load the set; without metadata it gets some."""
    head = "" if text.startswith("---") else "---\n{}\n---\n"
    return lambda load: f"{head}{text.strip()}\n\n## How to load it\n\n{load}\n"


def _loaded(data: DataSet, format: str, images: bool) -> datasets.Features:
    """Return the columns that a reader of the files gets."""
    from datasets import Features, Image, Value

    text = Value("string")
    if format == PARQUET:
        return features_of(data.kind, images)
    if format == WEBDATASET:
        image = {"jpg": Image()} if images else {}
        return Features({**image, "json": dict(features_of(data.kind, False)), "__key__": text, "__url__": text})
    turns = features_of("conversations", False)[CONVERSATIONS]
    return Features({"id": text, IMAGE: text, CONVERSATIONS: turns})


def _loading(data: DataSet, format: str, images: bool, counts: Counts) -> Iterator[str]:
    """Yield how to load the set, its splits, and what its columns hold, in lines."""
    yield "The files and `croissant.json`, which describes them, are of the set as it was exported here:\n"
    yield "```python\nfrom datasets import load_dataset\n\nrows = load_dataset(FOLDER_OR_REPOSITORY)\n```\n"
    yield "| Split | Rows |\n|---|---|"
    yield from (f"| {name} | {number:,} |" for name, number in counts.splits.items())
    if format == LLAVA:
        assert data.json
        yield f"\n`{data.json.name}` is LLaVA JSON: an array of rows with `id`, `image` and `conversations`."
        return
    where = "What `json` of a row has" if format == WEBDATASET else "Column"
    yield f"\n| {where} | What it holds |\n|---|---|"
    yield from (f"| `{name}` | {about} |" for name, about in COLUMNS[data.kind].items())
    if images:
        yield f"\n`{'jpg' if format == WEBDATASET else IMAGE}` is {IMAGE_ABOUT}."


def metadata_of(text: str) -> dict[str, Any]:
    """Return the metadata at the head of a card; empty when it has none."""
    from huggingface_hub import RepoCard

    data: Any = RepoCard(text, ignore_metadata_errors=True).data
    return dict(data.to_dict())
