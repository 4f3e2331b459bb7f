"""What the endpoints of a run have cost so far, beside the limits of their budgets."""

from __future__ import annotations

from pathlib import Path

from sharegpt4v.config import Config
from sharegpt4v.plan.missing import ASKING
from sharegpt4v.plan.spent import usd_spent
from sharegpt4v.plan.tables import Price, read_prices


def money_line(root: Path, config: Config) -> str:
    """Return one line on money; empty where no endpoint of the run has a price."""
    prices, asked = read_prices(), config.endpoints
    for endpoint in asked.values():
        if (budget := endpoint.budget) and endpoint.model not in prices:
            prices[endpoint.model] = Price(budget.prompt_usd_per_million, budget.completion_usd_per_million, None, "")
    priced = {ASKING[name]: endpoint for name, endpoint in asked.items() if endpoint.model in prices}
    if not priced:
        return ""
    spent = usd_spent(prices, root, priced)
    parts = []
    for stage, endpoint in priced.items():
        # A judge's limit is for one model's answers to one benchmark, so the sum is not measured by it.
        limit = f" of ${endpoint.budget.limit_usd:,.2f}" if endpoint.budget and stage == "seed_captions" else ""
        parts.append(f"{stage} ${spent[stage]:,.2f}{limit}")
    return f"money: {', '.join(parts)}"
