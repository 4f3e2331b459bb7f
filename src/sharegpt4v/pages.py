"""Pages for people, in HTML and Markdown: what others wrote is shown as text, and nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable

from sharegpt4v.errors import printable


class Markup(str):
    """Text that is HTML already."""


def page_head(title: str, style: str) -> str:
    """Return the beginning of a page. Its policy allows this style and images beside or inside it, and no script."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self' data: file:"
    policy = f"{allowed}; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{html.escape(title)}</title><style>{style}</style>"
    )


def first_line(notice: str) -> str:
    """Return a paragraph for the first line of a page; nothing for an empty notice."""
    return f"<p><strong>{html.escape(notice)}</strong></p>" if notice else ""


def table_row(cells: Iterable[str], tag: str = "td") -> str:
    """Return a row of a table; whatever is no `Markup` is escaped."""
    return "<tr>" + "".join(f"<{tag}>{escaped(cell)}</{tag}>" for cell in cells) + "</tr>\n"


def escaped(text: str) -> str:
    """Return `text` as HTML."""
    return text if isinstance(text, Markup) else html.escape(text)


def in_markdown(text: str) -> str:
    """Return `text` on one line for a Markdown page: no HTML, no cell of its own, no link."""
    shown = html.escape(printable(text), quote=False)
    return "".join(f"\\{letter}" if letter in "|[]`" else letter for letter in shown)
