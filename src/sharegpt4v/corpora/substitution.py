"""Equal substitution: detail captions leave an instruction mix, and as many seed captions come in (paper §4.3, §5.4).

All other rows stay as they are, and the new ones stand in the places of the old: a model trained on the result differs
in its captions and in nothing else.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sharegpt4v.corpora.reading import read_array
from sharegpt4v.corpora.rows import caption_of, caption_row, choose_question, source_of, write_array
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, write_json, write_jsonl
from sharegpt4v.teacher.prompts import hash_fraction

SMALL = "small"


@dataclass(frozen=True)
class SeedCaption:
    """A seed caption that may come in."""

    image: str
    text: str

    @property
    def source(self) -> str:
        """The source of its image."""
        return source_of(self.image)


def substitute(
    mix: Path,
    detail: Path,
    seed_captions: Path,
    sources: Mapping[str, int] | Sequence[str],
    questions: Sequence[str],
    seed: int,
    out: Path,
) -> dict[str, Any]:
    """Write `mix` to `out` with the rows that are also in `detail` replaced by seed captions; return the arithmetic.

    `sources` says which captions come in: a list of sources, or a number for each, where `small` stands for all other
    sources together. Numbers are scaled to the rows that leave; what one source lacks the others give. No image comes
    in twice: where there are fewer seed captions than detail rows, only as many leave. Rows are the same when their
    image's file name and last turn are. Beside `out` come `<stem>.arithmetic.json`, which is what is returned, and
    `<stem>.provenance.jsonl`, a line per replaced row. `UserError` when nothing can be replaced.
    """
    rows_before, leaving = _find(mix, _identities(detail))
    if not leaving:
        raise UserError(f"{mix}: none of its rows is in {detail}; expected the mix that holds these detail captions")
    coming = _draw(_read_seed_captions(seed_captions), sources, len(leaving), seed)
    if not coming:
        raise UserError(f"{seed_captions}: no captions of {', '.join(sources)}; expected some to come in")
    places = sorted(sorted(leaving, key=lambda row: hash_fraction(seed, "leaving", str(row)))[: len(coming)])
    replaced = dict(zip(places, coming, strict=True))

    provenance: list[dict[str, Any]] = []
    with open_atomically(out) as file:
        rows_after = write_array(file, _rows(mix, replaced, questions, seed, provenance))
    per_source = dict(sorted(Counter(one.source for one in coming).items()))
    arithmetic = {
        "rows_before": rows_before,
        "detail_rows": len(leaving),
        "rows_out": len(places),
        "rows_in": len(coming),
        "rows_after": rows_after,
        "rows_in_per_source": per_source,
    }
    write_jsonl(out.with_name(f"{out.stem}.provenance.jsonl"), provenance)
    write_json(out.with_name(f"{out.stem}.arithmetic.json"), arithmetic)
    parts = ", ".join(f"{number:,} of {source}" for source, number in per_source.items())
    print(
        f"{out}: {rows_before:,} rows - {len(places):,} of {len(leaving):,} detail captions + {len(coming):,} seed "
        f"captions ({parts}) = {rows_after:,} rows",
        file=sys.stderr,
    )
    return arithmetic


def _identity(image: str, text: str) -> tuple[str, str]:
    """LLaVA's detail file names images without their folder, its mixes with it."""
    return PurePosixPath(image).name, text


def _identities(detail: Path) -> set[tuple[str, str]]:
    rows = enumerate(read_array(detail), start=1)
    return {_identity(*caption_of(row, f"{detail}, row {number}")) for number, row in rows}


def _find(mix: Path, detail: set[tuple[str, str]]) -> tuple[int, list[int]]:
    """Return the number of rows of the mix, and the positions (from 0) of those that are in `detail`."""
    count, found = 0, []
    for count, row in enumerate(read_array(mix), start=1):
        with_image = isinstance(row, dict) and row.get("image")
        if with_image and _identity(*caption_of(row, f"{mix}, row {count}")) in detail:
            found.append(count - 1)
    return count, found


def _read_seed_captions(path: Path) -> list[SeedCaption]:
    """Return the seed captions, one per image: the first where there are several."""
    captions: dict[str, SeedCaption] = {}
    for number, row in enumerate(read_array(path), start=1):
        caption = SeedCaption(*caption_of(row, f"{path}, row {number}"))
        captions.setdefault(caption.image, caption)
    return list(captions.values())


def _draw(
    captions: Sequence[SeedCaption], sources: Mapping[str, int] | Sequence[str], wanted: int, seed: int
) -> list[SeedCaption]:
    """Draw up to `wanted` captions by the order of a seeded hash of their images."""
    ordered = sorted(captions, key=lambda one: hash_fraction(seed, "coming in", one.image))
    if not isinstance(sources, Mapping):
        return [one for one in ordered if one.source in sources][:wanted]
    groups: dict[str, list[SeedCaption]] = {group: [] for group, number in sources.items() if number}
    for one in ordered:
        group = one.source if one.source in sources else SMALL
        if group in groups:
            groups[group].append(one)
    drawn = {one for group, number in _shares(sources, wanted).items() for one in groups.get(group, [])[:number]}
    allowed = {one for group in groups.values() for one in group}
    spare = [one for one in ordered if one in allowed and one not in drawn]
    drawn.update(spare[: wanted - len(drawn)])
    return [one for one in ordered if one in drawn]


def _shares(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """Split `total` in proportion to `counts`; what rounding leaves goes to the largest fractions."""
    whole = sum(counts.values())
    if not whole:
        raise UserError("finetuning_sources are all 0; expected captions of at least one source")
    shares = {name: count * total // whole for name, count in counts.items()}
    by_fraction = sorted(counts, key=lambda name: counts[name] * total % whole, reverse=True)
    for name in by_fraction[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


def _rows(
    mix: Path,
    replaced: Mapping[int, SeedCaption],
    questions: Sequence[str],
    seed: int,
    provenance: list[dict[str, Any]],
) -> Iterator[Any]:
    """Yield the rows of the mix with the replaced ones new; note each of those in `provenance`."""
    for number, row in enumerate(read_array(mix)):
        if (new := replaced.get(number)) is None:
            yield row
            continue
        provenance.append({"row": number, "out": row["image"], "in": new.image, "source": new.source})
        yield caption_row(new.image, new.text, choose_question(questions, new.image, seed))
