"""Kind "coco-rows": a LLaVA JSON that names images of COCO train2017 without their folder, as LLaVA's 158K rows do.

Every other corpus names images by their path below ``data/``. So this one is written with that folder in front of the
names, and mixes with them (paper section 5.4).
"""

from __future__ import annotations

from pathlib import Path

import orjson

from sharegpt4v.catalogues.sources import Source
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically
from sharegpt4v.images.kind import Fetching, Kind
from sharegpt4v.images.listing import Listing
from sharegpt4v.images.obtain import only_file
from sharegpt4v.llava_format.checks import check_row
from sharegpt4v.llava_format.reading import read_array

FOLDER = "coco/train2017"  # below data/, as the source `coco` of the catalogue has it


class CocoRows(Kind):
    """One file of rows."""

    def fetch(self, source: Source, to: Fetching) -> Listing:
        """Download the file, and write it to its place with the folder in front of the images' names."""
        if source.images != 0:
            raise UserError(f"{source.name}: a source of kind coco-rows holds no images; write 0 as their number")
        _write(only_file(source, to).obtain(), to.folder)
        return Listing([""])

    def bytes_on_disk(self, source: Source, unpacked_factor: float) -> float:
        """The download stays beside the rows."""
        return 2 * super().bytes_on_disk(source, unpacked_factor)


def _write(rows: Path, out: Path) -> None:
    with open_atomically(out) as file:
        before = b"[\n"
        for number, row in enumerate(read_array(rows), start=1):
            image = check_row(row, f"{rows}, row {number}").get("image")
            if image and "/" not in image:
                row["image"] = f"{FOLDER}/{image}"
            file.write(before + orjson.dumps(row))
            before = b",\n"
        file.write(b"\n]\n" if before == b",\n" else b"[]\n")


KIND = CocoRows()
