"""Croissant metadata (ML Commons) of an exported data set: its files with their hashes, and of Parquet the columns, so
that mlcroissant and search engines for data sets read it.

Of tars and LLaVA JSON only the files are described: mlcroissant keeps what it unpacks by the relative path of a tar, so
it would mix up those of two data sets, and in LLaVA JSON it cannot read rows without an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

from sharegpt4v.files import read_text, sha256_of, write_json
from sharegpt4v.miniature import NOTICE
from sharegpt4v.report.cards.rendering import CITATION
from sharegpt4v.sharing.card import CARD, metadata_of
from sharegpt4v.sharing.columns import COLUMNS, CONVERSATIONS, IMAGE, IMAGE_ABOUT, PARQUET, TURN
from sharegpt4v.sharing.sets import DataSet
from sharegpt4v.version import __version__

CROISSANT = "croissant.json"
FILES, ROWS = "files", "rows"
MEDIA_TYPES = {".parquet": "application/x-parquet", ".tar": "application/x-tar", ".json": "application/json"}


def write_croissant(
    folder: Path, data: DataSet, format: str, images: bool, files: Mapping[str, Sequence[Path]]
) -> None:
    """Write the metadata of the set in `folder`, whose card is there; errors of mlcroissant are defects of this."""
    import mlcroissant as mlc

    text = read_text(folder / CARD)
    card, notice = metadata_of(text), f"{NOTICE} " if NOTICE in text else ""
    paths = [path for split in files.values() for path in split]
    media = MEDIA_TYPES[paths[0].suffix]
    objects: list[Any] = [
        mlc.FileObject(
            id=(name := path.relative_to(folder).as_posix()),
            name=name,
            content_url=name,
            content_size=f"{path.stat().st_size} B",
            encoding_formats=[media],
            sha256=sha256_of(path),
        )
        for path in paths
    ]
    getLogger("absl").setLevel(ERROR)  # a date of publication is recommended; the same set has the same bytes without
    together = mlc.FileSet(id=FILES, name=FILES, includes=["data/*.parquet"], encoding_formats=[media])
    file_sets = [together] if format == PARQUET else []
    metadata = mlc.Metadata(
        name=str(card.get("pretty_name") or data.name),
        description=f"{notice}Captions and conversations about images: the set {data.name}, as {format}.",
        license=[str(card["license"])] if card.get("license") else None,
        version="1.0.0",
        cite_as=" ".join(CITATION.split()),
        sd_version=__version__,
        distribution=[*objects, *file_sets],
        record_sets=[mlc.RecordSet(id=ROWS, name=ROWS, fields=_fields(data, images))] if format == PARQUET else [],
    )
    write_json(folder / CROISSANT, metadata.to_json())


def _fields(data: DataSet, images: bool) -> list[Any]:
    """The columns of Parquet files; of a list of turns the texts, each from the column of turns."""
    import mlcroissant as mlc

    def field(id: str, about: str, column: str, key: str = "", type: str = mlc.DataType.TEXT) -> Any:
        steps = [mlc.Transform(json_path=key)] if key else []
        source = mlc.Source(file_set=FILES, extract=mlc.Extract(column=column), transforms=steps)
        return mlc.Field(id=f"{ROWS}/{id}", name=id, description=about, data_types=[type], source=source)

    def turns(name: str, about: str) -> Any:
        parts = [field(f"{name}/{key}", said, name, key) for key, said in TURN.items()]
        return mlc.Field(id=f"{ROWS}/{name}", name=name, description=about, repeated=True, sub_fields=parts)

    columns = COLUMNS[data.kind].items()
    fields = [turns(name, about) if name == CONVERSATIONS else field(name, about, name) for name, about in columns]
    return [*fields, *([field(IMAGE, IMAGE_ABOUT, IMAGE, "bytes", mlc.DataType.IMAGE_OBJECT)] if images else [])]
