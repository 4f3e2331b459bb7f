"""What the verbs that ask an endpoint have in common: its section of the config becomes what the client takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sharegpt4v.config.judge import Judge
    from sharegpt4v.config.teacher import Teacher
    from sharegpt4v.teacher.settings import TeacherSettings


def endpoint_settings(section: Teacher | Judge, base_url: str, **what: Any) -> TeacherSettings:
    """Return how to ask the endpoint of a section, which answers at `base_url`; `what` to ask for is the verb's.

    What the Batch API costs less, and how many tokens an image takes, is in the tables that `s4v plan` reads.
    """
    from sharegpt4v.plan.tables import read_assumptions, read_prices
    from sharegpt4v.teacher.budget import Budget
    from sharegpt4v.teacher.settings import TeacherSettings

    price = read_prices().get(section.model)
    factor = price.batch_factor if price and price.batch_factor is not None else 1.0
    image_tokens = read_assumptions()[f"image_tokens_{what.get('image_detail', 'high')}"]
    return TeacherSettings(
        base_url,
        section.model,
        section.api_key_variable,
        concurrency=section.concurrency,
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
        timeout_seconds=section.timeout_seconds,
        attempts=section.attempts,
        budget=Budget(**section.budget.model_dump(), batch_factor=factor) if section.budget else None,
        image_tokens=int(image_tokens),
        **what,
    )
