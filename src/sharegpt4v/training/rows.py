"""From LLaVA rows to training samples; a row that cannot be used is counted, never skipped silently."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError, one_line, printable
from sharegpt4v.image_paths import inside
from sharegpt4v.images.loading import size_of
from sharegpt4v.images.usable import Usable
from sharegpt4v.llava_format.checks import SHOWN, check_row
from sharegpt4v.llava_format.reading import read_array
from sharegpt4v.models.family import Family, Row, Tokens
from sharegpt4v.training.samples import Tally

READERS = 8  # threads; a header is a small read, often over a network
AT_ONCE = 1000
UNKNOWN = "an image of no known size"


def read_rows(
    rows: Path | Sequence[Row], data: Path, what: str, images: Usable | None = None
) -> Iterator[tuple[str, Row]]:
    """Yield the rows with the place each is named by in errors; `what` names rows that are given directly.

    `UserError` for a row that is not LLaVA's, or whose image is no file below `data`, unless `images` says that such a
    row is left out.
    """
    images = images or Usable(data)
    where = str(rows) if isinstance(rows, Path) else what
    number = 0
    for number, row in enumerate(read_array(rows) if isinstance(rows, Path) else rows, start=1):
        place = f"{where}, row {number}"
        check_row(row, place)
        if isinstance(row.get("id"), str):
            place += f" (id {printable(row['id'][:SHOWN])})"
        if not (image := row.get("image")) or images.takes(image, place):
            yield place, row
    if not number:
        raise UserError(f"{where}: no rows in it; expected a JSON array of LLaVA rows")
    images.tell(what, number)


def tokenise(
    rows: Iterable[Row], family: Family, tokenizer: Any, template: str, longest: int, what: str, tally: Tally
) -> Iterator[Tokens]:
    """Tokenise rows as their model's family does, each cut to `longest` tokens, an image's mark counted once.

    `tally` counts the rows that are left out by reason. `UserError` when no row is left.
    """
    for encoded in family.encode_rows(rows, tokenizer, template, longest):
        tally.read += 1
        if isinstance(encoded, str):
            tally.left_out[encoded] += 1
        else:
            tally.cut += len(encoded.ids) > longest
            yield Tokens(encoded.ids[:longest], encoded.labels[:longest], encoded.image)
    if tally.left_out.total() == tally.read:
        raise UserError(f"{what}: no row has an answer to learn ({tally}); expected answers within {longest:,} tokens")


def with_visual_ids(
    rows: Iterable[Tokens],
    visual_ids: Callable[[tuple[int, int]], Sequence[int]],
    images: Usable,
    what: str,
    tally: Tally,
) -> Iterator[Tokens]:
    """Yield tokenised rows with the ids that their image's mark becomes, by the size in the header of its file.

    An image without a size that the model can take is a `UserError`, or its row is counted in `tally` and left out, as
    `images` says.
    """

    def expanded(row: Tokens) -> Tokens | None:
        if not row.image:
            return row
        path = inside(images.data, row.image)
        try:
            return row._replace(visual=visual_ids(size_of(path)))
        except UserError:
            raise
        except Exception as error:  # Pillow raises nearly anything on a broken file, a processor on a narrow strip
            said = f"{path}: an image of no known size ({one_line(error)})"
            if images.missing == "fail":
                raise UserError(f"{said}; fetch its source again") from None
            print(f"{said}; its row is left out", file=sys.stderr)
            return None

    rest = iter(rows)
    with ThreadPoolExecutor(READERS) as pool:
        while batch := list(islice(rest, AT_ONCE)):
            for row in pool.map(expanded, batch):
                tally.left_out[UNKNOWN] += row is None
                if row is not None:
                    yield row
    lost = tally.left_out[UNKNOWN]
    images.check(f"{what}: {lost:,} of {tally.read:,} rows have an image of no known size", lost, tally.read)
    if tally.left_out.total() == tally.read:
        raise UserError(f"{what}: no row is left ({tally}); fetch the sources of its images again")
