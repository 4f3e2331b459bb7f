"""Substitution: LLaVA's detail captions leave an instruction mix, and seed captions come in (paper §4.3, §5.4).

Equal substitution (§5.4) lets as many leave as come in: a model trained on the result differs in its captions and in
nothing else. The paper's own mix (§4.3) lets all leave, and so many of each source come in. The new rows stand in the
places of the old, and all other rows stay as they are, byte for byte.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import orjson

from sharegpt4v.corpora.arithmetic import TEXT, Arithmetic
from sharegpt4v.corpora.drawing import SeedCaption, draw, read_seed_captions
from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.corpora.rows import caption_of, caption_row, choose_question, source_of
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, sidecar
from sharegpt4v.llava_format.checks import check_row
from sharegpt4v.llava_format.reading import read_array, read_located

COPIED = 1 << 20  # bytes at a time


class Piece(NamedTuple):
    """A detail caption of the mix, with its image, or a stretch of rows without any: its first row, rows and bytes."""

    image: str | None
    row: int
    rows: int
    start: int
    end: int


def substitute(
    mix: Path,
    detail: Path,
    seed_captions: Path,
    sources: Mapping[str, int] | Sequence[str],
    questions: Sequence[str],
    seed: int,
    out: Path,
) -> Arithmetic:
    """Write `mix` to `out` without rows that are also in `detail`, and with seed captions; return the row arithmetic.

    With a list of `sources` the substitution is equal: as many seed captions of these come in as detail captions
    leave. With a number for each, where `small` stands for all other sources together, all detail captions leave and
    that many come in; where fewer leave, in the same proportion as many. What one source lacks the others give. No
    image comes in twice. Rows are the same when their image's file name and last turn are. Beside `out` come
    `<stem>.arithmetic.json` and `<stem>.provenance.jsonl`, a line per row of the mix: where it is in `out`, and what
    came in its place. `UserError` when nothing can be replaced.
    """
    before, pieces = _pieces(mix, _identities(detail))
    leaving = [piece for piece in pieces if piece.image]
    if not leaving:
        raise UserError(f"{mix}: none of its rows is in {detail}; expected the mix that holds these detail captions")
    coming = draw(read_seed_captions(seed_captions), sources, len(leaving), seed)
    if not coming:
        raise UserError(f"{seed_captions}: no captions of {', '.join(sources)}; expected some to come in")
    places = [piece.row for piece in leaving]
    filled = sorted(sorted(places, key=lambda row: hash_fraction(seed, "leaving", str(row)))[: len(coming)])
    replaced: dict[int, SeedCaption | None] = dict(zip(filled, coming, strict=True))
    if isinstance(sources, Mapping):
        replaced = dict.fromkeys(places) | replaced

    arithmetic = Arithmetic(before, come=Counter(one.source for one in coming))
    arithmetic.out.update(source_of(piece.image) for piece in leaving if piece.image and piece.row in replaced)
    provenance = sidecar(out, "provenance.jsonl")
    with open(mix, "rb") as old, open_atomically(out) as file, open_atomically(provenance) as notes:
        _write(file, notes, old, pieces, replaced, questions, seed)
        arithmetic.write(out)
    total, parts = arithmetic.total(), ", ".join(f"{n:,} of {name}" for name, n in sorted(arithmetic.come.items()))
    print(
        f"{out}: {total['rows_before']:,} rows - {total['rows_out']:,} of {len(leaving):,} detail captions + "
        f"{total['rows_in']:,} seed captions ({parts}) = {total['rows_after']:,} rows",
        file=sys.stderr,
    )
    return arithmetic


def _identity(image: str, text: str) -> tuple[str, str]:
    """LLaVA's detail file names images without their folder, its mixes with it."""
    return image.rpartition("/")[2], text


def _identities(detail: Path) -> set[tuple[str, str]]:
    rows = enumerate(read_array(detail), start=1)
    return {_identity(*caption_of(row, f"{detail}, row {number}")) for number, row in rows}


def _pieces(mix: Path, detail: set[tuple[str, str]]) -> tuple[Counter[str], list[Piece]]:
    """Return the rows of the mix by source, and the mix cut into the rows that are in `detail` and what is between."""
    counts: Counter[str] = Counter()
    pieces: list[Piece] = []
    where, first, begun, end, number = str(mix), 0, 0, 0, -1
    for number, (start, content, row) in enumerate(read_located(mix)):
        place = f"{where}, row {number + 1}"
        image = check_row(row, place).get("image")
        leaves = image and _identity(*caption_of(row, place)) in detail
        counts[source_of(image) if image else TEXT] += 1
        if number == first:
            begun = start
        if leaves:
            if number > first:
                pieces.append(Piece(None, first, number - first, begun, end))
            pieces.append(Piece(image, number, 1, start, start + len(content)))
            first = number + 1
        end = start + len(content)
    if number >= first:
        pieces.append(Piece(None, first, number + 1 - first, begun, end))
    return counts, pieces


def _write(
    file: IO[bytes],
    notes: IO[bytes],
    old: IO[bytes],
    pieces: Sequence[Piece],
    replaced: Mapping[int, SeedCaption | None],
    questions: Sequence[str],
    seed: int,
) -> None:
    """Write the pieces of the mix `old` with the new rows, and to `notes` where each row is from or went."""
    count = 0
    for piece in pieces:
        new = replaced.get(piece.row)
        if piece.row in replaced and not new:
            notes.write(_note(None, piece, None))
            continue
        file.write(b",\n" if count else b"[\n")
        if new:
            file.write(orjson.dumps(caption_row(new.image, new.text, choose_question(questions, new.image, seed))))
            notes.write(_note(count, piece, new))
        else:
            file.writelines(_bytes(old, piece.start, piece.end))
            notes.writelines(b'{"row":%d,"mix_row":%d}\n' % (count + n, piece.row + n) for n in range(piece.rows))
        count += piece.rows
    file.write(b"\n]\n" if count else b"[]\n")


def _note(row: int | None, piece: Piece, new: SeedCaption | None) -> bytes:
    """What became of a row that left."""
    about = {"in": new.image, "source": new.source} if new else {"in": None, "source": None}
    return orjson.dumps(
        {"row": row, "mix_row": piece.row, "out": piece.image} | about, option=orjson.OPT_APPEND_NEWLINE
    )


def _bytes(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    for position in range(start, end, COPIED):
        yield file.read(min(COPIED, end - position))
