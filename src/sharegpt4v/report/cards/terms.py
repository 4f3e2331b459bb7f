"""The licences in a card: the metadata that the Hub shows, and the chain from everything that it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sharegpt4v.report.cards.rendering import Markdown, link, paragraphs, shown, table

if TYPE_CHECKING:
    from sharegpt4v.catalogues.licences import Terms
    from sharegpt4v.origins import Origin

KINDS = {"model": "model", "text": "texts", "images": "images", "endpoint": "captions by a model"}
PASSED_ON = {"yes": "yes", "no": "no", "ask": "ask its owner"}


def licence_metadata(terms: Iterable[Terms]) -> dict[str, Any]:
    """Return `license` for the Hub: its name there when one licence binds, else `other` with a name and an address."""
    bound = list(terms)
    names = {one.hub for one in bound}
    if len(names) == 1 and names != {"other"}:
        return {"license": bound[0].hub}
    if len(bound) == 1:
        slug = re.sub(r"[^a-z0-9]+", "-", bound[0].name.lower()).strip("-")
        address = {"license_link": bound[0].address} if bound[0].address else {}
        return {"license": "other", "license_name": slug, **address}
    return {"license": "other", "license_name": "several-terms-together" if bound else "not-known"}


def licence_section(origins: Sequence[Origin], bound: Sequence[Terms], with_images: str) -> str:
    """Return the chain of licences: what it comes from, under which terms, and what these ask.

    `bound` are the terms that bind, `with_images` says what those of images mean here.
    """
    chain = [
        (link(one.name, one.address), KINDS[one.kind], "; ".join(terms.name for terms in one.terms), one.about)
        for one in origins
    ]
    every = dict.fromkeys(terms for one in origins for terms in one.terms)
    asked = [
        (link(one.name, one.address), PASSED_ON[one.redistribute], one.note, "yes" if one in bound else "no")
        for one in every
    ]
    names = Markdown(", ".join(f"**{shown(one.name)}**" for one in bound)) or "nothing that is on record"
    return paragraphs(
        f"These terms bind together: {names}. {with_images} This is no legal advice: read the terms themselves.",
        table(("Made from", "What", "Terms", "About"), chain),
        table(("Terms", "May copies be passed on?", "What they say", "Bind this"), asked),
    )
