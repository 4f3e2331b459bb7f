"""What the stages that ask an endpoint have in common: its section of the config becomes what the client takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config.endpoint import Budget, Endpoint
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


def known_prices(endpoint: Endpoint, configured: Endpoint | None) -> Budget | None:
    """Return the prices of an endpoint's model, and the most tokens of an image; None where nobody says both.

    They are those of the budget of `configured` where that is of the same model, else those of the table.
    """
    from sharegpt4v.config.endpoint import Budget
    from sharegpt4v.plan.tables import read_prices

    price = read_prices().get(endpoint.model)
    image_tokens = price.image_tokens("auto") if price else None
    if configured and configured.model == endpoint.model and configured.budget:
        own = configured.budget
        prices = own.model_copy(update={"image_tokens": own.image_tokens or image_tokens})
    elif price:
        prompt, completion = price.prompt_usd_per_million, price.completion_usd_per_million
        prices = Budget(
            limit_usd=1, image_tokens=image_tokens, prompt_usd_per_million=prompt, completion_usd_per_million=completion
        )
    else:
        return None
    return prices if prices.image_tokens else None


def within_budget(endpoint: Endpoint, configured: Endpoint | None, limit_usd: float | None) -> Endpoint:
    """Return the endpoint with a limit on what it may cost: `limit_usd`, or that of its own budget; none without both.

    A `UserError` when the prices of its model are not known.
    """
    from sharegpt4v.plan.tables import PRICES

    if limit_usd is not None and not 0 < limit_usd < math.inf:
        raise UserError(f"--budget {limit_usd:g}: expected US dollars, more than 0")
    if limit_usd is None and endpoint.budget is None:
        return endpoint
    limit = limit_usd or (endpoint.budget.limit_usd if endpoint.budget else None)
    if (prices := known_prices(endpoint, configured)) is None:
        raise UserError(
            f"budget: {PRICES} does not know what {endpoint.model} bills for tokens and images; set prices and "
            "image_tokens in captions.endpoint.budget of the config"
        )
    return endpoint.model_copy(update={"budget": prices.model_copy(update={"limit_usd": limit})})


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
