"""Which seed captions come into an instruction mix: so many of each source, in an order drawn from the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.corpora.rows import caption_of, source_of
from sharegpt4v.errors import UserError
from sharegpt4v.llava_format.reading import read_array

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


def read_seed_captions(path: Path) -> list[SeedCaption]:
    """Return the seed captions of a LLaVA JSON, one per image: the first where there are several."""
    captions: dict[str, SeedCaption] = {}
    for number, row in enumerate(read_array(path), start=1):
        caption = SeedCaption(*caption_of(row, f"{path}, row {number}"))
        captions.setdefault(caption.image, caption)
    if not captions:
        raise UserError(f"{path}: no rows in it; expected a JSON array of captions")
    return list(captions.values())


def draw(
    captions: Sequence[SeedCaption], sources: Mapping[str, int] | Sequence[str], leaving: int, seed: int
) -> list[SeedCaption]:
    """Draw captions by the order of a seeded hash of their images, at most as many as are `leaving`."""
    ordered = sorted(captions, key=lambda one: hash_fraction(seed, "coming in", one.image))
    if not isinstance(sources, Mapping):
        return [one for one in ordered if one.source in sources][:leaving]
    wanted = min(leaving, sum(sources.values()))
    groups: dict[str, list[SeedCaption]] = {group: [] for group, number in sources.items() if number}
    for one in ordered:
        group = one.source if one.source in sources else SMALL
        if group in groups:
            groups[group].append(one)
    drawn = {one for group, number in shares(sources, wanted).items() for one in groups.get(group, [])[:number]}
    allowed = {one for group in groups.values() for one in group}
    spare = [one for one in ordered if one in allowed and one not in drawn]
    drawn.update(spare[: wanted - len(drawn)])
    return [one for one in ordered if one in drawn]


def shares(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """Split `total` in proportion to `counts`; what rounding leaves goes to the largest fractions."""
    whole = sum(counts.values())
    if not whole:
        raise UserError("finetuning_sources are all 0; expected captions of at least one source")
    shared = {name: count * total // whole for name, count in counts.items()}
    by_fraction = sorted(counts, key=lambda name: counts[name] * total % whole, reverse=True)
    for name in by_fraction[: total - sum(shared.values())]:
        shared[name] += 1
    return shared
