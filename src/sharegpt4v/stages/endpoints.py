"""What the stages that ask an endpoint have in common: its section of the config becomes what the client takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config.endpoint import Endpoint
    from sharegpt4v.endpoint.settings import ChatSettings
    from sharegpt4v.plan.tables import Price


def endpoint_settings(section: Endpoint, base_url: str, **what: Any) -> ChatSettings:
    """Return how to ask the endpoint of a section, which answers at `base_url`; `what` to ask for is the verb's.

    What the Batch API costs less, and how many tokens an image takes, is in the tables that `s4v plan` reads. A
    `UserError` when images are asked about under a budget, and nobody says how many tokens they can take.
    """
    from sharegpt4v.endpoint.settings import ChatSettings
    from sharegpt4v.plan.tables import read_prices

    price = read_prices().get(section.model)
    factor = price.batch_factor if price and price.batch_factor is not None else 1.0
    return ChatSettings(
        section.model_copy(update={"base_url": base_url}),
        batch_factor=factor,
        image_tokens=_image_tokens(section, price, what["image_detail"]) if "image_detail" in what else 0,
        **what,
    )


def _image_tokens(section: Endpoint, price: Price | None, detail: str) -> int:
    """Return the most tokens of an image; without a budget they only set the pace, so a usual number will do."""
    from sharegpt4v.plan.tables import PRICES, read_assumptions

    if section.budget and section.budget.image_tokens:
        return section.budget.image_tokens
    known = price.image_tokens(detail) if price else None
    if known is None and section.budget:
        raise UserError(
            f"budget.image_tokens is missing, and {PRICES} does not know what {section.model} bills for an image; set "
            "it to the most tokens by the endpoint's documentation"
        )
    return int(read_assumptions()[f"image_tokens_{detail}"]) if known is None else known
