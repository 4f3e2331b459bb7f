"""The parts of a card in Markdown: the YAML before it, tables, code, the paper's citation.

Texts of others are escaped; what is a code span or a link of ours is `Markdown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sharegpt4v.pages import in_markdown

CITATION = """@inproceedings{chen2024sharegpt4v,
  title={ShareGPT4V: Improving Large Multi-Modal Models with Better Captions},
  author={Chen, Lin and Li, Jinsong and Dong, Xiaoyi and Zhang, Pan and He, Conghui and Wang, Jiaqi and Zhao, Feng and
    Lin, Dahua},
  booktitle={European Conference on Computer Vision (ECCV)},
  year={2024},
  note={arXiv:2311.12793}
}"""
MADE_BY = "the ShareGPT4V pipeline"
NO_RECORD = "no record"


class Markdown(str):
    """Text that is Markdown already."""


def page(metadata: Mapping[str, Any], notice: str, title: str, sections: Iterable[tuple[str, str]]) -> str:
    """Return a card: the metadata, the notice of the miniature first in the body, then sections with their headings.

    A section without text is left out.
    """
    import yaml

    front = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, width=120)
    told = [f"## {heading}\n\n{text}" for heading, text in sections if text]
    first = [notice] if notice else []
    return f"---\n{front}---\n" + "\n\n".join([*first, f"# {shown(title)}", *told]) + "\n"


def shown(value: object) -> str:
    """Return a value as text of a page; None is said to have no record."""
    if value is None:
        return NO_RECORD
    return value if isinstance(value, Markdown) else in_markdown(str(value))


def span(text: object) -> Markdown:
    """Return a name or a hash in the letters of a terminal. Letters that would end a cell or the span are replaced."""
    plain = str(text).replace("`", "'").replace("|", "¦")
    return Markdown(f"`{''.join(letter for letter in plain if letter.isprintable())}`")


def link(text: str, address: str) -> str:
    """Return a link to a page of the web; the text alone where there is no address."""
    if not address.startswith("https://") or any(letter in address for letter in " ()<>"):
        return shown(text)
    return Markdown(f"[{shown(text)}]({address})")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table, or nothing when it has no rows."""
    lines = [" | ".join(map(shown, row)) for row in rows]
    whole = [" | ".join(map(shown, head)), " | ".join("---" for _ in head), *lines] if lines else []
    return "\n".join(f"| {line} |" for line in whole)


def facts(known: Mapping[str, object]) -> str:
    """Return a table of what is known, a line for each name."""
    return table(("", ""), known.items())


def code(language: str, text: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{text}\n```"


def paragraphs(*texts: str) -> str:
    """Return texts under one another, without the empty ones."""
    return "\n\n".join(text for text in texts if text)


def citation() -> str:
    """Return how to cite the paper."""
    return paragraphs(f"Made by {MADE_BY}, which reproduces this paper; please cite both.", code("bibtex", CITATION))
