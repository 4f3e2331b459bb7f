"""A judge that sees the image says which of two captions is better, asked in both orders (paper §3.3, Table 2).

Models that judge prefer what comes first, or last. So a caption wins when it is preferred in both orders, and
everything else is a tie (Zheng et al., 2023, arXiv 2306.05685, section 3.4).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from sharegpt4v.caption_quality.outcomes import FIRST, SECOND, TIE, Preference, of_both_orders
from sharegpt4v.caption_quality.pairs import Pair
from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.request import Request
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_to_read, sha256_of
from sharegpt4v.image_paths import inside
from sharegpt4v.ledger import Ledger

MAX_TOKENS = 512
REPLY = re.compile(r"\W*(a tie|tie|a|b)\b", re.IGNORECASE)
CHOICES = {"a": FIRST, "b": SECOND, "tie": TIE, "a tie": TIE}


def read_prompt(path: Path) -> Template:
    """Read the judge's prompt, which has `$first` and `$second` where the captions go; else a `UserError`."""
    with open_to_read(path, "the judge's prompt") as file:
        template = Template(file.read().decode().strip())
    if not template.is_valid() or set(template.get_identifiers()) != {"first", "second"}:
        raise UserError(f"{path}: expected $first and $second, where the two captions go, and no other $ (write $$)")
    return template


def judge_pairs(
    pairs: Sequence[Pair], images: Path, prompt: Template, settings: ChatSettings, ledger: Path
) -> list[Preference]:
    """Return what the judge prefers of each pair, shown as A B and as B A; `images` is the folder of the images.

    Every reply is in `ledger` the moment it exists, and nothing in it is asked again. A `UserError` when a reply is
    missing in the end: the same call then asks for what is missing.
    """
    asked = []
    for pair in pairs:
        path = inside(images, pair.image)
        if not path.is_file():
            raise UserError(f"{path}: no such image; expected those of both sets below --images {images}")
        hashed = sha256_of(path)
        for first, second in ((pair.a, pair.b), (pair.b, pair.a)):
            text = prompt.safe_substitute(first=first, second=second)
            asked.append(Request(pair.image, images, pair.source, hashed, text))
    with Ledger(ledger) as kept:
        unanswered = asyncio.run(ask(asked, settings, kept, title="preferences", noun="questions"))
        if unanswered:
            raise UserError(
                f"preferences: {len(unanswered)} of {len(asked)} questions have no reply "
                f"({next(iter(unanswered.values()))}); run the same command again, which asks for these alone"
            )
        said = [_choice(str(kept[settings.key(one)]["text"])) for one in asked]
    orders = zip(pairs, said[::2], said[1::2], strict=True)
    return [of_both_orders(pair.image, pair.source, (one, other)) for pair, one, other in orders]


def _choice(reply: str) -> str | None:
    found = REPLY.match(reply)
    return CHOICES[found[1].lower()] if found else None
