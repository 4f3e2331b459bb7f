"""The prompts for seed captions: a base block, a block for the image's source, a closing block (paper §3.2, Fig. 3).

A seeded part of the images gets one more block that asks for an aesthetic judgement. All texts are files in one
folder, so that a prompt is changed without touching code:

    base.txt  closing.txt  aesthetic.txt   the blocks every prompt is made of
    sources.tsv                            source → name of its block; the row `default` is for every other source
    sources/<block>.txt                    the blocks by source
    questions.txt                          the short questions, one per line, that are in the training data instead
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.errors import UserError


@dataclass(frozen=True)
class PromptBook:
    """The texts of one prompt folder: `blocks` maps a source to its block, `questions` are for the training data."""

    folder: Path
    base: str
    closing: str
    aesthetic: str
    blocks: dict[str, str]
    questions: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path | str) -> PromptBook:
        """Read every text of `folder` and check it; a missing or empty file is a `UserError` that names it."""
        folder = Path(folder)
        questions = tuple(line.strip() for line in _text(folder / "questions.txt").splitlines() if line.strip())
        return cls(
            folder=folder,
            base=_text(folder / "base.txt"),
            closing=_text(folder / "closing.txt"),
            aesthetic=_text(folder / "aesthetic.txt"),
            blocks={source: _text(path) for source, path in _block_files(folder).items()},
            questions=questions,
        )

    def render(self, source: str, aesthetic: bool) -> str:
        """Return the whole prompt for an image of `source`, its blocks separated by blank lines."""
        block = self.blocks.get(source, self.blocks.get("default"))
        if block is None:
            raise UserError(
                f"{self.folder / 'sources.tsv'}: no row for source '{source}' and none named 'default'; "
                "add a row with the source and the name of a file in sources/ (without .txt)"
            )
        parts = [self.base, block, self.closing, *([self.aesthetic] if aesthetic else [])]
        return "\n\n".join(parts)


def asks_aesthetic(image: str, seed: int, fraction: float) -> bool:
    """Say whether `image` (path below data/) is in the seeded part, of size `fraction`, with the aesthetic block."""
    return hash_fraction(seed, "aesthetic", image) < fraction


def hash_fraction(seed: int, purpose: str, image: str) -> float:
    """Return a number in [0, 1) that depends on nothing but its arguments: the same on every machine and run."""
    digest = hashlib.sha256(f"{seed}\n{purpose}\n{image}".encode()).digest()
    # 53 bits fit a float exactly, so that the result never rounds up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _text(path: Path) -> str:
    """Read a prompt file without the white space around it."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; every prompt folder needs it") from None
    if not text:
        raise UserError(f"{path}: the file is empty; expected the text of a prompt block")
    return text


def _block_files(folder: Path) -> dict[str, Path]:
    """Read sources.tsv (a header, then source, tab, block) into the block file of each source."""
    table = folder / "sources.tsv"
    files: dict[str, Path] = {}
    for number, line in enumerate(_text(table).splitlines(), start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if number == 1 and cells == ["source", "block"]:
            continue
        if len(cells) != 2 or not all(cells) or number == 1:
            raise UserError(
                f"{table}, line {number}: expected 'source', tab, 'block', in the first line just these words"
            )
        if cells[0] in files:
            raise UserError(f"{table}, line {number}: source '{cells[0]}' has a row already; delete one")
        files[cells[0]] = folder / "sources" / f"{cells[1]}.txt"
    return files
